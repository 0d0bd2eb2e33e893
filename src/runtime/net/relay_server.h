// The relay's part of a tunnel: takes what another member asks for, connects on, and carries bytes.
//
// It carries only from members to ports of members that members listen on, at most `sessions_max` connections
// at a time and `sessions_per_peer_max` for one member; more are told that it is busy. A request that is not
// one of ours, leads back here or names more hops than kTunnelHopsMax is refused. A member that keeps lines
// here is reached over them. Runs on the agent's loop; not thread-safe.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/net/tunnel_stream.h"

namespace hs {

struct RelayConfig {
  NodeId self;
  std::size_t sessions_max = 1024;
  std::size_t sessions_per_peer_max = 512;
  Duration request_timeout = 3s;
};

struct RelayCounts {
  std::uint64_t carried = 0;  // connections, ever
  std::uint64_t refused = 0;
  std::uint64_t busy = 0;
  std::uint64_t not_reached = 0;
  std::size_t sessions = 0;  // now
};

class RelayServer {
 public:
  RelayServer(TunnelOpener opener, RelayConfig config, TunnelAddress address_of);
  ~RelayServer();  // ends all sessions

  // `from` is proven, and a member.
  void Serve(TlsStream&& stream, NodeId from);
  // A line of this box that its relay takes now: leads to this box itself and nowhere else.
  void ServeLine(TlsStream&& stream, NodeId relay);
  RelayCounts counts() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
