// A pace with a burst: so many at once, and so many per second after that.
//
// Invariants: never more than `burst` tokens; it starts full. It does not wait, and keeps no one in line.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/time.h"

namespace hs {

class TokenBucket {
 public:
  TokenBucket(double burst, double per_second) : burst_(burst), per_second_(per_second), tokens_(burst) {}

  // As many whole tokens as there are, at most `wanted`. `share` of the usual pace was in force since the
  // last call.
  std::size_t Take(Time now, std::size_t wanted = 1, double share = 1) {
    if (now > filled_) tokens_ = std::min(burst_, tokens_ + ToSeconds(now - filled_) * per_second_ * share);
    filled_ = std::max(filled_, now);
    const std::size_t taken = std::min(wanted, static_cast<std::size_t>(tokens_));
    tokens_ -= static_cast<double>(taken);
    return taken;
  }
  void GiveBack(std::size_t count) { tokens_ = std::min(burst_, tokens_ + static_cast<double>(count)); }

 private:
  double burst_;
  double per_second_;
  double tokens_;
  Time filled_{};
};

}  // namespace hs
