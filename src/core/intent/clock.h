// The hybrid logical clock that stamps documents (Kulkarni et al. 2014), on the members' median clock.
//
// Like a village that keeps its time by asking round: whoever's own watch is a year off still writes the
// village's date. A counter orders what happens within one millisecond, and the writer's id makes every stamp
// unique.
//
// Invariants:
//  1. Next() is greater than `above` and than every stamp given out or seen, save those too far ahead.
//  2. A stamp too far ahead never moves this clock.
// Where the members are even in number the later of the two middle clocks counts: a box whose calendar was
// lost starts in the past, hardly ever in the future. Does not read any clock, and does not keep documents.
#pragma once

#include <map>
#include <set>

#include "base/time.h"
#include "core/types.h"

namespace hs {

class HybridClock {
 public:
  HybridClock(NodeId self, Duration hold_back) : self_(self), hold_back_ms_(ToMs(hold_back)) {}

  // The peer's wall clock minus ours, as just measured.
  void Sample(NodeId peer, std::int64_t offset_ms);
  // Only these count from now on.
  void KeepOnly(const std::set<NodeId>& present);

  WallMs Median(WallMs own_ms) const;
  bool TooFarAhead(WallMs stamp_ms, WallMs own_ms) const { return stamp_ms > Median(own_ms) + hold_back_ms_; }
  // How long until it is not too far ahead any more; 0 when it is not.
  Duration UntilDue(WallMs stamp_ms, WallMs own_ms) const;

  void Saw(const Stamp& stamp, WallMs own_ms);
  // `above`: what this write replaces; zero for none. It counts even when it is itself too far ahead: whoever
  // writes a key means to replace what is there.
  Stamp Next(const Stamp& above, WallMs own_ms);

 private:
  NodeId self_;
  std::int64_t hold_back_ms_;
  std::map<NodeId, std::int64_t> offsets_;
  Stamp last_;
};

}  // namespace hs
