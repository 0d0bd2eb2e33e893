#include "core/membership/probe_order.h"

#include <algorithm>
#include <utility>

namespace hs {

void ProbeOrder::SwapPlaces(std::size_t a, std::size_t b) {
  std::swap(order_[a], order_[b]);
  place_[order_[a]] = a;
  place_[order_[b]] = b;
}

void ProbeOrder::Insert(NodeId id) {
  if (!place_.try_emplace(id, order_.size()).second) return;
  order_.push_back(id);
  const std::size_t remaining = order_.size() - cursor_;
  SwapPlaces(order_.size() - 1, cursor_ + prng_.Below(remaining));
}

void ProbeOrder::Erase(NodeId id) {
  const auto it = place_.find(id);
  if (it == place_.end()) return;
  std::size_t at = it->second;
  if (at < cursor_) {
    // Keep the done and the remaining apart: the last done one fills the gap.
    SwapPlaces(at, --cursor_);
    at = cursor_;
  }
  SwapPlaces(at, order_.size() - 1);
  order_.pop_back();
  place_.erase(id);
}

std::optional<NodeId> ProbeOrder::Next() {
  if (order_.empty()) return std::nullopt;
  if (cursor_ >= order_.size()) cursor_ = 0;
  // Drawing the next one is shuffling step by step.
  SwapPlaces(cursor_, cursor_ + prng_.Below(order_.size() - cursor_));
  return order_[cursor_++];
}

std::vector<NodeId> ProbeOrder::Draw(std::size_t count, const std::vector<NodeId>& except) {
  std::vector<NodeId> drawn;
  const auto taken = [&](NodeId id) {
    return std::find(except.begin(), except.end(), id) != except.end() ||
           std::find(drawn.begin(), drawn.end(), id) != drawn.end();
  };
  if (order_.size() <= 4 * (count + except.size())) {
    std::vector<NodeId> pool;
    for (const NodeId& id : order_) {
      if (!taken(id)) pool.push_back(id);
    }
    prng_.Shuffle(pool);
    if (pool.size() > count) pool.resize(count);
    return pool;
  }
  // Far more members than needed: a hit is likely, so draw until there are enough.
  while (drawn.size() < count) {
    const NodeId id = order_[prng_.Below(order_.size())];
    if (!taken(id)) drawn.push_back(id);
  }
  return drawn;
}

}  // namespace hs
