#include "core/membership/gossip_queue.h"

#include <algorithm>
#include <utility>

namespace hs {

std::size_t EncodedBytes(const MemberUpdate& update) {
  // Id 18, boot id 10, incarnation 14, state 2, frame 4; a witness is an id with its tag.
  std::size_t bytes = 48 + 18 * update.witnesses.size();
  if (update.meta) {
    // Two endpoints, ports, capacity, region and roles, with their tags.
    bytes += 100 + update.meta->name.size() + update.meta->version.size();
    if (update.meta->dials_out) bytes += 2 + 18 * update.meta->relays.size();
    for (const auto& [key, value] : update.meta->labels) bytes += 8 + key.size() + value.size();
  }
  return bytes;
}

void GossipQueue::Put(MemberUpdate update) {
  const NodeId id = update.id;
  Erase(id);
  Entry entry{std::move(update), 0, next_order_--, 0};
  entry.bytes = EncodedBytes(entry.update);
  by_need_.insert({0, entry.order, id});
  entries_.emplace(id, std::move(entry));
}

void GossipQueue::Erase(NodeId id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  by_need_.erase({it->second.sent, it->second.order, id});
  entries_.erase(it);
}

void GossipQueue::Take(std::size_t bytes, int limit, std::vector<MemberUpdate>& into) {
  // Too large ones are passed over, but a long queue is not searched to its end for a small one.
  constexpr int kLooksMax = 24;
  std::vector<Key> taken;
  int looks = 0;
  for (const auto& key : by_need_) {
    if (++looks > kLooksMax) break;
    const Entry& entry = entries_.at(std::get<NodeId>(key));
    const auto same = [&](const MemberUpdate& u) { return u.id == entry.update.id; };
    if (entry.bytes > bytes || std::any_of(into.begin(), into.end(), same)) continue;
    bytes -= entry.bytes;
    into.push_back(entry.update);
    taken.push_back(key);
  }
  for (const auto& key : taken) {
    const NodeId id = std::get<NodeId>(key);
    by_need_.erase(key);
    Entry& entry = entries_.at(id);
    if (++entry.sent >= limit) {
      entries_.erase(id);
    } else {
      by_need_.insert({entry.sent, entry.order, id});
    }
  }
}

}  // namespace hs
