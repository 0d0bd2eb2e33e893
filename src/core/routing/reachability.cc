#include "core/routing/reachability.h"

#include <algorithm>

namespace hs {

std::vector<ReachabilityChanged> Reachability::Step(Time now, const ReachabilityInput& input) {
  if (const auto* reached = std::get_if<Reached>(&input)) {
    if (unreachable_.erase(reached->peer) == 0) return {};
    return {{reached->peer, true}};
  }
  if (const auto* missed = std::get_if<NotReached>(&input)) {
    if (missed->peer == self_ || !missed->peer) return {};
    if (!unreachable_.try_emplace(missed->peer, now).second) return {};
    return {{missed->peer, false}};
  }
  const auto& members = std::get<ReachabilityMembers>(input).members;
  std::erase_if(unreachable_,
                [&](const auto& entry) { return std::ranges::find(members, entry.first) == members.end(); });
  return {};
}

}  // namespace hs
