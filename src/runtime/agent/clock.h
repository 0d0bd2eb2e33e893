// The only place where the agent reads the time.
#pragma once

#include <chrono>

#include "base/time.h"

namespace hs {

// Shifted, so that "never happened" (zero) is long ago even right after the box was switched on.
inline constexpr Duration kMonotonicShift = 1000h;

inline Now ReadClocks() {
  const auto mono = std::chrono::steady_clock::now().time_since_epoch();
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return {Time(std::chrono::duration_cast<Duration>(mono) + kMonotonicShift),
          std::chrono::duration_cast<std::chrono::milliseconds>(wall).count()};
}

inline std::chrono::steady_clock::time_point ToSteady(Time time) {
  return std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(time.time_since_epoch() -
                                                                      kMonotonicShift));
}

}  // namespace hs
