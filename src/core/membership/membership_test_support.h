// Test only: what tests of clusters of Memberships measure: how long all take, and whom they accuse.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/membership/mini_network.h"

namespace hs {

struct Spread {
  Duration median;
  Duration p99;
};
inline Spread SpreadOf(std::vector<Duration> times) {
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

// No node of `healthy` may ever have been seen as gone by anyone that was awake.
inline std::string Accused(const MiniNetwork& net, const std::function<bool(int)>& healthy) {
  for (const auto& change : net.changes) {
    if (!healthy(change.subject) || IsPresent(change.to)) continue;
    return std::to_string(change.observer) + " holds " + std::to_string(change.subject) + " for " +
           ToString(change.to) + " (" + change.cause + ") at " +
           std::to_string(ToMs(change.at.time_since_epoch()));
  }
  return "";
}

}  // namespace hs
