// Keeps the limits of a running HAProxy: asks for its counts ten times a second, twice a second while nothing
// is asked of it, and carries out what Limiter answers. A question that fails is followed by the next.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "core/types.h"
#include "runtime/haproxy/config.h"

namespace hs {

// Shared with the door, which changes it as its table changes.
struct LimitedServices {
  std::vector<std::string> names;  // of services with replicas here
  bool closed = false;             // ends the loop
};

std::vector<std::string> WithReplicasHere(const DoorTable& table);

boost::asio::awaitable<void> KeepLimits(DoorConfig config, std::shared_ptr<const LimitedServices> services);

}  // namespace hs
