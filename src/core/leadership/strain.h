// Whether this node keeps up: judged by itself from what it measures, so that it can give its roles away
// before others suspect it.
//
// Intuition: a watchman who notices that he nods off asks to be relieved; one yawn is not enough, and he does
// not take the watch back at the first clear minute.
//
// Strained after kStrainSeconds of bad seconds within kStrainWindow; relieved only after kReliefSeconds in a
// row below half of both limits. So whatever the load does, the answer changes at most twice in about that
// long, and a role that is given away for strain does not come and go.
#pragma once

#include <string>

#include "core/load.h"

namespace hs {

// A loop that is this late answers probes late as well: suspicion starts at twice that (probe_timeout).
inline constexpr float kStrainLagMs = 100;
// Nearly all of the time some task of the box waits for a CPU.
inline constexpr float kStrainPressure = 0.9F;
inline constexpr int kStrainWindow = 10;  // seconds
inline constexpr int kStrainSeconds = 8;  // of them bad
inline constexpr int kReliefSeconds = 60;

class StrainGauge {
 public:
  // Once a second, what this node measured of itself. True when the answer changed.
  bool Step(const NodeLoad& load);

  bool strained() const { return strained_; }
  const std::string& cause() const { return cause_; }  // of the last change, with the numbers

 private:
  unsigned bad_seconds_ = 0;  // one bit a second, newest lowest
  int good_in_a_row_ = 0;
  bool strained_ = false;
  std::string cause_;
};

}  // namespace hs
