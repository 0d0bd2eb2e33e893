// Keeps the limits of a running HAProxy: asks for its counts ten times a second, less and less often while
// nothing is asked of it, and carries out what Limiter answers. A question that fails is followed by the
// next. Who sees that requests come again says so (Look), so that an idle box is not asked in vain.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/types.h"
#include "runtime/haproxy/config.h"

namespace hs {

// Shared with the door, which changes it as its table changes.
struct LimitedServices {
  std::vector<std::string> names;                  // of services with replicas here
  bool closed = false;                             // ends the loop
  std::optional<boost::asio::steady_timer> pause;  // until the next look

  void Look() {
    if (pause) pause->cancel();
  }
  void Close() {
    closed = true;
    Look();
  }
};

std::vector<std::string> WithReplicasHere(const DoorTable& table);

boost::asio::awaitable<void> KeepLimits(DoorConfig config, std::shared_ptr<LimitedServices> services);

}  // namespace hs
