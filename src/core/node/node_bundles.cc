// Which bundles this node fetches, keeps and drops.
//
// Code is on every box before it is needed: whatever a present member holds is fetched. What no revision that
// is kept and no replica here refers to goes after `bundle_keep`, on each node for itself.
#include <algorithm>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// A bundle that could not be fetched is tried again with the next news after this long.
constexpr Duration kFetchAgain = 10s;
// Until the controllers of other regions have what was deployed there.
constexpr Duration kFetchElsewhere = 1s;

}  // namespace

void Node::Impl::Fetch(const Digest& digest) {
  FetchBundle fetch{digest, {}};
  for (const auto& [node, body] : board_.Reports()) {
    const auto& bundles = std::get<NodeReport>(*body).bundles;
    if (node == self_ || !std::binary_search(bundles.begin(), bundles.end(), digest)) continue;
    const auto member = membership_.members().find(node);
    if (member == membership_.members().end() || !IsPresent(member->second.state)) continue;
    fetch.holders.emplace_back(node, member->second.meta->address);
  }
  // Of other regions nobody here knows what they hold; their controllers fetch what any of theirs does.
  if (Regional() && fetch.holders.empty()) {
    for (const auto& [id, member] : membership_.members()) {
      if (IsPresent(member.state) && member.meta->roles.controller && id != self_)
        fetch.holders.emplace_back(id, member.meta->address);
    }
  }
  prng_.Shuffle(fetch.holders);  // so that not everyone asks the first one
  outputs_.emplace_back(std::move(fetch));
}

// Other nodes' replicas have been unpacked there, and their own nodes keep what they may have to unpack
// again.
std::set<Digest> Node::Impl::BundlesNeeded() const {
  std::set<Digest> needed;
  for (const auto& [hash, spec] : specs_) needed.insert(spec.bundle);
  for (const ReplicaStatus& status : supervisor_.statuses()) {
    if (const ServiceSpec* spec = supervisor_.SpecOf(status.id)) needed.insert(spec->bundle);
  }
  return needed;
}

void Node::Impl::SettleBundles() {
  const Time now = now_.mono;
  const std::set<Digest> needed = BundlesNeeded();
  std::erase_if(dropped_at_, [&](const auto& drop) { return now >= drop.second + tunables_.bundle_keep; });
  const auto& records = board_.records();
  for (auto it = records.begin(); it != records.end() && it->first.kind == RecordKind::kNodeReport; ++it) {
    const auto& held = std::get<NodeReport>(*it->second.body).bundles;
    if (held.empty()) continue;
    const auto member = membership_.members().find(it->first.owner);
    if (member == membership_.members().end() || !IsPresent(member->second.state)) continue;
    for (const Digest& digest : held) {
      if (bundles_.contains(digest) || (dropped_at_.contains(digest) && !needed.contains(digest))) continue;
      Time& again_at = fetching_[digest];
      if (now < again_at) continue;
      again_at = now + kFetchAgain;
      Fetch(digest);
    }
  }
  bundles_at_ = kNever;
  for (const Digest& digest : needed) {
    if (!Regional() || digest == Digest{} || bundles_.contains(digest)) continue;
    Time& again_at = fetching_.try_emplace(digest, now + kFetchElsewhere).first->second;
    if (now >= again_at) {
      again_at = now + kFetchAgain;
      Fetch(digest);
    }
    bundles_at_ = std::min(bundles_at_, again_at);
  }
  std::erase_if(idle_since_, [&](const auto& idle) { return needed.contains(idle.first); });
  std::vector<Digest> due;
  for (const Digest& digest : bundles_) {
    if (needed.contains(digest)) continue;
    const Time drop_at = idle_since_.try_emplace(digest, now).first->second + tunables_.bundle_keep;
    if (drop_at <= now) {
      due.push_back(digest);
    } else {
      bundles_at_ = std::min(bundles_at_, drop_at);
    }
  }
  for (const Digest& digest : due) {
    bundles_.erase(digest);
    idle_since_.erase(digest);
    fetching_.erase(digest);
    dropped_at_[digest] = now;
    Supervise(BundleDropped{digest});
    outputs_.emplace_back(DropBundle{digest});
    Note("bundle.dropped", digest.Short(), "no revision that is kept and no replica here refers to it");
    dirty_.statuses = true;
  }
}

}  // namespace hs
