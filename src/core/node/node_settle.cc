// Brings what is derived up to date, in the order in which one thing follows from another.
#include <algorithm>
#include <ranges>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// Bursts of news (a box dies, fifty replicas start) are looked at together.
constexpr Duration kPlanPause = 15ms;
// A look costs more the more members there are, and so do what it publishes and the bursts: 1 ms for each.
constexpr Duration kPlanPausePerMember = 1ms;
constexpr Duration kPlanPauseMax = 250ms;
constexpr Duration kDoorPause = 5ms;
constexpr Duration kDoorPausePerMember = 200us;
constexpr Duration kDoorPauseMax = 25ms;
// Levels are looked at with each measurement. Without any, so long after the last look.
constexpr Duration kUnmeasured = 2s;
// A node that never found its documents equal to anybody's acts on what it has after this long.
constexpr Duration kIntentPatience = 30s;

// Keys are ordered by kind first; events, the most by far, are not looked at.
auto RecordsOf(const Board& board, RecordKind kind) {
  const auto& records = board.records();
  const auto begin = records.lower_bound({kind, {}, 0});
  const auto end = records.lower_bound({static_cast<RecordKind>(static_cast<int>(kind) + 1), {}, 0});
  return std::ranges::subrange(begin, end);
}

bool IsServing(const ReplicaStatus& status) {
  return status.state == ReplicaState::kRunning && status.health == Health::kHealthy;
}

}  // namespace

void Node::Impl::Settle() {
  // Each round can only dirty what comes later, save for leadership (our own metadata) and our own report.
  if (lead_at_ <= now_.mono) dirty_.members = true;
  if (troubles_at_ <= now_.mono) SettleTroubles();
  for (int round = 0; dirty_.Any(); ++round) {
    HS_CHECK(round < 10);
    const Dirty dirty = std::exchange(dirty_, kClean);
    steady_dirty_ = true;
    if (dirty.documents) SettleServices();
    if (dirty.members) SettleMembers();
    if (dirty.members) SettleCompany();
    if (dirty.members || dirty.plans) SettleRegion();
    if (lead_at_ <= now_.mono) SettleLeadership();
    if (dirty.members || dirty.plans) SettleSteward();
    if (dirty.plans && !Stewards()) ApplyLevels();
    if (dirty.members || dirty.plans) SettleShare();
    if (dirty.members || dirty.reports) WatchEvidence();
    if (dirty.members || dirty.plans || dirty.documents) SettleSlice(dirty.documents);
    if (dirty.members || dirty.plans || dirty.reports) SettleKeepers();
    if (dirty.bundles || dirty.documents || dirty.statuses) SettleBundles();
    if (dirty.names || dirty.documents) SettleName();
    if (dirty.members || dirty.documents || dirty.plans || dirty.statuses) SettleReport();
    const bool others = Regional() && dirty.plans;  // the word of another region
    if (dirty.members || dirty.documents || dirty.reports || others) PlanSoon();
    if (dirty.documents || dirty.serving || (!door_told_ && (dirty.members || dirty.reports))) {
      const Duration pause = kDoorPausePerMember * static_cast<std::int64_t>(membership_.PresentCount());
      door_at_ = std::min(door_at_,
                          std::max(now_.mono, door_built_at_ + std::clamp(pause, kDoorPause, kDoorPauseMax)));
    }
  }
  if (evidence_.NextDeadline() <= now_.mono) WatchEvidence();
  if (bundles_at_ <= now_.mono) SettleBundles();
  if (rename_at_ <= now_.mono) SettleName();
  if (Leads() && plan_at_ <= now_.mono) {
    // Quotas come and go, and boxes with them, also where nothing is measured.
    if (Stewards() && KnowsWhatRuns() && levels_moved_at_ + kUnmeasured <= now_.mono) MoveLevels();
    Plan();
  }
  if (unsaid_ && say_next_ <= now_.mono) SayRegion();
  if (door_at_ <= now_.mono) SettleDoor();
  SettleRoutes();
  SettleDigests();
  SettleSteady();
  SettleParting();
  // Planning publishes slices and reports, which concern us as well.
  if (dirty_.Any()) Settle();
}

void Node::Impl::SettleServices() {
  const Documents& documents = intent_.documents();
  if (std::exchange(stacks_moved_, false)) {
    Asked asked = WhatIsAsked(documents);
    asked_ = std::move(asked.services);
    specs_ = std::move(asked.specs);
    asked_changed_ = true;
    levels_.Keep(asked_);
    std::erase_if(own_levels_, [this](const ServiceLevel& level) {
      return std::ranges::find(asked_, level.service,
                               [](const DesiredService& of) { return of.spec.name; }) == asked_.end();
    });
  }
  members_moved_ = true;  // whoever was removed is a document
  withheld_.clear();  // of what was asked for before; placement names what does not fit until the next look
  ApplyLevels();
  const auto drained_before = std::exchange(drained_, {});
  SettleRemoved();
  for (const auto& [key, document] : DocumentsUnder(documents, "drain/")) {
    if (const auto* drain = std::get_if<DrainOrder>(&document.body)) drained_.insert(drain->node);
  }
  if (drained_ != drained_before) lead_at_ = now_.mono;
}

void Node::Impl::SettleMembers() {
  if (membership_.PresentCount() == 1 && table_known_ && !LostWhatWasAsked()) intent_known_ = true;
  if (table_known_) TakeEarlyWrites();
}

void Node::Impl::SettleLeadership() {
  lead_at_ = kNever;
  LeadershipOutcome outcome = leadership_.Step(now_.mono, {.members = Here(),
                                                           .drained = drained_,
                                                           .table_known = table_known_,
                                                           .holds_work = !supervisor_.statuses().empty(),
                                                           .strained = strain_.strained(),
                                                           .disk = disk_.fault(),
                                                           .region = region_id_});
  const bool led = Leads();
  region_ = std::move(outcome.view);
  if (led && !Leads()) {
    plan_book_.Close();
    dealer_.Close();
    unsaid_.reset();
  }
  if (!led && Leads()) {
    plan_at_ = now_.mono;
    follows_ = {};  // what may be dealt out follows from what is held now
  }
  SettleSteward();
  if (outcome.own == meta_.roles) return;
  meta_.roles = outcome.own;
  AsMember(Membership::SetMeta{meta_});
  for (RoleChange& change : outcome.changes) TellRole(std::move(change));
}

// What every node is from its start is not told as news.
void Node::Impl::TellRole(RoleChange change) {
  const bool given = change.role != Role::kWorker && change.role != Role::kDoor;
  if (given || !change.taken) {
    const std::string kind = std::string("role.") + ToString(change.role);
    Emit(change.taken ? kind : kind + "-ended", meta_.name, change.cause);
  }
  if (change.taken) {
    roles_[change.role] = {change.role, now_.wall_ms, std::move(change.cause)};
  } else {
    roles_.erase(change.role);
  }
  dirty_.statuses = true;  // our report
}

// Drained, or barred by its labels: no work goes there, and what is there goes elsewhere.
std::set<NodeId> Node::Impl::NotForWork() const {
  std::set<NodeId> nodes = drained_;
  for (const auto& [id, member] : membership_.members()) {
    if (IsBarred(member.meta->labels, Role::kWorker)) nodes.insert(id);
  }
  return nodes;
}

void Node::Impl::WatchEvidence() {
  const bool watch = region_.controller == self_ || region_.standby == self_;
  if (!std::exchange(evidence_watched_, watch) && !watch) return;
  const auto is_down = [](const auto& entry) { return entry.second.state == MemberState::kAgentDown; };
  if (evidence_.IsIdle() && std::ranges::none_of(Here(), is_down)) return;
  const auto reports = ObservedReports();
  Weigh(EvidenceWatch{watch, &Here(), &reports, &specs_});
}

void Node::Impl::On(const VerdictChanged&) { PlanSoon(); }

void Node::Impl::PlanSoon() {
  const std::size_t members = Regional() ? here_.size() : membership_.PresentCount();
  const Duration pause = kPlanPausePerMember * static_cast<std::int64_t>(members);
  plan_at_ = std::min(plan_at_, planned_at_ + std::clamp(pause, kPlanPause, kPlanPauseMax));
}

// Our slice, if the controller that we elect made it in its present term. `specs`: what it refers to may have
// changed.
void Node::Impl::SettleSlice(bool specs) {
  if (parting_ >= Parting::kStopping) return;
  const auto found = board_.Slice(region_.controller, self_);
  if (found == nullptr || (found == slice_ && !specs)) return;
  const PlanSlice& slice = std::get<PlanSlice>(*found);
  if (slice.node != self_ || slice.stamp.term != region_.term) return;
  // Numbers of one controller's reign only grow; those of two that reigned at once cannot be compared.
  const bool same_reign =
      slice.stamp.term == slice_stamp_.term && slice.stamp.controller == slice_stamp_.controller;
  if (same_reign && slice.stamp.sequence < slice_stamp_.sequence) return;
  if (slice.stamp != slice_stamp_) allotments_ = TakeAllotments(allotments_, slice.allotments, same_reign);
  const auto before = std::exchange(slice_, found);
  slice_stamp_ = slice.stamp;
  SliceReceived order{slice, {}};
  for (const Assignment& assignment : slice.assignments) {
    if (const auto spec = specs_.find(assignment.spec); spec != specs_.end())
      order.specs[assignment.replica] = spec->second;
  }
  // Orders are weighed at once, and by the health of the keepers that they name as it is now.
  SettleKeepers(before.get());
  Supervise(order);
}

// Only keepers that our own orders name matter to us, and those of the slice whose orders stand until the
// next is handed over.
void Node::Impl::SettleKeepers(const RecordBody* standing) {
  if (!slice_) return;
  std::set<ReplicaId> named;
  for (const RecordBody* slice : {slice_.get(), standing}) {
    if (slice == nullptr) continue;
    for (const Assignment& assignment : std::get<PlanSlice>(*slice).assignments) {
      if (assignment.stop_keeper && assignment.stop_keeper != assignment.replica)
        named.insert(assignment.stop_keeper);
    }
  }
  KeeperHealth keepers;
  if (named.empty()) return Supervise(keepers);
  for (const auto& [key, record] : RecordsOf(board_, RecordKind::kNodeReport)) {
    const auto& replicas = std::get<NodeReport>(*record.body).replicas;
    if (replicas.empty()) continue;
    const auto member = membership_.members().find(key.owner);
    if (member == membership_.members().end() || !IsPresent(member->second.state)) continue;
    for (const ReplicaStatus& status : replicas) {
      if (named.contains(status.id) && IsServing(status)) keepers.healthy.insert(status.id);
    }
  }
  for (const RegionReport* summary : Summaries()) {
    for (const ServiceInRegion& service : summary->services) {
      if (named.contains(service.keeper)) keepers.healthy.insert(service.keeper);
    }
  }
  Supervise(keepers);
}

void Node::Impl::SettleReport() {
  NodeReport report;
  report.replicas = supervisor_.statuses();
  report.plan = slice_stamp_;
  report.bundles.assign(bundles_.begin(), bundles_.end());
  report.door_error = door_error_;
  report.containment = containment_;
  report.allotments = allotments_;
  for (const auto& [words, until] : troubles_) report.troubles.push_back(words);
  if (disk_.fault() != DiskFault::kNone) report.troubles.push_back(DiskTrouble());
  std::ranges::sort(report.troubles);
  for (const auto& [role, held] : roles_) report.roles.push_back(held);
  if (published_ == report) return;
  published_ = report;
  Observe(Publish{RecordKind::kNodeReport, 0, std::make_shared<const RecordBody>(std::move(report))});
  dirty_.reports = true;
}

// What a box ran when it died, and how that was: whoever replaces it wants to know which version worked.
void Node::Impl::KeepLastWords(NodeId id) {
  for (const auto& [key, record] : RecordsOf(board_, RecordKind::kNodeReport)) {
    if (key.owner == id) last_words_.insert_or_assign(id, record);
  }
  std::erase_if(last_words_, [this](const auto& of) { return !membership_.members().contains(of.first); });
}

NodeReports Node::Impl::ObservedReports() const {
  NodeReports reports;
  for (const auto& [key, record] : RecordsOf(board_, RecordKind::kNodeReport)) {
    if (Regional() && !here_.contains(key.owner)) continue;
    reports.try_emplace(key.owner, {&std::get<NodeReport>(*record.body), record.version.boot});
  }
  return reports;
}

KnownSlices Node::Impl::ObservedSlices() const {
  KnownSlices slices;
  for (const auto& [key, record] : RecordsOf(board_, RecordKind::kPlanSlice)) {
    const PlanSlice& slice = std::get<PlanSlice>(*record.body);
    if (Regional() && !here_.contains(slice.node)) continue;
    const PlanSlice*& newest = slices[slice.node];
    if (newest == nullptr || newest->stamp < slice.stamp) newest = &slice;
  }
  return slices;
}

// Whether this part of the cluster is the greater one, and since when this node, as its controller, has seen
// so.
SteadyView::Standing Node::Impl::Standing() {
  SteadyView::Standing standing = steady_view_.StandingOf(membership_.members());
  if (!standing.Majority()) minority_seen_at_ = now_.mono;
  standing.since = minority_seen_at_;
  return standing;
}

void Node::Impl::Plan() {
  planned_at_ = now_.mono;
  plan_at_ = now_.mono + tunables_.plan_interval;
  if (now_.mono - started_ > kIntentPatience && !LostWhatWasAsked()) intent_known_ = true;
  // Just come together with others: what they run is not known here yet.
  if (region_since_ != Time{} && now_.mono < region_since_ + tunables_.start_patience && !KnowsWhatRuns())
    return;
  NodeReports reports = ObservedReports();
  for (const auto& [id, record] : last_words_)
    reports.try_emplace(id, {&std::get<NodeReport>(*record.body), record.version.boot});
  health_watch_.Observe(now_.mono, reports);
  const KnownSlices previous = plan_book_.Known(ObservedSlices());
  const std::set<NodeId> not_for_work = NotForWork();
  PlanDraft draft;
  if (Regional() && Stewards()) Divide(draft);
  std::vector<std::string> pending = std::move(draft.pending);
  std::vector<DesiredService> here;  // as many as this region may have of each
  if (Regional()) here = services_;
  ReconcileInput input{.now = now_.mono,
                       .started_at = started_,
                       .tunables = tunables_,
                       .members = Here(),
                       .drained = not_for_work,
                       .services = Regional() ? here : services_,
                       .specs = specs_,
                       .reports = reports,
                       .previous = previous,
                       .evidence = evidence_.verdicts(),
                       .unhealthy_since = health_watch_.since(),
                       .moves = move_book_,
                       .standing = Standing(),
                       .intent_known = intent_known_};
  for (const NodeId& id : unseen_) {
    if (!removed_.contains(id)) input.unmet.push_back(NameOf(id));
  }
  if (Regional()) {
    here = ServicesHere(CountStaying(input));
    input.keepers_elsewhere = KeepersElsewhere();
  }
  const Time division_at = plan_at_;
  draft = Reconcile(input, prng_);
  draft.pending.insert(draft.pending.end(), pending.begin(), pending.end());
  plan_at_ = std::min(division_at, draft.look_again_at);
  move_book_.Note(now_.mono, draft.moves_begun, draft.moves_failed);
  draft.shortages.insert(draft.shortages.end(), withheld_.begin(), withheld_.end());
  std::ranges::stable_sort(draft.shortages, {}, &Shortage::service);
  Deal(draft);
  PlanUpdate update = plan_book_.Apply(region_.term, draft, Summary(draft, reports), Here(), reports);
  PublishPlan(update);
}

void Node::Impl::PublishPlan(PlanUpdate& update) {
  for (const Decision& decision : update.decisions) {
    // A loss that the plans on the board still show is decided upon again in each look; it is told once.
    const bool told = std::find(decisions_.begin(), decisions_.end(), decision) != decisions_.end();
    if (!told) Emit(decision.kind, decision.subject, decision.cause);
  }
  if (std::exchange(planned_term_, region_.term) != region_.term) TellFirstPlan(update);
  decisions_ = std::move(update.decisions);
  for (PlanSlice& slice : update.changed) {
    const std::uint64_t sub = slice.node.Prefix64();
    dirty_.plans = true;
    Observe(Publish{RecordKind::kPlanSlice, sub, std::make_shared<const RecordBody>(std::move(slice))});
  }
  if (update.report_changed) TellRegion(std::move(update.report));
}

// A change of control should be nothing to what runs: here is what it was.
void Node::Impl::TellFirstPlan(const PlanUpdate& update) {
  const auto count = [&](std::string_view kind) {
    return std::to_string(std::ranges::count(update.decisions, kind, &Decision::kind));
  };
  Emit("plan.first", meta_.name,
       "first plan of term " + std::to_string(region_.term) + ", for " +
           std::to_string(std::ranges::count_if(
               Here(), [](const auto& entry) { return IsPresent(entry.second.state); })) +
           " members: " + count("plan.start") + " to start, " + count("plan.stop") + " to stop");
}

// A box that fell has no door that serves. A restarted agent finds one. Until the others have said what they
// run, its own table would name only this box's replicas, and taking the others out would refuse requests
// that the door can serve well.
bool Node::Impl::KnowsWhatServes() const { return door_told_ || box_fell_ || KnowsWhatRuns(); }

bool Node::Impl::KnowsWhatRuns() const {
  if (now_.mono >= std::max(started_, region_since_) + tunables_.start_patience) return true;
  if (!table_known_) return false;
  return std::ranges::all_of(Here(), [this](const auto& entry) {
    const auto& [id, member] = entry;
    return id == self_ || !IsPresent(member.state) ||
           board_.records().contains({RecordKind::kNodeReport, id, 0});
  });
}

void Node::Impl::SettleDoor() {
  if (!KnowsWhatServes()) {
    door_at_ = std::max(started_, region_since_) + tunables_.start_patience;
    return;
  }
  door_at_ = kNever;
  door_built_at_ = now_.mono;
  DoorReports reports;
  for (const auto& [key, record] : RecordsOf(board_, RecordKind::kNodeReport)) {
    reports.try_emplace(key.owner, &std::get<NodeReport>(*record.body));
  }
  DoorTable table = BuildDoorTable({.self = self_,
                                    .members = membership_.members(),
                                    .services = services_,
                                    .reports = reports,
                                    .summed = ServingElsewhere(reports)});
  table.refused.assign(removed_.begin(), removed_.end());
  if (door_told_ && table == *door_) return;
  door_told_ = true;
  door_ = std::make_shared<const DoorTable>(std::move(table));
  outputs_.emplace_back(ApplyDoor{door_});
  WatchDoorPaths();
}

void Node::Impl::SettleDigests() {
  const Membership::SetDigests digests{intent_.digest(), board_.digest(), board_.region_digest()};
  if (digests == digests_) return;
  digests_ = digests;
  steady_dirty_ = true;
  AsMember(digests_);
}

}  // namespace hs
