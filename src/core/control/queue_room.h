// How many requests may wait for a service's replicas on one node.
//
// Intuition: the rope in front of a bank. A queue that empties again and again is a good queue: it takes up
// bursts and may be long, since nobody stands in it for long (and nobody longer than kQueueDeadline). One
// that never empties only makes everybody late: then as many may stand behind the rope as will be served
// soon, and the others are told at once. (Controlled delay: Nichols and Jacobson 2012; two patiences for one
// queue: Maurer, Fail at Scale, 2015.)
//
//   room = throughput x the longer of 50 ms and half the time inside     while the queue stands
//        = at least kRoomAtFirst                                         else
//
// It stands once it was never seen empty for 200 ms, until it was always seen empty for 200 ms. Never below
// kRoomMin: a service that answers nothing for a while must find somebody waiting when it wakes.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace hs {

inline constexpr std::uint32_t kRoomAtFirst = 100;
inline constexpr std::uint32_t kRoomMin = 2;
inline constexpr std::uint32_t kRoomMax = 2000;
inline constexpr Duration kQueueDeadline = 125ms;

// Sums over a service's replicas on this node, since the last look.
struct QueueTick {
  double completed = 0;
  double inside = 0;  // now
  double queued = 0;  // now
};

class QueueRoom {
 public:
  // The room from now on. The first call only remembers.
  std::uint32_t Step(Time now, const QueueTick& tick);
  std::uint32_t room() const { return room_; }
  bool stands() const { return stands_; }

 private:
  bool seen_ = false;
  bool stands_ = false;
  Time last_{};
  Time other_since_{};  // since when the queue is other than `stands_` says; last_ when it is not
  double seconds_ = 0, done_ = 0, inside_ = 0;  // fading sums: time, completions, requests inside x time
  std::uint32_t room_ = kRoomAtFirst;
};

}  // namespace hs
