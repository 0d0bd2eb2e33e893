// How many replicas one service should have, second by second.
//
// Like a good head waiter: he calls another waiter the moment the tables need one, counting those who are
// already on their way; he sends one home only when the busiest moment of the last while would have been
// served without him; and when he cannot see a part of the room he sends nobody home.
//
// The law, one term a line (docs/CONTROL.md argues for each):
//   need = forecast(level, trend; dead time) / capacity     what will be asked when a start made now serves
//        + the greatest of: queue margin                    room for chance within a second,
//                           kSpread * spread / capacity      between seconds,
//                           backlog / (capacity * catch-up) and for what is owed already
//   up    at once to ceil(need), when need minus the dead band is above the level
//   down  by a part of the surplus, when the highest need of the down window is below the level
//
// Invariants:
//  1. min <= level <= max, always.
//  2. The level falls only when every second of the down window was seen with full coverage (or max fell).
//  3. Two falls are at least `kStepDown` apart.
//  4. Same samples, same decisions.
// It knows nothing of other services, boxes or quotas: that is ShareOut. A new controller makes a new Scaler
// with the level it finds; it has then no history and lowers nothing for a whole down window. A deploy keeps
// the Scaler.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/time.h"
#include "core/control/capacity_learner.h"
#include "core/control/demand.h"
#include "core/control/scale_types.h"

namespace hs {

class Scaler {
 public:
  // `level`: the replicas that exist now.
  Scaler(Time now, const ScaleGoal& goal, std::int64_t level);

  // About once a second per service. No sample: nobody reported; the level stays.
  ScaleDecision Step(Time now, const std::optional<ScaleSample>& sample);

  // What is asked for has changed: the level is brought within the new bounds with the next Step, learned
  // capacity and history stay.
  void SetGoal(const ScaleGoal& goal);
  // A person or another controller set the level: carry on from there.
  void SetLevel(Time now, std::int64_t level);

  std::int64_t level() const { return level_; }
  // Load per second one replica is taken to bear; absent while unknown.
  std::optional<double> capacity() const;
  const DemandEstimate& demand() const { return demand_.Now(); }
  // Replicas needed as of the last sample, not rounded.
  double need() const { return need_; }
  Duration down_window() const { return down_window_; }

 private:
  struct Need {
    Time at;
    double replicas;
  };

  double Load(const ScaleSample& sample) const;
  double ComputeNeed(const ScaleSample& sample, double capacity) const;
  double Margin(double load, double capacity) const;
  double Chance(const ScaleSample& sample);
  void Judge(double load, double dead_time, double chance);
  void Remember(Time now, double need);
  ScaleDecision Bounded();
  ScaleDecision Raise(Time now, const ScaleSample& sample);
  void Jumped(Time now, double dead_time);
  ScaleDecision Lower(Time now, const ScaleSample& sample, double band);
  std::string Numbers(const ScaleSample& sample) const;

  ScaleGoal goal_;
  std::int64_t level_;
  CapacityLearner capacity_;
  Demand demand_;
  std::optional<double> stays_;  // seconds a request is inside
  double need_ = 0;
  std::deque<double> forecasts_;  // one a second, not yet come true; the front is due first
  // Highest needs of the down window, falling: the front is the highest.
  std::deque<Need> highest_;
  Duration down_window_;
  Time blind_;           // the last moment not everything was seen
  Time lowered_;         // the last fall
  Time flap_checked_;    // the down window shrinks with time since here
  Time jumped_;          // the last jump
  double jump_gap_ = 0;  // seconds between the two jumps before it; 0: there were none
  bool ever_lowered_ = false;
};

}  // namespace hs
