// Whether the cluster is where it should be: plans carried out, documents the same everywhere.
#include <algorithm>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

constexpr Duration kSteadyPause = 50ms;
constexpr Duration kSteadyPausePerMember = 5ms;
constexpr Duration kSteadyPauseMax = 500ms;
// Of many members that the steady state waits for, so many are named.
constexpr std::size_t kPendingNamed = 10;

}  // namespace

std::vector<std::string> Node::Impl::WhatIsPending() const {
  if (!region_.controller) return {"no controller is known yet"};
  const auto body = board_.Region(region_.controller);
  if (!body) return {"the controller " + NameOf(region_.controller) + " has not published its plan yet"};
  const auto& report = std::get<RegionReport>(*body);
  if (report.stamp.term != region_.term || report.region != region_id_)
    return {"the controller " + NameOf(region_.controller) + " has not planned in its present term yet"};
  if (!report.pending.empty()) return report.pending;
  std::vector<std::string> pending;
  if (Regional()) WhatIsPendingElsewhere(pending);
  std::size_t unnamed = 0;
  const bool vouched = AllAreSaidToHoldOurDocuments(report);
  const auto add = [&](const Member& member, const char* what) {
    if (pending.size() < kPendingNamed) {
      pending.push_back(member.meta->name + what);
    } else {
      ++unnamed;
    }
  };
  for (const auto& [id, member] : membership_.members()) {
    if (id == self_ || !IsPresent(member.state)) continue;
    if (member.state == MemberState::kSuspect) add(member, " is suspected");
    if (!vouched && !HoldsOurDocuments(id)) add(member, " has not yet been seen with the same documents");
  }
  if (unnamed > 0) pending.push_back("and " + std::to_string(unnamed) + " more like these");
  return pending;
}

// By its own word, or by that of a load report.
bool Node::Impl::HoldsOurDocuments(NodeId id) const {
  const auto holds = [&](const FlatMap<NodeId, std::uint64_t>& digests) {
    const auto said = digests.find(id);
    return said != digests.end() && said->second == intent_.digest();
  };
  return holds(intent_digests_) || holds(documents_told_);
}

std::uint64_t Node::Impl::DocumentsHere() const {
  const bool all = std::ranges::all_of(Here(), [this](const auto& entry) {
    return entry.first == self_ || !IsPresent(entry.second.state) || HoldsOurDocuments(entry.first);
  });
  return all ? intent_.digest() : 0;
}

// Where no plan is due that would say it. Nobody trusts the digest of other documents than ours.
void Node::Impl::TellWhetherAllAgree() {
  const auto body = board_.Region(self_);
  if (!Leads() || body == nullptr || unsaid_) return;
  const auto& said = std::get<RegionReport>(*body);
  const std::uint64_t documents = DocumentsHere();
  if (said.region != region_id_ || said.stamp.term != region_.term || said.documents == documents) return;
  if (documents == 0 && said.documents != intent_.digest()) return;
  RegionReport report = said;
  report.documents = documents;
  TellRegion(std::move(report));
}

// To hear it from each of n members takes a time that grows with n log n; each controller hears its own.
bool Node::Impl::AllAreSaidToHoldOurDocuments(const RegionReport& own) const {
  const std::uint64_t here = Leads() ? DocumentsHere() : own.documents;
  if (here != intent_.digest()) return false;
  if (!Regional()) return true;
  const auto& summaries = Summaries();
  return std::ranges::all_of(leaves_, [&](RegionId leaf) {
    if (leaf == region_id_) return true;
    const auto summary = std::ranges::find(summaries, leaf, &RegionReport::region);
    return summary != summaries.end() && (*summary)->documents == here;
  });
}

SteadyState Node::Impl::SteadyNow() const {
  SteadyState state{.pending = WhatIsPending()};
  const auto body = board_.Region(region_.controller);
  state.steady = state.pending.empty();
  state.since = state.steady == steady_.steady ? steady_.since : now_.mono;
  state.shortages = Regional() ? AllShortages()
                    : body     ? std::get<RegionReport>(*body).shortages
                               : std::vector<Shortage>{};
  return state;
}

// Every member's every word may change the answer: in a burst of news it is looked at with pauses.
void Node::Impl::SettleSteady() {
  if (!steady_dirty_) return;
  const Duration pause = kSteadyPausePerMember * static_cast<std::int64_t>(membership_.PresentCount());
  steady_at_ = std::min(
      steady_at_, std::max(now_.mono, steady_judged_at_ + std::clamp(pause, kSteadyPause, kSteadyPauseMax)));
  if (now_.mono < steady_at_) return;
  steady_dirty_ = false;
  steady_at_ = kNever;
  steady_judged_at_ = now_.mono;
  TellWhetherAllAgree();
  const bool was_steady = steady_.steady;
  steady_ = SteadyNow();
  if (std::exchange(members_moved_, false) || (steady_.steady && !was_steady))
    steady_view_.Observe(membership_.members(), removed_, steady_.steady);
}

}  // namespace hs
