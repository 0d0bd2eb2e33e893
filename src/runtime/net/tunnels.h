// The asking part of tunnels: ports of this box's loopback behind which a peer's ports are, by way of relays.
//
// Whoever wants to reach a peer that cannot be reached directly (a link, an API call, HAProxy) connects to
// the port that For() names instead, and speaks TLS with the peer as ever. So nobody but this file knows of
// relays, nor of lines.
//
// A port stays the same for as long as the agent runs. Tunnels over relays that are no longer the way are
// closed, unless the peer is reached directly again: then what they carry is let finish.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <vector>

#include "core/node/contract.h"
#include "runtime/net/tunnel_stream.h"

namespace hs {

struct TunnelCounts {
  std::uint64_t opened = 0;
  std::uint64_t failed = 0;
  std::size_t open = 0;  // now
};

class Tunnels {
 public:
  Tunnels(boost::asio::io_context& loop, TunnelOpener opener);
  ~Tunnels();

  void Use(const std::vector<Detour>& detours);
  // Zero when the peer is reached directly, or no port could be opened.
  Endpoint For(NodeId peer, TunnelService service);
  TunnelCounts counts() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
