#include "core/control/queue_room.h"

#include <algorithm>
#include <cmath>

namespace hs {

namespace {

constexpr double kMemory = 1;  // seconds
constexpr Duration kCertain = 200ms;
constexpr double kPatience = 0.05;  // seconds

}  // namespace

std::uint32_t QueueRoom::Step(Time now, const QueueTick& tick) {
  const double seconds = seen_ ? ToSeconds(now - last_) : 0;
  const bool waits = tick.queued > 0;
  if (!seen_ || waits == stands_) other_since_ = now;
  if (now - other_since_ >= kCertain) {
    stands_ = waits;
    other_since_ = now;
  }
  seen_ = true;
  last_ = now;
  if (seconds <= 0) return room_;
  const double fade = std::exp(-seconds / kMemory);
  seconds_ = seconds_ * fade + seconds;
  done_ = done_ * fade + tick.completed;
  inside_ = inside_ * fade + tick.inside * seconds;
  const double residence = done_ > 0 ? inside_ / done_ : 0;
  const double patience = std::min(ToSeconds(kQueueDeadline), std::max(kPatience, residence / 2));
  const double room = std::ceil(done_ / seconds_ * patience - 0.01);  // a hair is nobody
  room_ = static_cast<std::uint32_t>(std::clamp<double>(room, stands_ ? kRoomMin : kRoomAtFirst, kRoomMax));
  return room_;
}

}  // namespace hs
