// The regions of a large cluster as this node sees them: which it is in, who divides among them, and what the
// others' controllers say of theirs.
#include <algorithm>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// Of other regions' reasons for not being steady, so many are named.
constexpr std::size_t kPendingNamed = 5;
// Between two words on a region. Under churn every look changes what it sums up, and it goes to all regions:
// said each time, it would be most of what all links carry.
constexpr Duration kSummaryPause = 500ms;

bool IsServing(const ReplicaStatus& status) {
  return status.state == ReplicaState::kRunning && status.health == Health::kHealthy;
}

}  // namespace

void Node::Impl::NotePlace(const Member& member) {
  const auto slot = membership_.members().SlotOf(member.id);
  if (slot == MemberTable::kNone) return;
  if (places_.size() <= slot) places_.resize(slot + 1);
  places_[slot] = hs::PlaceOf(member.id, member.meta->labels);
}

void Node::Impl::NoteRegion(const Membership::MemberChanged& change) {
  const Member& after = change.after;
  const bool stands_elsewhere = !change.before || change.before->meta->labels != after.meta->labels;
  if (stands_elsewhere) NotePlace(after);
  const bool counts_elsewhere = stands_elsewhere ||
                                IsPresent(change.before->state) != IsPresent(after.state) ||
                                change.before->meta->region != after.meta->region;
  const bool claims_otherwise = counts_elsewhere || change.before->meta->roles != after.meta->roles;
  region_dirty_ = region_dirty_ || counts_elsewhere;
  far_dirty_ = far_dirty_ || claims_otherwise;
  summaries_stale_ = summaries_stale_ || claims_otherwise;
  const bool forgotten = !membership_.members().contains(after.id);
  if (!Regional() || here_dirty_ || forgotten) return;
  const auto known = here_.find(after.id);
  const bool here = Contains(region_id_, PlaceOf(after));
  if (here != (known != here_.end())) {
    here_dirty_ = true;
  } else if (here) {
    known->second = after;
  }
}

bool Node::Impl::HasLeaf(RegionId region) const {
  return std::ranges::find(leaves_, region) != leaves_.end();
}

// 0, which is no leaf where there are several, when nobody who is present is near it.
RegionId Node::Impl::LeafOf(NodeId node) const {
  const Member* member = membership_.members().Find(node);
  if (member == nullptr) return 0;
  const Place place = PlaceOf(*member);
  const auto leaf = std::ranges::find_if(leaves_, [place](RegionId of) { return Contains(of, place); });
  return leaf == leaves_.end() ? 0 : *leaf;
}

void Node::Impl::SettleRegion() {
  if (std::exchange(region_dirty_, false)) {
    scope_dirty_ = true;
    FindRegions();
  }
  if (Regional() && std::exchange(here_dirty_, false)) {
    scope_dirty_ = true;
    here_ = {};
    for (const auto& [id, member] : membership_.members()) {
      if (Contains(region_id_, PlaceOf(member))) here_.emplace(id, member);
    }
  }
  if (Regional() || !scope_.members.empty()) SettleScope();
}

void Node::Impl::FindRegions() {
  const auto region_max = static_cast<std::size_t>(tunables_.region_max);
  const auto& members = membership_.members();
  const bool small =
      membership_.PresentCount() <= region_max &&
      std::ranges::all_of(members, [](const auto& entry) { return entry.second.meta->region == 0; });
  std::vector<RegionId> leaves{0};
  if (!small) {
    std::vector<Inhabitant> present;
    for (const auto& [id, member] : members) {
      if (id == self_ || IsPresent(member.state)) present.push_back({PlaceOf(member), member.meta->region});
    }
    leaves = Leaves(std::move(present), region_max);
  }
  if (leaves == leaves_) return;
  leaves_ = std::move(leaves);
  leaves_since_ = now_.mono;
  scope_dirty_ = far_dirty_ = true;
  here_dirty_ = dirty_.plans = dirty_.serving = true;
  const Place place = PlaceOf(membership_.members().at(self_));
  const auto own = std::ranges::find_if(leaves_, [place](RegionId of) { return Contains(of, place); });
  HS_CHECK(own != leaves_.end());
  if (*own != region_id_) EnterRegion(*own);
}

void Node::Impl::EnterRegion(RegionId region) {
  const RegionId before = std::exchange(region_id_, region);
  const bool split = IsWithin(region, before);
  const std::string kind = split ? "region.split" : "region.merged";
  const std::string cause = "region " + std::to_string(before) + " is now " + std::to_string(region) + ": " +
                            std::to_string(membership_.PresentCount()) + " members in " +
                            std::to_string(leaves_.size()) + (leaves_.size() == 1 ? " region" : " regions");
  Leads() ? Emit(kind, meta_.name, cause) : Note(kind, meta_.name, cause);
  meta_.region = region;
  region_since_ = lead_at_ = plan_at_ = now_.mono;
  unsaid_.reset();
  here_dirty_ = true;
  dirty_.reports = true;
  AsMember(Membership::SetMeta{meta_});
}

// Whose reports are kept here, and to whom links are held.
void Node::Impl::SettleScope() {
  const auto& summaries = Summaries();
  const bool told_before = std::ranges::equal(summaries, spoken_for_, {}, &RegionReport::region);
  if (!std::exchange(scope_dirty_, false) && told_before) return;
  spoken_for_.clear();
  for (const RegionReport* summary : summaries) spoken_for_.push_back(summary->region);
  BoardRegion scope;
  std::set<NodeId> linked;
  if (Regional()) {
    for (const auto& [id, member] : membership_.members()) {
      if (here_.contains(id)) {
        scope.members.push_back(id);
        if (IsPresent(member.state)) linked.insert(linked.end(), id);
        continue;
      }
      const Place place = PlaceOf(member);
      const bool spoken_for =
          std::ranges::any_of(spoken_for_, [place](RegionId region) { return Contains(region, place); });
      if (!spoken_for) scope.kept.push_back(id);
    }
    if (!scope.members.empty()) plan_book_.KeepOnly(here_);
  }
  if (linked != linked_) AsMember(Membership::SetRegion{linked});
  linked_ = std::move(linked);
  if (scope.members == scope_.members && scope.kept == scope_.kept) return;
  scope.another = region_since_ == now_.mono;
  scope_ = scope;
  dirty_.serving = true;  // of whom there is no report any more, the summary counts
  serving_.clear();       // of reports that may be dropped now
  Observe(std::move(scope));
}

NodeId Node::Impl::FarController() const {
  const RegionId first = leaves_.front();
  NodeId steward;
  Term term = 0;
  for (const auto& [id, member] : membership_.members()) {
    const RoleClaim& roles = member.meta->roles;
    if (!roles.controller || !IsPresent(member.state)) continue;
    if (!Contains(first, PlaceOf(member))) continue;
    if (std::tie(roles.term, id) > std::tie(term, steward))
      std::tie(term, steward) = std::tie(roles.term, id);
  }
  return steward;
}

// The controller of the first region divides among all. It is no role of its own: whoever has that one has
// this.
void Node::Impl::SettleSteward() {
  if (leaves_.front() == region_id_) {
    steward_ = region_.controller;
  } else {
    if (std::exchange(far_dirty_, false)) far_controller_ = FarController();
    steward_ = far_controller_;
  }
  if (std::exchange(stewards_, Stewards()) == Stewards()) return;
  if (Stewards()) {
    // What was wanted is carried on; what there is for it is looked at anew: the newest word may be of a part
    // of a cut in which there was nothing to grant.
    for (auto& [service, level] : PublishedLevels()) {
      const auto name = [](const DesiredService& of) { return of.spec.name; };
      const auto asked = std::ranges::find(asked_, service, name);
      if (asked != asked_.end() && !asked->fixed) own_levels_.push_back(std::move(level));
    }
    if (KnowsWhatRuns()) Grant(own_levels_);
    levels_moved_at_ = now_.mono;
    ApplyLevels();
    return;
  }
  levels_.Close();
  own_levels_.clear();
  withheld_.clear();
  division_.Close();
  region_dealer_.Close();
  shares_.clear();
}

// What controllers say of their regions, of no part of the cluster twice: rather who claims the region now,
// then the later term. So a region that has just split or merged is spoken for by what was before, until its
// new controller has spoken.
const std::vector<const RegionReport*>& Node::Impl::Summaries() const {
  const bool same_reports =
      std::exchange(summaries_of_, board_.regions_version()) == board_.regions_version();
  if (!std::exchange(summaries_stale_, false) && same_reports) return summaries_;
  struct Ranked {
    bool claimed = false;
    Term term = 0;
    NodeId owner;
    const RegionReport* report = nullptr;
  };
  std::vector<Ranked> all;
  const auto& records = board_.records();
  for (auto it = records.lower_bound({RecordKind::kRegionReport, {}, 0});
       it != records.end() && it->first.kind == RecordKind::kRegionReport; ++it) {
    const auto& report = std::get<RegionReport>(*it->second.body);
    if (report.region == 0) continue;  // it sums nothing up
    const Member* member = membership_.members().Find(it->first.owner);
    const bool claimed = member != nullptr && IsPresent(member->state) && member->meta->roles.controller &&
                         member->meta->region == report.region;
    all.push_back({claimed, report.stamp.term, it->first.owner, &report});
  }
  std::ranges::sort(all, std::greater{},
                    [](const Ranked& of) { return std::tuple(of.claimed, of.term, of.owner); });
  summaries_.clear();
  for (const Ranked& ranked : all) {
    const bool overlaps = std::ranges::any_of(summaries_, [&](const RegionReport* taken) {
      return IsWithin(taken->region, ranked.report->region) || IsWithin(ranked.report->region, taken->region);
    });
    if (!overlaps) summaries_.push_back(ranked.report);
  }
  return summaries_;
}

// The controller's word on its region, but for what its plan says.
RegionReport Node::Impl::Summary(const PlanDraft& draft, const NodeReports& reports) const {
  RegionReport summary;
  summary.region = region_id_;
  summary.levels = own_levels_;
  summary.documents = DocumentsHere();
  if (!Regional()) return summary;
  if (!Stewards()) {
    for (auto& [service, level] : PublishedLevels()) summary.levels.push_back(std::move(level));
  }
  // When a silent box comes back the others must not find less said than it holds.
  summary.held = HeldSum(Silent::kCounts);
  summary.follows = dealt_for_;
  if (Stewards()) {
    summary.division = shares_;
    summary.division_sequence = division_sequence_;
  }
  std::map<std::string, ServiceInRegion> services;
  std::map<std::string, std::map<NodeId, ServiceAtNode>> at;
  std::set<ReplicaId> leaving;
  for (const auto& [node, assignments] : draft.nodes) {
    for (const Assignment& assignment : assignments) {
      if (assignment.stop_keeper) {
        leaving.insert(assignment.replica);
      } else {
        ++at[assignment.service][node].staying;
      }
    }
  }
  for (const auto& [node, observed] : reports) {
    const auto member = Here().find(node);
    if (member == Here().end() || !draft.nodes.contains(node)) continue;
    const bool present = IsPresent(member->second.state);
    for (const ReplicaStatus& status : observed.report->replicas) {
      ServiceInRegion& service = services[status.service];
      ServiceAtNode& here = at[status.service][node];
      const bool going = leaving.contains(status.id) || status.state == ReplicaState::kDraining ||
                         status.state == ReplicaState::kStopping;
      if (status.state == ReplicaState::kRunning && status.address) {
        ++here.running;
        if (status.health != Health::kUnhealthy) ++here.well;
      }
      if (status.state == ReplicaState::kDraining && status.address) ++here.draining;
      if (!present) continue;
      ++(going ? service.draining : IsServing(status) ? service.healthy : service.starting);
      if (!going && IsServing(status) && (!service.keeper || status.id < service.keeper))
        service.keeper = status.id;
    }
  }
  for (auto& [name, nodes] : at) {
    ServiceInRegion& service = services[name];
    service.service = name;
    for (auto& [node, counts] : nodes) {
      counts.node = node;
      service.nodes.push_back(counts);
    }
    summary.services.push_back(std::move(service));
  }
  return summary;
}

void Node::Impl::TellRegion(RegionReport report) {
  const bool now = !Regional() || IsUrgent(report);
  unsaid_ = std::move(report);
  if (now || say_next_ <= now_.mono) SayRegion();
}

// Who speaks for which region, and that it is not steady any more, is said at once.
bool Node::Impl::IsUrgent(const RegionReport& report) const {
  const auto body = board_.Region(self_);
  if (body == nullptr) return true;
  const auto& said = std::get<RegionReport>(*body);
  return said.region != report.region || said.stamp.term != report.stamp.term ||
         (said.pending.empty() && !report.pending.empty());
}

void Node::Impl::SayRegion() {
  say_next_ = std::clamp(say_next_, now_.mono, now_.mono + kSummaryPause) + kSummaryPause;
  Observe(Publish{RecordKind::kRegionReport, 0, std::make_shared<const RecordBody>(std::move(*unsaid_))});
  unsaid_.reset();
}

// Of nodes whose own reports are not here.
std::map<std::string_view, std::vector<SummedServer>> Node::Impl::ServingElsewhere(
    const DoorReports& reports) const {
  std::map<std::string_view, std::vector<SummedServer>> serving;
  for (const RegionReport* summary : Summaries()) {
    for (const ServiceInRegion& service : summary->services) {
      for (const ServiceAtNode& at : service.nodes) {
        if (reports.contains(at.node)) continue;
        const Member* member = membership_.members().Find(at.node);
        if (member == nullptr || member->state == MemberState::kDead || member->state == MemberState::kLeft)
          continue;
        serving[service.service].push_back({member, &at});
      }
    }
  }
  return serving;
}

void Node::Impl::WhatIsPendingElsewhere(std::vector<std::string>& pending) const {
  const auto& summaries = Summaries();
  for (const RegionId leaf : leaves_) {
    if (leaf == region_id_ || pending.size() >= kPendingNamed) continue;
    const auto summary =
        std::ranges::find(summaries, leaf, [](const RegionReport* of) { return of->region; });
    const std::string name = "region " + std::to_string(leaf);
    if (summary == summaries.end()) {
      pending.push_back("the controller of " + name + " has not published its plan yet");
    } else if (!(*summary)->pending.empty()) {
      pending.push_back(name + ": " + (*summary)->pending.front());
    }
  }
  if (!HasShare())
    pending.push_back("nobody has said yet what region " + std::to_string(region_id_) + " may have");
}

std::vector<Shortage> Node::Impl::AllShortages() const {
  std::map<std::pair<std::string, ShortOf>, Shortage> all;
  for (const RegionReport* summary : Summaries()) {
    if (!HasLeaf(summary->region)) continue;
    for (const Shortage& shortage : summary->shortages) {
      const auto [it, fresh] = all.try_emplace({shortage.service, shortage.of}, shortage);
      if (!fresh) it->second.missing += shortage.missing;
    }
  }
  std::vector<Shortage> shortages;
  for (auto& [of, shortage] : all) shortages.push_back(std::move(shortage));
  return shortages;
}

std::vector<RegionSeen> Node::Impl::RegionsSeen() const {
  std::vector<RegionSeen> seen;
  for (const RegionId leaf : leaves_) seen.push_back({.region = leaf});
  for (const RegionReport* summary : Summaries()) {
    const auto of = std::ranges::find(seen, summary->region, &RegionSeen::region);
    if (of == seen.end()) continue;
    of->controller = summary->stamp.controller;
    of->summary = board_.Region(of->controller);
  }
  // Its controller, its stand-by, a monitor, anybody: the first there is.
  std::map<RegionId, int> best;
  for (const auto& [id, member] : membership_.members()) {
    if (!IsPresent(member.state)) continue;
    const auto of = std::ranges::find(seen, LeafOf(id), &RegionSeen::region);
    if (of == seen.end()) continue;
    ++of->members;
    const RoleClaim& roles = member.meta->roles;
    const int rank = (roles.controller ? 4
                      : roles.standby  ? 3
                      : roles.monitor  ? 2
                                       : 1) +
                     (member.state == MemberState::kAlive ? 10 : 0);
    if (std::exchange(best[of->region], std::max(best[of->region], rank)) < rank) of->ask = id;
  }
  return seen;
}

}  // namespace hs
