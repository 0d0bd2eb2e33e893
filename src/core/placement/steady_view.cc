#include "core/placement/steady_view.h"

namespace hs {

SteadyView::SteadyView(NodeId self, const std::vector<std::pair<NodeId, Endpoint>>& peers) {
  counted_[self] = false;
  for (const auto& [id, address] : peers) {
    if (id) counted_.try_emplace(id, true);  // nothing is known of what became of it
  }
}

void SteadyView::Observe(const MemberTable& members, const std::set<NodeId>& removed, bool steady) {
  auto known = members.begin();  // both are sorted by id
  for (auto it = counted_.begin(); it != counted_.end();) {
    auto& [id, silent] = *it;
    while (known != members.end() && known->first < id) ++known;
    bool out = removed.contains(id);
    if (known != members.end() && known->first == id) {
      const MemberState state = known->second.state;
      if (IsPresent(state) || state == MemberState::kAgentDown) silent = false;
      if (state == MemberState::kUnreachable) silent = true;
      out = out || state == MemberState::kLeft || (state == MemberState::kDead && !silent);
    }
    it = out ? counted_.erase(it) : std::next(it);
  }
  if (!steady) return;
  for (const auto& [id, member] : members) {
    if (IsPresent(member.state)) counted_.try_emplace(id, false);
  }
}

SteadyView::Standing SteadyView::StandingOf(const MemberTable& members) const {
  Standing standing{0, counted_.size()};
  for (const auto& [id, silent] : counted_) {
    const auto member = members.find(id);
    standing.here += member != members.end() && IsPresent(member->second.state) ? 1 : 0;
  }
  return standing;
}

bool SteadyView::Complete(const MemberTable& members, bool long_ago) const {
  for (const auto& [id, member] : members) {
    if (member.state == MemberState::kUnreachable || member.state == MemberState::kAgentDown) return false;
  }
  if (long_ago) return true;
  for (const auto& [id, silent] : counted_) {
    if (!members.contains(id)) return false;
  }
  return true;
}

std::string SteadyView::Standing::Words() const {
  return std::to_string(here) + " of " + std::to_string(counted) + (counted == 1 ? " box is" : " boxes are") +
         " here";
}

}  // namespace hs
