// Ports for replicas: from a range of the node's own, below the ephemeral ports (Linux: 32768), so that no
// outgoing connection of the box ever takes one. Each node starts at another place in it, so nodes that share
// a box rarely meet.
//
// A port is free when it can be bound on every address, without SO_REUSEADDR: then any program can, also one
// that does not set that option while old connections linger. Between the check and the program's bind
// another may be faster; the program then ends, and its next start finds the port in use and takes a new one.
#pragma once

#include <cstdint>
#include <set>

#include "base/endpoint.h"
#include "base/ids.h"

namespace hs {

inline constexpr std::uint16_t kReplicaPortMin = 10'000;
inline constexpr std::uint16_t kReplicaPortMax = 32'000;

bool IsPortFree(const IpAddress& host, std::uint16_t port);
// Whether this box holds the address.
bool IsBindable(const IpAddress& host);

class PortRange {
 public:
  explicit PortRange(const NodeId& node);

  // `preferred` if it is free, else the next free one after the last handed out that is not in `taken`.
  // 0 when every port is in use.
  std::uint16_t Take(const IpAddress& host, std::uint16_t preferred, const std::set<std::uint16_t>& taken);

 private:
  std::uint16_t next_;
};

}  // namespace hs
