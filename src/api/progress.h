// How far a deploy has come, from what any node knows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/node/view.h"

namespace hs {

struct Progress {
  bool done = false;       // every service has all its replicas of this revision healthy
  bool failed = false;     // the rollout stopped, all crash, a newer revision took over, or it was removed
  bool is_short = false;   // all that can be placed is healthy, and something cannot be placed
  bool stopped = false;    // of what is short: an earlier rollout of the same version stopped
  std::string reason;      // of failed or short
  bool published = false;  // people are to reach it: doors have to take it up
  bool doorless = false;   // people are to reach it, and no door of the cluster works
  std::vector<std::string> warnings;  // doors that do not work, for a stack that people are to reach
  std::vector<std::string> lines;     // one per service: "web  2/3 healthy, 1 starting"
};

// Of the revision of `stack` written with `stamp`.
Progress DeployProgress(const NodeView& view, std::string_view stack, const Stamp& stamp);

std::string ProgressJson(const Progress& progress);

}  // namespace hs
