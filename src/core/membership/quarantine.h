// How long a member that keeps going away and coming back gets no new work.
//
// Intuition: the first return is welcome (a restart, a healed cut); who comes and goes again waits before
// being relied on, twice as long each time, and is forgiven after a calm time. Computed by each node for
// itself from what it saw: nothing is spread, and nobody can be quarantined by a rumour.
#pragma once

#include <algorithm>

#include "base/time.h"

namespace hs {

class Quarantine {
 public:
  // The member is present again after an absence that it had not announced. Returns until when it is not
  // relied on; Time{} when it is welcome.
  Time OnReturn(Time now, Duration base, Duration max) {
    // Calm as long as the longest quarantine: forgiven.
    if (now - last_return_ > max + Length(base, max)) returns_ = 0;
    last_return_ = now;
    ++returns_;
    const Duration length = Length(base, max);
    return length == Duration{} ? Time{} : now + length;
  }

 private:
  Duration Length(Duration base, Duration max) const {
    if (returns_ < 2) return {};
    const int doublings = std::min(returns_ - 2, 20);
    return std::min(max, base * (std::int64_t{1} << doublings));
  }

  int returns_ = 0;
  Time last_return_{};
};

}  // namespace hs
