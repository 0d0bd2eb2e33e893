// The hybrid logical clock that stamps documents (Kulkarni et al. 2014), on the members' median clock.
//
// Like a village that keeps its time by asking round: whoever's own watch is a year off still writes the
// village's date. A counter orders what happens within one millisecond, and the writer's id makes every stamp
// unique.
//
// Invariants:
//  1. Next() is greater than `above` and than every stamp given out or seen, save those too far ahead.
//  2. A stamp too far ahead never moves this clock.
// Where the members are even in number there are two middle clocks. New stamps follow the earlier, since a
// stamp from the future harms everyone; what others stamped is judged by the later, so that a clock that lags
// hides nothing. Does not read any clock, and does not keep documents.
#pragma once

#include <array>
#include <optional>

#include "base/flat_map.h"
#include "base/time.h"
#include "core/types.h"

namespace hs {

class HybridClock {
 public:
  HybridClock(NodeId self, Duration hold_back) : self_(self), hold_back_ms_(ToMs(hold_back)) {}

  // To be called with each new reading: when this box's calendar was set, what was measured against it moves
  // along.
  void Advance(Now now);
  // The peer's wall clock minus ours, as just measured.
  void Sample(NodeId peer, std::int64_t offset_ms);
  // It does not count any more.
  void Forget(NodeId peer) {
    offsets_.erase(peer);
    middle_ = {};
  }

  // Of the members' clocks, the later of the two middle ones.
  WallMs Median(WallMs own_ms) const;
  // The earlier one.
  WallMs Earlier(WallMs own_ms) const { return MedianAt(own_ms, false); }
  // Others whose clock is known.
  std::size_t samples() const { return offsets_.size(); }
  bool TooFarAhead(WallMs stamp_ms, WallMs own_ms) const { return stamp_ms > Median(own_ms) + hold_back_ms_; }
  // How long until it is not too far ahead any more; 0 when it is not.
  Duration UntilDue(WallMs stamp_ms, WallMs own_ms) const;

  void Saw(const Stamp& stamp, WallMs own_ms);
  // `above`: what this write replaces; zero for none. It counts even when it is itself too far ahead: whoever
  // writes a key means to replace what is there.
  Stamp Next(const Stamp& above, WallMs own_ms);

 private:
  WallMs MedianAt(WallMs own_ms, bool later) const;

  NodeId self_;
  std::int64_t hold_back_ms_;
  FlatMap<NodeId, std::int64_t> offsets_;  // plus moved_ms_ as it was
  std::int64_t moved_ms_ = 0;              // how far this box's calendar was set, all in all
  std::int64_t wall_minus_mono_ms_ = 0;    // as last read
  bool advanced_ = false;
  // Of the offsets as they are, the earlier and the later middle one: asked for with every document.
  mutable std::array<std::optional<std::int64_t>, 2> middle_;
  Stamp last_;
};

}  // namespace hs
