#include "core/membership/ring.h"

#include <algorithm>

namespace hs {

std::vector<NodeId> Ring::Nearest(NodeId id, std::size_t count, bool forward) const {
  std::vector<NodeId> found;
  if (members_.empty()) return found;
  std::size_t at = members_.CircleFrom(MemberTable::HashOf(id), id);
  for (std::size_t steps = 0; steps < members_.size() && found.size() < count; ++steps) {
    if (!forward) at = members_.CircleBefore(at);
    const Member& member = members_.CircleAt(at);
    if (member.id != id && counts_(member)) found.push_back(member.id);
    if (forward) at = members_.CircleNext(at);
  }
  return found;
}

NodeId Ring::Chord(NodeId id, std::uint64_t length) const {
  if (members_.empty()) return id;
  std::size_t at = members_.CircleFrom(MemberTable::HashOf(id) + length, NodeId{});
  for (std::size_t steps = 0; steps < members_.size(); ++steps, at = members_.CircleNext(at)) {
    if (const Member& member = members_.CircleAt(at); counts_(member)) return member.id;
  }
  return id;
}

std::vector<NodeId> Ring::Holds(NodeId id, std::size_t neighbours) const {
  std::vector<NodeId> holds = Nearest(id, neighbours, true);
  for (const std::uint64_t chord : {std::uint64_t{1} << 63, std::uint64_t{1} << 62}) {
    if (const NodeId end = Chord(id, chord); end != id) holds.push_back(end);
  }
  std::sort(holds.begin(), holds.end());
  holds.erase(std::unique(holds.begin(), holds.end()), holds.end());
  return holds;
}

std::vector<NodeId> Ring::Watchers(NodeId id, std::size_t neighbours) const {
  std::vector<NodeId> watchers = Holds(id, neighbours);
  const std::vector<NodeId> before = Nearest(id, neighbours, false);
  watchers.insert(watchers.end(), before.begin(), before.end());
  std::sort(watchers.begin(), watchers.end());
  watchers.erase(std::unique(watchers.begin(), watchers.end()), watchers.end());
  return watchers;
}

}  // namespace hs
