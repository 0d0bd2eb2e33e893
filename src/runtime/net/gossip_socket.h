// The UDP side of a node: sealed datagrams out, proven ones in.
//
// It knows nothing of what they say: encoding and validating is wire's part. Runs on one io_context; not
// thread-safe. Sending never blocks and never fails loudly: a datagram that the kernel does not take is lost,
// like any other.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/endpoint.h"
#include "runtime/net/gossip_seal.h"

namespace boost::asio {
class io_context;
}

namespace hs {

struct GossipCounts {
  std::uint64_t sent = 0;
  std::uint64_t sent_bytes = 0;  // without IP and UDP headers
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t not_sent = 0;  // too large, or refused by the kernel
  GossipDrops drops;
};

class GossipSocket {
 public:
  using Receiver = std::function<void(NodeId from, const Endpoint& address, std::string_view content)>;

  // Takes over `udp_fd`, bound and non-blocking (Listen). `on_drained` is called after each batch of
  // deliveries.
  GossipSocket(boost::asio::io_context& loop, int udp_fd, GossipSeal seal, Receiver receiver,
               std::function<void()> on_drained = {});
  ~GossipSocket();

  void Send(const Endpoint& to, std::string_view content);
  GossipCounts counts() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
