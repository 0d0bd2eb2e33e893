#include "core/routing/carry.h"

#include <algorithm>

namespace hs {
namespace {

bool IsHere(const MemberTable& members, NodeId id) {
  const auto member = members.find(id);
  return member != members.end() && member->second.state != MemberState::kLeft;
}

bool Names(const std::vector<NodeId>& way, NodeId id) { return std::ranges::find(way, id) != way.end(); }

}  // namespace

CarryDecision Carrier::Step(Time now, const MemberTable& members, NodeId from, const Relayed& message) {
  // Whoever hands it over must be the one the way says.
  const NodeId before = message.behind.empty() ? message.source : message.behind.back();
  const bool names_self =
      message.source == self_ || Names(message.ahead, self_) || Names(message.behind, self_);
  if (before != from || names_self || !IsHere(members, from)) {
    ++counts_.refused;
    return NotCarried{};
  }
  if (message.ahead.empty()) {
    if (message.behind.empty()) {
      ++counts_.refused;  // relayed by nobody
      return NotCarried{};
    }
    return DeliverHere{message.source, {message.behind.rbegin(), message.behind.rend()}};
  }
  if (!IsHere(members, message.source) || !IsHere(members, message.ahead.front())) {
    ++counts_.refused;
    return NotCarried{};
  }
  if (tokens_.Take(now) == 0) {
    ++counts_.dropped;
    return NotCarried{};
  }
  ++counts_.carried;
  CarryOn on{message.ahead.front(), message};
  on.message.behind.push_back(self_);
  on.message.ahead.erase(on.message.ahead.begin());
  return on;
}

}  // namespace hs
