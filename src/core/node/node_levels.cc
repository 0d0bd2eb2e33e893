// How many of each service: asked for by documents, moved by what is measured, granted by what there is.
#include <algorithm>
#include <set>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

bool Serves(const ReplicaStatus& status) {
  return status.state == ReplicaState::kRunning && status.health == Health::kHealthy;
}

ShortOf ShortBy(ShareGrant::Limit limit) {
  switch (limit) {
    case ShareGrant::Limit::kMax:
      return ShortOf::kMaximum;
    case ShareGrant::Limit::kCores:
    case ShareGrant::Limit::kMemory:
    case ShareGrant::Limit::kReplicas:
      return ShortOf::kQuota;
    case ShareGrant::Limit::kNone:
    case ShareGrant::Limit::kBoxes:
      break;
  }
  return ShortOf::kRoom;
}

}  // namespace

// What runs, by service, on boxes that are there; starts are timed on the way.
std::map<std::string, ServiceCounts> Node::Impl::CountReplicas() {
  std::map<std::string, ServiceCounts> counts;
  for (const auto& [node, observed] : ObservedReports()) {
    const auto member = membership_.members().find(node);
    if (member == membership_.members().end() || !IsPresent(member->second.state)) continue;
    for (const ReplicaStatus& status : observed.report->replicas) {
      ServiceCounts& count = counts[status.service];
      const bool leaving = status.state == ReplicaState::kDraining || status.state == ReplicaState::kStopping;
      ++(leaving ? count.draining : Serves(status) ? count.healthy : count.starting);
      start_times_.See(now_.mono, status.service, status.id, leaving || Serves(status));
    }
  }
  start_times_.Forget(now_.mono);
  for (const RegionReport* summary : Summaries()) {
    if (summary->region == region_id_ || !HasLeaf(summary->region)) continue;
    for (const ServiceInRegion& service : summary->services) {
      ServiceCounts& count = counts[service.service];
      count.healthy += service.healthy;
      count.starting += service.starting;
      count.draining += service.draining;
    }
  }
  return counts;
}

// The word on levels of whoever decides on them; where a new controller goes on, the newest of any. The stamp
// alone says little: a controller that gave up may have had a greater term than the one that governs.
std::map<std::string, ServiceLevel> Node::Impl::PublishedLevels() const {
  const RegionReport* newest = nullptr;
  const auto stewards = Stewards() ? nullptr : board_.Region(steward_);
  const auto& records = board_.records();
  for (auto it = records.lower_bound({RecordKind::kRegionReport, {}, 0});
       it != records.end() && it->first.kind == RecordKind::kRegionReport; ++it) {
    const auto& report = std::get<RegionReport>(*it->second.body);
    if (newest == nullptr || newest->stamp < report.stamp) newest = &report;
  }
  if (stewards != nullptr) newest = &std::get<RegionReport>(*stewards);
  std::map<std::string, ServiceLevel> levels;
  if (newest == nullptr) return levels;
  for (const ServiceLevel& level : newest->levels) levels.emplace(level.service, level);
  return levels;
}

// The controller's: our own word when we are it.
std::map<std::string, ServiceLevel> Node::Impl::PresentLevels() const {
  if (!Stewards()) return PublishedLevels();
  std::map<std::string, ServiceLevel> levels;
  for (const ServiceLevel& level : own_levels_) levels.emplace(level.service, level);
  return levels;
}

// About once a second, by the controller; where there are several, by the steward.
void Node::Impl::MoveLevels() {
  levels_moved_at_ = now_.mono;
  const LoadReport load = load_book_.Sum(now_.mono);
  std::size_t present = 0;
  std::size_t heard = 0;
  for (const auto& [id, member] : membership_.members()) {
    if (!IsPresent(member.state)) continue;
    ++present;
    heard += std::ranges::binary_search(load.nodes, id, {}, &NodeLoad::node) ? 1 : 0;
  }
  const auto counts = CountReplicas();
  LevelsOutcome outcome = levels_.Step(
      now_.mono,
      {.services = asked_,
       .counts = counts,
       .loads = load.services,
       .coverage = static_cast<double>(heard) / static_cast<double>(std::max<std::size_t>(1, present)),
       .start_up = start_times_.start_up(),
       .published = PublishedLevels()});
  for (const LevelChange& change : outcome.changes) {
    Emit(change.up ? "scale.up" : "scale.down", change.service, change.reason);
  }
  Grant(outcome.levels);
  own_levels_ = std::move(outcome.levels);
  if (ApplyLevels()) plan_at_ = now_.mono;
}

// Shares out what there is: fills in `granted`, adds fixed services that cannot have all they ask for.
void Node::Impl::Grant(std::vector<ServiceLevel>& levels) {
  std::map<std::string, std::uint32_t> wanted;
  std::map<std::string, std::uint32_t> before;
  for (const ServiceLevel& level : levels) wanted.emplace(level.service, level.wanted);
  for (const ServiceLevel& level : own_levels_) before.emplace(level.service, level.granted);
  const auto quotas = Quotas(intent_.documents());
  auto requests = RequestsOf(asked_, wanted, quotas);
  auto class_quotas = ClassQuotasOf(quotas);
  const bool complete = Complete();
  if (!complete) ApplyAllotments(complete, HeldHere(), StrictServices(), requests, class_quotas);
  // Where no box may take work, what runs is not to stop for it.
  auto boxes = BoxesOf(now_.mono, membership_.members(), NotForWork());
  if (boxes.empty()) boxes = BoxesOf(now_.mono, membership_.members(), {});
  auto grants = ShareOut(std::move(requests), class_quotas, RoomsOf(boxes));
  for (ShareGrant& grant : grants) {
    if (!complete && grant.short_by > 0 && grant.limit != ShareGrant::Limit::kBoxes)
      grant.reason += "; boxes are silent, and this is what those that are here may use of the maximum";
  }
  withheld_.clear();
  for (const ShareGrant& grant : grants) {
    const auto granted = static_cast<std::uint32_t>(grant.level);
    auto level = std::ranges::lower_bound(levels, grant.service, {}, &ServiceLevel::service);
    const bool scaled = level != levels.end() && level->service == grant.service;
    if (grant.short_by > 0) {
      withheld_.push_back({grant.service, static_cast<std::uint32_t>(grant.short_by), grant.reason,
                           complete ? ShortBy(grant.limit) : ShortOf::kRoom});
      if (!scaled) {
        const auto asked = static_cast<std::uint32_t>(grant.level + grant.short_by);
        level = levels.insert(level, ServiceLevel{grant.service, asked, granted, 0, grant.reason});
      }
      const auto had = before.find(grant.service);
      if (had != before.end() && granted < had->second) Emit("scale.yield", grant.service, grant.reason);
    } else if (!scaled) {
      continue;
    }
    level->granted = granted;
  }
}

// Nobody is out of sight who may be alive and at work in another part of a cut cluster.
bool Node::Impl::Complete() const {
  return steady_view_.Complete(membership_.members(), now_.mono - started_ > tunables_.dead_after);
}

std::set<std::string> Node::Impl::StrictServices() const {
  std::set<std::string> strict;
  for (const DesiredService& service : asked_) {
    if (!service.fixed && service.spec.scale->strict) strict.insert(service.spec.name);
  }
  return strict;
}

// What the nodes of this part hold. Whose agent is down is still in sight.
std::vector<std::vector<Allotment>> Node::Impl::HeldHere() const {
  std::vector<std::vector<Allotment>> held;
  for (const auto& [node, observed] : ObservedReports()) {
    const auto member = membership_.members().find(node);
    if (member == membership_.members().end()) continue;
    if (IsPresent(member->second.state) || member->second.state == MemberState::kAgentDown)
      held.push_back(observed.report->allotments);
  }
  for (const RegionReport* summary : Summaries()) {
    if (summary->region != region_id_ && HasLeaf(summary->region)) held.push_back(summary->held);
  }
  return held;
}

// Hard maximums are dealt to the nodes while nobody is silent, so that they hold in every part when it is
// cut.
void Node::Impl::Deal(PlanDraft& draft) {
  const auto quotas = Quotas(intent_.documents());
  AllotmentTotals totals = TotalsOf(RequestsOf(asked_, {}, quotas), StrictServices(), ClassQuotasOf(quotas));
  if (Regional()) totals = TotalsHere(std::move(totals));
  const auto reports = ObservedReports();
  std::vector<Allotments::Carrier> carriers;
  for (const auto& [id, member] : Here()) {
    if (!IsPresent(member.state)) continue;
    Allotments::Carrier carrier{.node = id};
    const auto seen = reports.find(id);
    const auto slice = plan_book_.slices().find(id);
    if (seen != reports.end() && seen->second.boot >= member.incarnation.boot) {
      carrier.held = seen->second.report->allotments;
      carrier.acked = slice != plan_book_.slices().end() && slice->second.stamp.term == region_.term &&
                      seen->second.report->plan == slice->second.stamp;
    }
    carriers.push_back(std::move(carrier));
  }
  Allotments::Deal deal =
      dealer_.Step({.totals = totals, .carriers = carriers, .complete = intent_known_ && Complete()});
  draft.allotments = std::move(deal.told);
  if (deal.settled) dealt_for_ = follows_;
  if (!deal.settled) draft.pending.emplace_back("parts of hard maximums are being dealt to the boxes");
}

// The services as they are to be now; whether that is news. Asked with every plan: where the documents are
// the same, only numbers can differ.
bool Node::Impl::ApplyLevels() {
  const std::vector<std::uint32_t> replicas = LeveledReplicas();
  if (std::exchange(asked_changed_, false)) {
    const std::vector<DesiredService> before = std::exchange(services_, asked_);
    for (std::size_t i = 0; i < services_.size(); ++i) services_[i].replicas = replicas[i];
    return services_ != before;
  }
  bool changed = false;
  for (std::size_t i = 0; i < services_.size(); ++i)
    changed = std::exchange(services_[i].replicas, replicas[i]) != replicas[i] || changed;
  return changed;
}

std::vector<std::uint32_t> Node::Impl::LeveledReplicas() {
  std::vector<std::uint32_t> all;
  const auto levels = PresentLevels();
  std::map<std::string, ServiceCounts> counts;
  for (const DesiredService& service : asked_) {
    std::uint32_t replicas = service.replicas;
    const auto level = levels.find(service.spec.name);
    if (service.fixed) {
      // A level of another number is older than the documents.
      if (level != levels.end() && level->second.wanted == replicas) replicas = level->second.granted;
    } else if (level != levels.end()) {
      replicas = std::min(level->second.granted, service.spec.scale->max);
    } else {
      // Nobody remembers the level (a new stack, or all agents were down at once): what runs is kept until
      // there is something measured to judge it by.
      if (counts.empty()) counts = CountReplicas();
      const ServiceCounts& count = counts[service.spec.name];
      replicas = std::clamp(std::max(replicas, count.healthy + count.starting), service.spec.scale->min,
                            service.spec.scale->max);
    }
    all.push_back(replicas);
  }
  return all;
}

}  // namespace hs
