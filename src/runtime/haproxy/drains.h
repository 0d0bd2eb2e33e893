// Finds out when a draining replica has nothing in its hands any more, so that nobody waits for `drain_wait`
// in vain.
//
// Intuition: the shop has closed its door and the clerk looks round every quarter of a second. Empty for a
// whole second: the lights go out. Somebody still inside: as long as the house rules allow.
//
// Empty means: this box's HAProxy, through which all doors send, has no request and no connection on the
// replica, at each look of kDrainQuiet. An old HAProxy process, left by a reload, may have some that are not
// told: then nobody counts as idle.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "core/types.h"
#include "runtime/haproxy/config.h"
#include "runtime/haproxy/limiter.h"

namespace hs {

inline constexpr Duration kDrainQuiet = 1s;

class DrainWatch {
 public:
  using Replica = std::pair<std::string, std::string>;  // service, name of the server

  // What drains here by the newest table.
  void Take(const DoorTable& table);
  bool empty() const { return watched_.empty(); }
  std::string Question() const;
  // The counts of all that was asked for; those that have been quiet for long enough, each told once.
  std::vector<Replica> Step(Time now, const std::vector<ServerCount>& counts);
  // Nothing is known of this moment.
  void Missed();

 private:
  struct Quiet {
    bool tcp = false;  // the service has ports of plain TCP as well
    Time since = kNever;
    bool told = false;
  };
  std::map<Replica, Quiet> watched_;
  // Services with ports of plain TCP. Where a service lost them, nobody tells what is left on its
  // connections: what drains then is not watched.
  std::set<std::string> tcp_;
};

// Shared with the door, which changes it as its table changes.
struct Drains {
  DrainWatch watch;
  std::function<void(const std::string& server)> on_idle;
  bool looking = false;  // WatchDrains runs, or is about to
  bool closed = false;
};

// Looks until nothing drains any more.
boost::asio::awaitable<void> WatchDrains(DoorConfig config, std::shared_ptr<Drains> drains);

}  // namespace hs
