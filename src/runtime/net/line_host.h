// The relay's part of lines: connections that boxes behind NAT opened to this one, parked until something has
// to go to such a box.
//
// Intuition: taxis that wait in a rank. Whoever wants to go takes one, and its owner sends the next.
//
// A line is a TLS connection with ALPN `homeostat-line/1` that the box dialed; it says nothing until it is
// taken. Then the taker asks over it as it would ask a relay for a tunnel (tunnel_stream.h) that ends at the
// box itself, so a line serves once. At most `parked_max` of one box are kept, and `parked_in_all_max`; more
// are closed. So are those that end or speak out of turn. Runs on the agent's loop; not thread-safe.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "runtime/net/tunnel_stream.h"

namespace hs {

struct LineHostConfig {
  std::size_t parked_max = 40;
  std::size_t parked_in_all_max = 4096;
  std::size_t waiting_max = 256;  // for lines of one box
  Duration patience = 3s;         // for the next line, where none is parked
  Duration memory = 30s;          // for so long after its last line a box counts as one that keeps lines here
};

struct LineCounts {
  std::size_t parked = 0;  // now
  std::uint64_t taken = 0;
  std::uint64_t surplus = 0;
};

class LineHost {
 public:
  LineHost(boost::asio::io_context& loop, LineHostConfig config = {});
  ~LineHost();  // closes what is parked; who waits gets nothing

  // `from` is proven, and a member.
  void Park(TlsStream&& stream, NodeId from);
  // Does this box keep lines here?
  bool Serves(NodeId node) const;
  // A line of this box; null where none came in time.
  TunnelTask<std::unique_ptr<TlsStream>> Take(NodeId node);
  LineCounts counts() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
