// Whom to probe next: everyone once per round, in an order drawn anew for each round.
//
// Intuition: a guard who shuffles the list of doors each night but leaves none out, so that no door waits for
// more than two nights. Newcomers get a random place among those still to come in this round. Invariant:
// holds each member once. Also serves random draws of a few members. Members are named by their slots in the
// member table. Source: Das, Gupta, Motivala, "SWIM", 2002, section 4.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/prng.h"
#include "core/types.h"

namespace hs {

class ProbeOrder {
 public:
  using Slot = MemberTable::Slot;

  explicit ProbeOrder(Prng prng) : prng_(prng) {}

  void Insert(Slot slot);
  void Erase(Slot slot);
  bool Contains(Slot slot) const { return slot < place_.size() && place_[slot] != kNowhere; }

  std::optional<Slot> Next();

  // Up to `count` different members in random order, none of `except`.
  std::vector<Slot> Draw(std::size_t count, const std::vector<Slot>& except);

  const std::vector<Slot>& all() const { return order_; }
  std::size_t size() const { return order_.size(); }

 private:
  static constexpr std::uint32_t kNowhere = ~std::uint32_t{0};
  void SwapPlaces(std::size_t a, std::size_t b);

  Prng prng_;
  std::vector<Slot> order_;           // before cursor_: done in this round
  std::vector<std::uint32_t> place_;  // in order_, by slot
  std::size_t cursor_ = 0;
};

}  // namespace hs
