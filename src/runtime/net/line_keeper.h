// The part of a box behind NAT in lines: keeps a few ready to each of its relays.
//
// Intuition: the owner of the taxis (line_host.h) keeps so many in each rank as are taken in a while, and a
// few more.
//
// To each relay there are kReady lines nobody has taken, more while they are taken quickly (kReadyMax at
// most); each one taken is replaced at once. Where a relay does not take or keep them, the next tries wait 50
// ms to 5 s. The kernel's keep-alives hold a NAT's mapping and find an end that is gone within 15 s. Runs on
// the agent's loop; not thread-safe.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/net/tunnel_stream.h"

namespace hs {

class LineKeeper {
 public:
  static constexpr std::size_t kReady = 4;
  static constexpr std::size_t kReadyMax = 32;

  // `taken`: this line has something to read now. `opener.lines` is not used.
  LineKeeper(boost::asio::io_context& loop, TunnelOpener opener,
             std::function<void(TlsStream&&, NodeId relay)> taken);
  ~LineKeeper();  // closes what is ready; what was taken is no longer its own

  // The whole set each time.
  void Keep(const std::vector<std::pair<NodeId, Endpoint>>& relays);
  std::size_t ready() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
