#include "core/membership/gossip_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace hs {

std::size_t EncodedBytes(const MemberUpdate& update) {
  // Id 18, boot id 10, incarnation 14, state 2, frame 4; a witness is an id with its tag.
  std::size_t bytes = kUpdateBytesMin + 18 * update.witnesses->size();
  if (update.meta) {
    // Two endpoints, ports, capacity, region and roles, with their tags.
    bytes += 100 + update.meta->name.size() + update.meta->version.size();
    if (update.meta->dials_out) bytes += 2 + 18 * update.meta->relays.size();
    for (const auto& [key, value] : update.meta->labels) bytes += 8 + key.size() + value.size();
  }
  return bytes;
}

void GossipQueue::Put(MemberUpdate update) {
  Erase(update.id);
  if (turns_.size() == kEntriesMax) Drop(std::prev(turns_.end()));
  std::size_t at = 0;
  while (at < entries_.size() && entries_[at].used) ++at;
  if (at == entries_.size()) {
    entries_.emplace_back();
    prefixes_.emplace_back();
  }
  prefixes_[at] = update.id.Prefix64();
  const std::size_t bytes = EncodedBytes(update);
  entries_[at] = {std::move(update), bytes, true};
  const Turn turn{0, next_order_--, static_cast<std::uint32_t>(at)};
  turns_.insert(std::lower_bound(turns_.begin(), turns_.end(), turn), turn);
}

void GossipQueue::Erase(NodeId id) {
  const std::uint64_t prefix = id.Prefix64();
  for (std::uint32_t at = 0; at < prefixes_.size(); ++at) {
    if (prefixes_[at] != prefix || !entries_[at].used || entries_[at].update.id != id) continue;
    return Drop(std::find_if(turns_.begin(), turns_.end(), [&](const Turn& t) { return t.entry == at; }));
  }
}

void GossipQueue::Drop(std::vector<Turn>::iterator turn) {
  entries_[turn->entry] = {};
  turns_.erase(turn);
}

void GossipQueue::Take(std::size_t bytes, int limit, std::vector<MemberUpdate>& into) {
  // Too large ones are passed over, but a long queue is not searched to its end for a small one.
  constexpr std::size_t kLooksMax = 24;
  std::vector<Turn> taken;
  const std::size_t looks = std::min(turns_.size(), kLooksMax);
  std::size_t kept = 0;
  for (std::size_t look = 0; look < looks; ++look) {
    const Turn turn = turns_[look];
    const Entry& entry = entries_[turn.entry];
    const auto same = [&](const MemberUpdate& u) { return u.id == entry.update.id; };
    if (entry.bytes > bytes || std::any_of(into.begin(), into.end(), same)) {
      turns_[kept++] = turn;
      continue;
    }
    bytes -= entry.bytes;
    into.push_back(entry.update);
    taken.push_back(turn);
  }
  turns_.erase(turns_.begin() + static_cast<std::ptrdiff_t>(kept),
               turns_.begin() + static_cast<std::ptrdiff_t>(looks));
  for (Turn turn : taken) {
    ++turn.sent;
    const auto place = turns_.insert(std::lower_bound(turns_.begin(), turns_.end(), turn), turn);
    if (turn.sent >= limit) Drop(place);
  }
}

}  // namespace hs
