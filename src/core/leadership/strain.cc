#include "core/leadership/strain.h"

#include <bit>

namespace hs {
namespace {

std::string Numbers(const NodeLoad& load) {
  std::string words = "the agent's loop is " + std::to_string(static_cast<int>(load.lag_ms)) + " ms late";
  if (load.pressure_cpu >= 0) {
    words += " and tasks of the box wait for a CPU " +
             std::to_string(static_cast<int>(load.pressure_cpu * 100)) + " % of the time";
  }
  return words;
}

}  // namespace

bool StrainGauge::Step(const NodeLoad& load) {
  const bool bad = load.lag_ms >= kStrainLagMs || load.pressure_cpu >= kStrainPressure;
  const bool good = load.lag_ms < kStrainLagMs / 2 && load.pressure_cpu < kStrainPressure / 2;
  bad_seconds_ = (bad_seconds_ << 1 | (bad ? 1U : 0U)) & ((1U << kStrainWindow) - 1);
  good_in_a_row_ = good ? good_in_a_row_ + 1 : 0;
  if (!strained_ && std::popcount(bad_seconds_) >= kStrainSeconds) {
    strained_ = true;
    cause_ = "overloaded in " + std::to_string(kStrainSeconds) + " of the last " +
             std::to_string(kStrainWindow) + " s: " + Numbers(load);
    return true;
  }
  if (strained_ && good_in_a_row_ >= kReliefSeconds) {
    strained_ = false;
    bad_seconds_ = 0;
    cause_ = "has kept up for " + std::to_string(kReliefSeconds) + " s: " + Numbers(load);
    return true;
  }
  return false;
}

}  // namespace hs
