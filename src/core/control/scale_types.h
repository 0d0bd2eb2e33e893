// What the control laws read and what they answer: a goal, one second of one service, a decision.
//
// Everything is summed or averaged over the whole cluster and over one second. A field that nobody could
// measure is absent, never zero: zero is a claim.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"

namespace hs {

// What `x-scale` asks for.
struct ScaleGoal {
  enum class Target : std::uint8_t {
    kAutomatic,  // keep the response time near its unloaded value; capacity is learned
    kInFlight,   // requests in flight per replica
    kCpuShare,   // CPU used, as a share of what one replica may use
    kAppMetric,  // a number read from the app (a queue's length), per replica
  };
  std::int64_t min = 1;  // at least 1
  std::int64_t max = 1;  // at least min
  Target target = Target::kAutomatic;
  double target_value = 0;  // > 0 per replica; not read when automatic

  friend bool operator==(const ScaleGoal&, const ScaleGoal&) = default;
};

// One second of one service. Rates are per second; every number is finite and not negative.
struct ScaleSample {
  double arrivals = 0;     // offered: what was refused counts too, a retry as well
  double refused = 0;      // of these, answered 503 before any replica worked on them
  double completions = 0;  // answered by replicas
  double in_flight = 0;    // mean over the second: waiting and being served
  double queued = 0;       // mean over the second: only waiting
  // What was still waiting when the second ended: work that is owed on top of new arrivals.
  double backlog = 0;
  std::optional<double> response_mean_s;  // of those completed
  std::optional<double> response_p99_s;
  // CPU used by the healthy replicas over what they may use: 1 is all of it.
  std::optional<double> cpu_share;
  std::optional<double> app_metric;  // summed over the replicas
  std::int64_t healthy = 0;
  std::int64_t starting = 0;
  std::int64_t draining = 0;
  // Share of the nodes and replicas that should have reported and did: 1 is all of them.
  double coverage = 1;
  Duration start_up = 1s;  // measured: from the decision to serving
};

struct ScaleDecision {
  enum class Cause : std::uint8_t {
    kHold,       // nothing to do: inside the dead band
    kUp,         // the need is above the level
    kDown,       // the need was below the level for a whole window
    kBounds,     // min or max moved past the level
    kUncertain,  // would go down, but somebody is silent
  };
  std::int64_t level = 1;  // replicas that should exist, those that are starting included
  Cause cause = Cause::kHold;
  bool changed = false;  // against the decision before
  bool capped = false;   // the need is above max
  // For people, with the numbers read; set when `changed`.
  std::string reason;
};

}  // namespace hs
