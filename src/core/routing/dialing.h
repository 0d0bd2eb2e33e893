// To which members a box that nobody can connect to keeps lines.
//
// Intuition: whoever has no address that others can find takes up to three post boxes, near by and at good
// houses; when a house closes, another is taken the same day.
//
// Invariants:
//  1. At most kLineRelaysMax, none of which dials out itself.
//  2. Sticky: one is given up when it is no member any more or its direct path is cut, and else only for one
//     that is clearly nearer, one every kLookPause.
//  3. Of equals each box prefers others, so that not all load the same relays.
// It opens no connection.
#pragma once

#include <map>
#include <vector>

#include "core/routing/routing.h"
#include "core/types.h"

namespace hs {

class Dialing {
 public:
  static constexpr Duration kLookPause = 10s;

  explicit Dialing(NodeId self) : self_(self) {}

  // True: the relays are others now. Call it when members or routes changed, and at NextDeadline().
  bool Step(Time now, const MemberTable& members, const Routing& routing);
  const std::vector<NodeId>& relays() const { return relays_; }  // sorted
  Time NextDeadline() const { return look_next_; }

 private:
  struct Candidate {
    bool unfit;  // flapped, or cannot keep up: only where there is no other
    int distance;
    std::uint64_t draw;
    NodeId id;
    auto operator<=>(const Candidate&) const = default;
  };

  // The best first.
  std::vector<Candidate> Candidates(Time now, const MemberTable& members, const Routing& routing) const;
  void TakeIfNearer(NodeId candidate, const Routing& routing);

  NodeId self_;
  std::vector<NodeId> relays_;
  Time look_next_{};
};

}  // namespace hs
