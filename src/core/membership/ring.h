// The present members on a circle, by a hash of their ids: who keeps a connection to whom.
//
// Intuition: people holding hands in a circle notice at once when a neighbour lets go; a few hold a string
// across the circle too, so that a shout gets round in few steps. Each member connects to its next few
// successors and along two chords (half and a quarter of the way round); a connection serves both ends, so a
// member is watched from both sides. Invariants: every node with the same members computes the same circle; a
// change of one member moves only the connections next to it and the chords that end there.
#pragma once

#include <cstddef>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace hs {

class Ring {
 public:
  void Insert(NodeId id) { places_.insert(PlaceOf(id)); }
  void Erase(NodeId id) { places_.erase(PlaceOf(id)); }
  std::size_t size() const { return places_.size(); }

  // The next (`forward`) or previous `count` members, nearest first, without `id` itself, which need not be
  // here.
  std::vector<NodeId> Nearest(NodeId id, std::size_t count, bool forward) const;

  // To whom `id` keeps connections: successors and chords. Sorted.
  std::vector<NodeId> Holds(NodeId id, std::size_t neighbours) const;

  // The member half the circle away from `id`; `id` itself when it is alone.
  NodeId Across(NodeId id) const { return At(PlaceOf(id).first + (std::uint64_t{1} << 63)); }

  // Who notices when `id` breaks off: neighbours on both sides and the ends of its chords. Sorted.
  std::vector<NodeId> Watchers(NodeId id, std::size_t neighbours) const;

 private:
  using Place = std::pair<std::uint64_t, NodeId>;
  static Place PlaceOf(NodeId id);
  NodeId At(std::uint64_t position) const;

  std::set<Place> places_;
};

}  // namespace hs
