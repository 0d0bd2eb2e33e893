// Time as an argument.
//
// `Time` is a reading of a monotonic clock that nobody in core or sim can ask for: the clock type has no
// now(). The caller of Step() hands a reading in. `WallMs` is a reading of the box's calendar clock, which
// may be wrong, jump, or run backwards; only intent's hybrid clock and what people read may use it.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace hs {

using Duration = std::chrono::nanoseconds;

struct ClusterClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<ClusterClock>;
  static constexpr bool is_steady = true;
};

using Time = ClusterClock::time_point;
inline constexpr Time kNever = Time::max();

// Milliseconds since the Unix epoch, by this box's own belief.
using WallMs = std::int64_t;

// One reading of both clocks, taken together when an input is handed in.
struct Now {
  Time mono;
  WallMs wall_ms = 0;
};

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;
using std::chrono_literals::operator""us;

inline std::int64_t ToMs(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}
inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace hs
