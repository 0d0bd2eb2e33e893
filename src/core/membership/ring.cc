#include "core/membership/ring.h"

#include <algorithm>

#include "base/prng.h"

namespace hs {

Ring::Place Ring::PlaceOf(NodeId id) { return {Mix64(id.Prefix64()), id}; }

std::vector<NodeId> Ring::Nearest(NodeId id, std::size_t count, bool forward) const {
  std::vector<NodeId> found;
  if (places_.empty()) return found;
  auto it = places_.lower_bound(PlaceOf(id));
  for (std::size_t steps = 0; steps <= places_.size() && found.size() < count; ++steps) {
    if (forward) {
      if (it == places_.end()) it = places_.begin();
    } else {
      if (it == places_.begin()) it = places_.end();
      --it;
    }
    if (it->second != id) {
      if (std::find(found.begin(), found.end(), it->second) != found.end()) break;
      found.push_back(it->second);
    }
    if (forward) ++it;
  }
  return found;
}

NodeId Ring::At(std::uint64_t position) const {
  const auto it = places_.lower_bound({position, NodeId{}});
  return it == places_.end() ? places_.begin()->second : it->second;
}

std::vector<NodeId> Ring::Holds(NodeId id, std::size_t neighbours) const {
  std::vector<NodeId> holds = Nearest(id, neighbours, true);
  if (!places_.empty()) {
    const std::uint64_t place = PlaceOf(id).first;
    for (const std::uint64_t chord : {std::uint64_t{1} << 63, std::uint64_t{1} << 62}) {
      const NodeId end = At(place + chord);
      if (end != id) holds.push_back(end);
    }
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
