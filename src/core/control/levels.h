// The level of every service of a region: a Scaler for each, kept over deploys and changes of control.
//
// Intuition: one head waiter per restaurant, and the owner who remembers their names. A waiter who is
// replaced tells the next how many a colleague can serve; a new owner asks the floor how many are standing
// there and starts from that, never from the menu.
//
// Invariants:
//  1. A service with a fixed number has that number and no Scaler.
//  2. A level outlives deploys: only its service's removal ends it.
//  3. Before anything was measured the level is the one last published by anyone, else the replicas that run,
//     brought within min and max; a new controller lowers nothing for a whole down window.
//
// It does not share out what there is: that comes after (share_out.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/control/scaler.h"
#include "core/load.h"
#include "core/types.h"

namespace hs {

// What is there of one service, as the reports of its boxes say.
struct ServiceCounts {
  std::uint32_t healthy = 0;
  std::uint32_t starting = 0;
  std::uint32_t draining = 0;
};

struct LevelsInput {
  const std::vector<DesiredService>& services;         // sorted by name
  const std::map<std::string, ServiceCounts>& counts;  // absent: none
  const std::vector<ServiceLoad>& loads;               // sums over those heard; sorted by service
  double coverage = 0;                                 // share of the present nodes that are in the sums
  const std::map<std::string, Duration>& start_up;     // measured: from decision to serving; absent: unknown
  const std::map<std::string, ServiceLevel>& published;  // by whoever controlled before; absent: never
};

// One service's answer of one second.
struct LevelChange {
  std::string service;
  std::uint32_t before = 0;
  std::uint32_t after = 0;
  bool up = false;
  std::string reason;
};

struct LevelsOutcome {
  std::vector<ServiceLevel> levels;  // sorted by service; `granted` is still what is wanted
  std::vector<LevelChange> changes;  // for events
};

class Levels {
 public:
  // About once a second while this node controls: with each round of measurements.
  LevelsOutcome Step(Time now, const LevelsInput& input);
  // What is asked for changed: a service that is no longer, or no longer scaled, is forgotten at once, so
  // that one of its name that comes a moment later begins anew.
  void Keep(const std::vector<DesiredService>& services);
  // Control is lost: what was learned goes stale.
  void Close() { scalers_.clear(); }

 private:
  struct Entry {
    Scaler scaler;
    std::string cause;  // of the present level
    double capacity_told = 0;
    bool traffic_seen = false;  // doors told of a request at least once
  };
  Entry& EntryOf(Time now, const DesiredService& service, const LevelsInput& input);

  std::map<std::string, Entry> scalers_;
};

// One second of a service as its Scaler reads it; nothing when nobody was heard.
std::optional<ScaleSample> SampleOf(const DesiredService& service, const LevelsInput& input);

}  // namespace hs
