// What each region may have: divided by the steward, followed by every controller.
#include <algorithm>
#include <cstring>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

constexpr std::string_view kReplicas = "replicas.";

bool IsCount(const Allotment& part) { return part.subject.starts_with(kReplicas); }

void Sort(std::vector<Allotment>& parts) { std::ranges::sort(parts, {}, &Allotment::subject); }

// Parts of maximums are dealt to regions as they are to nodes within one.
NodeId AsCarrier(RegionId region) {
  NodeId id;
  std::memcpy(id.bytes.data(), &region, sizeof region);
  id.bytes.back() = 1;
  return id;
}

}  // namespace

// ------------------------------------------------------------------------------------------------ following

void Node::Impl::SettleShare() {
  if (!Regional()) {
    own_share_.reset();
    own_maximums_.clear();
    follows_ = {};
    return;
  }
  if (Stewards() || !steward_) return;
  const auto body = board_.Region(steward_);
  if (body == nullptr) return;
  const auto& report = std::get<RegionReport>(*body);
  const auto share = std::ranges::find(report.division, region_id_, &RegionShare::region);
  if (share != report.division.end())
    FollowDivision(*share, {report.stamp.term, steward_, report.division_sequence});
}

void Node::Impl::FollowDivision(const RegionShare& share, PlanStamp stamp) {
  if (follows_ == stamp && own_share_ == share) return;
  const bool same_reign =
      HasShare() && follows_.term == stamp.term && follows_.controller == stamp.controller;
  std::vector<Allotment> maximums = share.allotments;
  std::erase_if(maximums, IsCount);
  own_maximums_ = TakeAllotments(HeldSum(Silent::kNot), maximums, same_reign);
  own_share_ = share;
  follows_ = stamp;
  if (Leads()) plan_at_ = now_.mono;
}

// By the share of this region. What it says nothing of stays as it is: a split, a new service, a steward who
// has not spoken yet.
std::vector<DesiredService> Node::Impl::ServicesHere(
    const std::map<std::string, std::uint32_t>& staying) const {
  std::vector<DesiredService> services = services_;
  for (DesiredService& service : services) {
    const auto there = staying.find(service.spec.name);
    service.replicas = there == staying.end() ? 0 : there->second;
    if (!HasShare()) continue;
    const std::string subject = std::string(kReplicas) + service.spec.name;
    const auto part = std::ranges::lower_bound(own_share_->allotments, subject, {}, &Allotment::subject);
    if (part != own_share_->allotments.end() && part->subject == subject)
      service.replicas = static_cast<std::uint32_t>(part->amount);
  }
  return services;
}

// Healthy ones in other regions, of what is still wanted; zero where there is none.
std::map<std::string, ReplicaId> Node::Impl::KeepersElsewhere() const {
  std::map<std::string, ReplicaId> keepers;
  for (const RegionReport* summary : Summaries()) {
    if (summary->region == region_id_ || !HasLeaf(summary->region)) continue;
    for (const ServiceInRegion& service : summary->services) {
      if (service.keeper) keepers.emplace(service.service, service.keeper);
    }
  }
  for (const DesiredService& service : services_) {
    if (service.replicas == 0) {
      keepers.erase(service.spec.name);
    } else {
      keepers.try_emplace(service.spec.name);
    }
  }
  return keepers;
}

std::vector<Allotment> Node::Impl::HeldSum(Silent silent) const {
  std::map<std::string, std::uint64_t> sums;
  for (const auto& [node, observed] : ObservedReports()) {
    const auto member = Here().find(node);
    if (member == Here().end()) continue;
    const MemberState state = member->second.state;
    const bool in_sight = IsPresent(state) || state == MemberState::kAgentDown;
    if (!in_sight && !(silent == Silent::kCounts && state == MemberState::kUnreachable)) continue;
    for (const Allotment& part : observed.report->allotments) sums[part.subject] += part.amount;
  }
  std::vector<Allotment> held;
  for (const auto& [subject, amount] : sums) held.push_back({subject, amount});
  return held;
}

// What may be dealt out in this region: its own part, or what its nodes brought along.
AllotmentTotals Node::Impl::TotalsHere(AllotmentTotals totals) const {
  AllotmentTotals here;
  for (const Allotment& part : HasShare() ? own_maximums_ : HeldSum(Silent::kNot)) {
    const auto total = totals.find(part.subject);
    if (total != totals.end()) here[part.subject] = std::min(part.amount, total->second);
  }
  return here;
}

// ------------------------------------------------------------------------------------------------ dividing

std::vector<ServiceToDivide> Node::Impl::ToDivide(
    const std::map<RegionId, const RegionReport*>& words) const {
  std::map<std::string, CountByNode> occupied;
  for (const RegionReport* summary : Summaries()) {
    for (const ServiceInRegion& service : summary->services) {
      for (const ServiceAtNode& at : service.nodes) {
        if (at.staying > 0) occupied[service.service][at.node] = at.staying;
      }
    }
  }
  const std::set<NodeId> not_for_work = NotForWork();
  const auto outlook = Outlook({.now = now_.mono,
                                .settled = now_.mono - tunables_.move_settle,
                                .patience = tunables_.agent_patience,
                                .members = membership_.members(),
                                .drained = not_for_work,
                                .services = services_,
                                .occupied = occupied});
  std::vector<ServiceToDivide> services;
  for (const DesiredService& wanted : services_) {
    ServiceToDivide service{
        .name = wanted.spec.name, .wanted = wanted.replicas, .movable = wanted.spec.movable};
    if (wanted.spec.singleton == Singleton::kPause) service.hold = PauseWait(tunables_, wanted.spec);
    std::uint32_t placed = 0;
    for (const auto& [node, count] : outlook.at(service.name)) {
      placed += count;
      // On boxes of a region whose agents are all down, it is left alone for a while.
      if (const RegionId leaf = LeafOf(node); leaf != 0) service.target[leaf] += count;
    }
    // What finds no room is missed here, with the reason.
    service.target[region_id_] += service.wanted - std::min(placed, service.wanted);
    for (const auto& [region, word] : words) {
      const auto there =
          std::ranges::lower_bound(word->services, service.name, {}, &ServiceInRegion::service);
      if (there != word->services.end() && there->service == service.name) {
        service.healthy[region] = there->healthy;
        for (const ServiceAtNode& at : there->nodes) service.staying[region] += at.staying;
      }
      for (const Shortage& shortage : word->shortages) {
        if (shortage.service == service.name) service.missing[region] += shortage.missing;
      }
    }
    services.push_back(std::move(service));
  }
  return services;
}

void Node::Impl::DealToRegions(const std::map<RegionId, const RegionReport*>& words,
                               std::vector<RegionShare>& shares) {
  const auto quotas = Quotas(intent_.documents());
  const AllotmentTotals totals =
      TotalsOf(RequestsOf(asked_, {}, quotas), StrictServices(), ClassQuotasOf(quotas));
  std::map<RegionId, std::uint64_t> boxes;
  for (const auto& [id, member] : membership_.members()) {
    if (IsPresent(member.state)) ++boxes[LeafOf(id)];
  }
  std::vector<Allotments::Carrier> carriers;
  const PlanStamp last{region_.term, self_, division_sequence_};
  for (const RegionShare& share : shares) {
    const auto word = words.find(share.region);
    Allotments::Carrier carrier{.node = AsCarrier(share.region),
                                .weight = std::max<std::uint64_t>(1, boxes[share.region])};
    if (word != words.end()) {
      carrier.held = word->second->held;
      carrier.acked = word->second->follows == last;
    }
    carriers.push_back(std::move(carrier));
  }
  std::ranges::sort(carriers, {}, &Allotments::Carrier::node);
  const Allotments::Deal deal =
      region_dealer_.Step({.totals = totals, .carriers = carriers, .complete = intent_known_ && Complete()});
  for (RegionShare& share : shares) {
    const auto told = deal.told.find(AsCarrier(share.region));
    if (told == deal.told.end()) continue;
    share.allotments.insert(share.allotments.end(), told->second.begin(), told->second.end());
  }
}

// By the steward, before it plans for its own region.
void Node::Impl::Divide(PlanDraft& draft) {
  std::map<RegionId, const RegionReport*> words;
  for (const RegionReport* summary : Summaries()) {
    if (HasLeaf(summary->region)) words.emplace(summary->region, summary);
  }
  for (const RegionId leaf : leaves_) {
    if (words.contains(leaf) || now_.mono >= leaves_since_ + tunables_.start_patience) continue;
    draft.pending.push_back("region " + std::to_string(leaf) + " has not said yet what it has");
    plan_at_ = std::min(plan_at_, leaves_since_ + tunables_.start_patience);
    return;
  }
  if (!intent_known_) return;
  const auto services = ToDivide(words);
  draft.pending = division_.Step({.now = now_.mono,
                                  .regions = leaves_,
                                  .services = services,
                                  .moves_at_once = tunables_.moves_at_once,
                                  .pause = tunables_.move_pause,
                                  .deadline = tunables_.rollout_deadline});
  plan_at_ = std::min(plan_at_, division_.NextDeadline());
  std::vector<RegionShare> shares;
  for (const RegionId leaf : leaves_) {
    RegionShare share{leaf, {}};
    for (const ServiceToDivide& service : services) {
      const CountByRegion& counts = *division_.SharesOf(service.name);
      share.allotments.push_back({std::string(kReplicas) + service.name, counts.at(leaf)});
    }
    shares.push_back(std::move(share));
  }
  DealToRegions(words, shares);
  for (RegionShare& share : shares) Sort(share.allotments);
  std::ranges::sort(shares, {}, &RegionShare::region);
  if (shares != shares_) {
    shares_ = std::move(shares);
    ++division_sequence_;
  }
  const auto own = std::ranges::find(shares_, region_id_, &RegionShare::region);
  HS_CHECK(own != shares_.end());
  own_share_ = *own;
  own_maximums_ = own->allotments;
  std::erase_if(own_maximums_, IsCount);
  follows_ = {region_.term, self_, division_sequence_};
}

}  // namespace hs
