// Whom to probe next: everyone once per round, in an order drawn anew for each round.
//
// Intuition: a guard who shuffles the list of doors each night but leaves none out, so that no door waits for
// more than two nights. Newcomers get a random place among those still to come in this round. Invariant:
// holds each member once. Also serves random draws of a few members. Source: Das, Gupta, Motivala, "SWIM",
// 2002, section 4.3.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/flat_map.h"
#include "base/ids.h"
#include "base/prng.h"

namespace hs {

class ProbeOrder {
 public:
  explicit ProbeOrder(Prng prng) : prng_(prng) {}

  void Insert(NodeId id);
  void Erase(NodeId id);
  bool Contains(NodeId id) const { return place_.contains(id); }

  std::optional<NodeId> Next();

  // Up to `count` different members in random order, none of `except`.
  std::vector<NodeId> Draw(std::size_t count, const std::vector<NodeId>& except);

  const std::vector<NodeId>& all() const { return order_; }
  std::size_t size() const { return order_.size(); }

 private:
  void SwapPlaces(std::size_t a, std::size_t b);

  Prng prng_;
  std::vector<NodeId> order_;  // before cursor_: done in this round
  FlatMap<NodeId, std::size_t> place_;
  std::size_t cursor_ = 0;
};

}  // namespace hs
