// Members on a circle, by a hash of their ids: who keeps a connection to whom.
//
// Intuition: people holding hands in a circle notice at once when a neighbour lets go; a few hold a string
// across the circle too, so that a shout gets round in few steps. Each member connects to its next few
// successors and along two chords (half and a quarter of the way round); a connection serves both ends, so a
// member is watched from both sides. Invariants: every node with the same members computes the same circle; a
// change of one member moves only the connections next to it and the chords that end there.
//
// Keeps nothing of its own: the member table has that circle, and this walks past those who do not count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/types.h"

namespace hs {

class Ring {
 public:
  using Counts = std::function<bool(const Member&)>;
  // The table must outlive the ring.
  Ring(const MemberTable& members, Counts counts) : members_(members), counts_(std::move(counts)) {}

  // The next (`forward`) or previous `count` members, nearest first, without `id` itself, which need not be
  // here.
  std::vector<NodeId> Nearest(NodeId id, std::size_t count, bool forward) const;

  // To whom `id` keeps connections: successors and chords. Sorted.
  std::vector<NodeId> Holds(NodeId id, std::size_t neighbours) const;

  // Who notices when `id` breaks off: neighbours on both sides and the ends of its chords. Sorted.
  std::vector<NodeId> Watchers(NodeId id, std::size_t neighbours) const;

 private:
  // The member so far along the circle from `id`; `id` itself where nobody counts.
  NodeId Chord(NodeId id, std::uint64_t length) const;

  const MemberTable& members_;
  Counts counts_;
};

}  // namespace hs
