#include "core/intent/clock.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace hs {
namespace {

// A peer may say anything; beyond this it only matters that it is far, and sums must not overflow.
constexpr std::int64_t kOffsetMaxMs = 100LL * 365 * 24 * 3'600'000;

Stamp After(const Stamp& stamp, NodeId self) {
  if (stamp.logical == std::numeric_limits<std::uint32_t>::max()) return {stamp.wall_ms + 1, 0, self};
  return {stamp.wall_ms, stamp.logical + 1, self};
}

}  // namespace

void HybridClock::Advance(Now now) {
  const std::int64_t difference = now.wall_ms - ToMs(now.mono.time_since_epoch());
  const std::int64_t moved = difference - wall_minus_mono_ms_;
  wall_minus_mono_ms_ = difference;
  if (!std::exchange(advanced_, true) || moved == 0) return;
  moved_ms_ += moved;
  middle_ = {};
}

void HybridClock::Sample(NodeId peer, std::int64_t offset_ms) {
  offsets_[peer] = std::clamp(offset_ms, -kOffsetMaxMs, kOffsetMaxMs) + moved_ms_;
  middle_ = {};
}

WallMs HybridClock::Median(WallMs own_ms) const { return MedianAt(own_ms, true); }

WallMs HybridClock::MedianAt(WallMs own_ms, bool later) const {
  std::optional<std::int64_t>& known = middle_[later ? 1 : 0];
  if (known) return own_ms + *known;
  std::vector<std::int64_t> offsets{0};
  for (const auto& [peer, offset] : offsets_)
    offsets.push_back(std::clamp(offset - moved_ms_, -kOffsetMaxMs, kOffsetMaxMs));
  const auto middle = offsets.begin() + static_cast<std::ptrdiff_t>((offsets.size() - (later ? 0 : 1)) / 2);
  std::nth_element(offsets.begin(), middle, offsets.end());
  known = *middle;
  return own_ms + *known;
}

Duration HybridClock::UntilDue(WallMs stamp_ms, WallMs own_ms) const {
  // Far enough to be no answer, near enough not to overflow nanoseconds.
  constexpr std::int64_t kFarMs = 365LL * 24 * 3'600'000;
  const WallMs limit = Median(own_ms) + hold_back_ms_;
  if (stamp_ms <= limit) return Duration::zero();
  return std::chrono::milliseconds(std::min(std::min(stamp_ms, limit + kFarMs) - limit, kFarMs));
}

void HybridClock::Saw(const Stamp& stamp, WallMs own_ms) {
  if (!TooFarAhead(stamp.wall_ms, own_ms)) last_ = std::max(last_, stamp);
}

Stamp HybridClock::Next(const Stamp& above, WallMs own_ms) {
  // Stamps that this node gave out alone, under a clock the others now show to be wrong, must not bind it.
  if (TooFarAhead(last_.wall_ms, own_ms)) last_ = Stamp{};
  const Stamp base = std::max(last_, above);
  Stamp next{MedianAt(own_ms, false), 0, self_};
  if (next.wall_ms <= base.wall_ms) next = After(base, self_);
  if (!TooFarAhead(next.wall_ms, own_ms)) last_ = std::max(last_, next);
  return next;
}

}  // namespace hs
