#include "core/membership/probe_order.h"

#include <algorithm>
#include <utility>

#include "base/grow.h"

namespace hs {

void ProbeOrder::SwapPlaces(std::size_t a, std::size_t b) {
  std::swap(order_[a], order_[b]);
  place_[order_[a]] = static_cast<std::uint32_t>(a);
  place_[order_[b]] = static_cast<std::uint32_t>(b);
}

void ProbeOrder::Insert(Slot slot) {
  if (Contains(slot)) return;
  while (slot >= place_.size()) {
    MakeRoom(place_);
    place_.push_back(kNowhere);
  }
  place_[slot] = static_cast<std::uint32_t>(order_.size());
  MakeRoom(order_);
  order_.push_back(slot);
  const std::size_t remaining = order_.size() - cursor_;
  SwapPlaces(order_.size() - 1, cursor_ + prng_.Below(remaining));
}

void ProbeOrder::Erase(Slot slot) {
  if (!Contains(slot)) return;
  std::size_t at = place_[slot];
  if (at < cursor_) {
    // Keep the done and the remaining apart: the last done one fills the gap.
    SwapPlaces(at, --cursor_);
    at = cursor_;
  }
  SwapPlaces(at, order_.size() - 1);
  order_.pop_back();
  place_[slot] = kNowhere;
}

std::optional<ProbeOrder::Slot> ProbeOrder::Next() {
  if (order_.empty()) return std::nullopt;
  if (cursor_ >= order_.size()) cursor_ = 0;
  // Drawing the next one is shuffling step by step.
  SwapPlaces(cursor_, cursor_ + prng_.Below(order_.size() - cursor_));
  return order_[cursor_++];
}

std::vector<ProbeOrder::Slot> ProbeOrder::Draw(std::size_t count, const std::vector<Slot>& except) {
  std::vector<Slot> drawn;
  if (order_.size() <= 4 * (count + except.size())) {
    // Those to leave out may be most of all.
    std::vector<Slot> left_out = except;
    std::sort(left_out.begin(), left_out.end());
    std::vector<Slot> pool;
    for (const Slot slot : order_) {
      if (!std::binary_search(left_out.begin(), left_out.end(), slot)) pool.push_back(slot);
    }
    prng_.Shuffle(pool);
    if (pool.size() > count) pool.resize(count);
    return pool;
  }
  const auto taken = [&](Slot slot) {
    return std::find(except.begin(), except.end(), slot) != except.end() ||
           std::find(drawn.begin(), drawn.end(), slot) != drawn.end();
  };
  // Far more members than needed: a hit is likely, so draw until there are enough.
  while (drawn.size() < count) {
    const Slot slot = order_[prng_.Below(order_.size())];
    if (!taken(slot)) drawn.push_back(slot);
  }
  return drawn;
}

}  // namespace hs
