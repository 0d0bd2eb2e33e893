#include "core/membership/refusals.h"

namespace hs {

void RefusalBook::Add(NodeId target, NodeId witness, std::uint32_t boot, Time now) {
  auto& claims = claims_[target];
  std::erase_if(claims, [&](const auto& entry) { return now - entry.second.at > kClaimLife; });
  claims[witness] = {boot, now};
}

void RefusalBook::Withdraw(NodeId target, NodeId witness) {
  const auto it = claims_.find(target);
  if (it == claims_.end()) return;
  it->second.erase(witness);
  if (it->second.empty()) claims_.erase(it);
}

std::vector<NodeId> RefusalBook::Witnesses(NodeId target, std::uint32_t boot, Time now) const {
  std::vector<NodeId> found;
  const auto it = claims_.find(target);
  if (it == claims_.end()) return found;
  for (const auto& [witness, claim] : it->second) {
    if (claim.boot == boot && now - claim.at <= kClaimLife) found.push_back(witness);
  }
  return found;
}

bool RefusalBook::Has(NodeId target, NodeId witness, std::uint32_t boot, Time now) const {
  const auto it = claims_.find(target);
  if (it == claims_.end()) return false;
  const auto claim = it->second.find(witness);
  return claim != it->second.end() && claim->second.boot == boot && now - claim->second.at <= kClaimLife;
}

}  // namespace hs
