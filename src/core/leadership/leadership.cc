#include "core/leadership/leadership.h"

#include <algorithm>
#include <tuple>

#include "base/hash.h"

namespace hs {
namespace {

// A member younger than this is chosen only when no older one is fit: a box that has just come may just be
// going.
constexpr Duration kYouth = 10s;
// To a newcomer all others look as new as itself: so long it leaves a place to those who know better.
constexpr Duration kNewcomer = 2s;
// Of those that were not fit, so many are named.
constexpr std::size_t kPassedOverNamed = 3;

std::uint64_t Draw(NodeId id, std::uint64_t salt) {
  static const std::uint64_t kName = Hash64("leadership");
  return CombineHash(CombineHash(kName, salt), id.Prefix64());
}

std::string NameOf(const Member& member) {
  return member.meta->name.empty() ? member.id.Short() : member.meta->name;
}

std::string Count(std::size_t count, const char* thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

std::string Needs(const RoleRow& row, std::size_t members) {
  return Count(members, "member") + (members == 1 ? " needs " : " need ") +
         Count(row.demand(members), ToString(row.role));
}

}  // namespace

struct Leadership::Look {
  struct Present {
    const Member* member;
    std::uint64_t draw;
    Unfit unfit;
    bool suspect;
    bool young;
  };
  Time now;
  const LeadershipInput& input;
  std::vector<Present> present = {};  // by id

  const Member* Find(NodeId id) const {
    const auto it = input.members.find(id);
    return it == input.members.end() ? nullptr : &it->second;
  }
  std::string NameOf(NodeId id) const {
    const Member* member = Find(id);
    return member == nullptr ? id.Short() : hs::NameOf(*member);
  }
};

// Those who may hold a role.
struct Leadership::Pool {
  std::vector<NodeId> fit;      // in order of preference for a new holder
  std::vector<NodeId> holders;  // whose claim to it counts
  bool Takes(NodeId id) const { return std::find(fit.begin(), fit.end(), id) != fit.end(); }
};

Leadership::Leadership(const Tunables& tunables, NodeId self, Time start)
    : self_(self), patience_until_(start + tunables.start_patience), grown_at_(start + kNewcomer) {}

Time Leadership::NextDeadline() const {
  return std::min(settled_ ? kNever : patience_until_, grown_ ? kNever : grown_at_);
}

// What we decided last counts for ourselves: the table may lag behind.
const RoleClaim& Leadership::ClaimOf(const Member& member) const {
  return member.id == self_ ? own_ : member.meta->roles;
}

// Strain and its disk are each node's own word and drains are documents: on these all agree. Quarantine is an
// opinion.
Standing Leadership::StandingOf(const Look& look, const Member& member) const {
  const RoleClaim& claim = ClaimOf(member);
  return {.strained = claim.strained,
          .quarantined = member.quarantined_until > look.now,
          .drained = look.input.drained.contains(member.id),
          .disk = claim.disk};
}

Leadership::Pool Leadership::PoolFor(const Look& look, const RoleRow& row) const {
  struct Candidate {
    int rank;  // suspect, then young, then no monitor
    std::uint64_t draw;
    NodeId id;
    Unfit unfit;
    auto Order() const { return std::tie(rank, draw, id); }
  };
  std::vector<Candidate> candidates;
  candidates.reserve(look.present.size());
  for (const Look::Present& who : look.present) {
    const Member& member = *who.member;
    if (IsBarred(member.meta->labels, row.role)) continue;
    if (row.role == Role::kMonitor && member.id == self_ && !grown_ && !own_.monitor) continue;
    // A monitor has its subgraph's loads already: control is better off there.
    const bool apart = row.role != Role::kMonitor && !ClaimOf(member).monitor;
    candidates.push_back({(who.suspect ? 4 : 0) + (who.young ? 2 : 0) + (apart ? 1 : 0), who.draw, member.id,
                          who.unfit & row.unfit});
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.Order() < b.Order(); });
  const auto pick = [&](Unfit ruled_out) {
    std::vector<NodeId> ids;
    ids.reserve(candidates.size());
    for (const Candidate& candidate : candidates) {
      if ((candidate.unfit & ruled_out) == 0) ids.push_back(candidate.id);
    }
    return ids;
  };
  Pool pool;
  for (const Unfit ruled_out : {~Unfit{0}, ~kUnfitStrained, ~(kUnfitStrained | kUnfitDisk),
                                ~(kUnfitStrained | kUnfitDisk | kUnfitQuarantined), Unfit{0}}) {
    if (pool.fit.empty()) pool.fit = pick(ruled_out);
    // Were claims judged by opinions, two nodes with other opinions would follow two controllers.
    if (pool.holders.empty()) pool.holders = pick(ruled_out & ~kUnfitQuarantined);
    if (!row.essential) break;
  }
  return pool;
}

NodeId Leadership::ChooseController(const Look& look, const Pool& pool) {
  const auto greatest = [&](const auto& ids) {
    NodeId winner;
    Term term = 0;
    for (const NodeId id : ids) {
      const RoleClaim& claim = ClaimOf(*look.Find(id));
      if (claim.controller && std::tie(claim.term, id) > std::tie(term, winner))
        std::tie(winner, term) = std::tie(id, claim.term);
    }
    return winner;
  };
  const Member* self = look.Find(self_);
  if (self != nullptr && self->quarantined_until > look.now && !pool.Takes(self_)) own_.controller = false;
  const NodeId winner = greatest(pool.holders);
  if (winner || !settled_ || pool.fit.empty()) return winner;

  NodeId elected = pool.fit.front();
  elected_by_ = "is the fittest by the fixed rule";
  for (const NodeId id : pool.fit) {
    if (!ClaimOf(*look.Find(id)).standby) continue;
    elected = id;
    elected_by_ = "was standing by";
    break;
  }
  if (elected != self_) return greatest(Relieved(look));
  if (own_.controller) return self_;
  own_.controller = true;
  own_.term = ++term_max_;
  return self_;
}

// Who gives control up as unfit, and goes on with it until another's claim is seen.
std::vector<NodeId> Leadership::Relieved(const Look& look) const {
  const RoleRow& row = RowOf(Role::kController);
  std::vector<NodeId> relieved;
  if (row.hand_over != HandOver::kWhenClaimed) return relieved;
  for (const auto& [id, member] : look.input.members) {
    if (!IsPresent(member.state) || IsBarred(member.meta->labels, row.role)) continue;
    if ((StandingOf(look, member).bits() & row.unfit & ~kUnfitQuarantined) != 0) relieved.push_back(id);
  }
  return relieved;
}

NodeId Leadership::ChooseStandby(const Look& look, const Pool& pool, NodeId controller) const {
  // A hand-over is under way: the mate keeps its place until it is done.
  if (!controller) return pool.Takes(view_.standby) ? view_.standby : NodeId{};
  NodeId standby, claimant;
  for (const NodeId id : pool.fit) {
    if (id == controller) continue;
    if (!standby) standby = id;
    // Among claimants by draw alone: preference by age or suspicion would let roles wander.
    if (ClaimOf(*look.Find(id)).standby && (!claimant || Draw(id, 0) < Draw(claimant, 0))) claimant = id;
  }
  return claimant ? claimant : standby;
}

std::vector<NodeId> Leadership::ChooseMonitors(const Look& look, const Pool& pool, std::size_t watched,
                                               NodeId controller, NodeId standby) const {
  // Controller and stand-by are monitors first, then those who already are, then by preference.
  std::vector<NodeId> order;
  const auto add = [&](NodeId id) {
    if (std::find(order.begin(), order.end(), id) == order.end()) order.push_back(id);
  };
  for (const NodeId id : {controller, standby}) {
    const Member* member = look.Find(id);
    if (member != nullptr && !IsBarred(member->meta->labels, Role::kMonitor)) add(id);
  }
  std::vector<NodeId> holders = pool.holders;
  std::sort(holders.begin(), holders.end());
  for (const NodeId id : holders) {
    if (ClaimOf(*look.Find(id)).monitor) add(id);
  }
  const RoleRow& row = RowOf(Role::kMonitor);
  const std::size_t needed = std::clamp(order.size(), row.demand(watched), row.quota(watched));
  for (const NodeId id : pool.fit) {
    if (order.size() >= needed) break;
    add(id);
  }
  order.resize(std::min(order.size(), needed));
  std::sort(order.begin(), order.end());
  return order;
}

// Rendezvous with a bound: each member goes to the monitor it draws highest among those with room, not to
// itself where another has room. When too many are gone to watch everyone, the rest stays unwatched.
std::vector<MonitorView> Leadership::DivideAmong(std::vector<NodeId> monitors,
                                                 const std::vector<NodeId>& watched) const {
  std::vector<MonitorView> views;
  for (const NodeId id : monitors) views.push_back({id, {}});
  for (const NodeId id : watched) {
    MonitorView* best = nullptr;
    std::tuple<bool, std::uint64_t> best_key;
    for (MonitorView& monitor : views) {
      if (monitor.watches.size() >= kSubgraphMax) continue;
      const std::tuple<bool, std::uint64_t> key{monitor.monitor != id, Draw(monitor.monitor, id.Prefix64())};
      if (best == nullptr || key > best_key) std::tie(best, best_key) = std::make_tuple(&monitor, key);
    }
    if (best != nullptr) best->watches.push_back(id);
  }
  return views;
}

RoleClaim Leadership::OwnClaim(const Look& look, const RegionView& view) const {
  RoleClaim own = own_;
  const Member* self = look.Find(self_);
  const RoleRow& worker = RowOf(Role::kWorker);
  const Unfit unfit = Standing{.drained = look.input.drained.contains(self_)}.bits() & worker.unfit;
  const bool fit = unfit == 0 && (self == nullptr || !IsBarred(self->meta->labels, worker.role));
  own.worker = fit || (own.worker && worker.hand_over == HandOver::kWhenPutDown && look.input.holds_work);
  own.door = self != nullptr && self->meta->door.port != 0;
  if (own.controller && view.controller != self_) {
    own.controller = false;
    own.term = 0;
  }
  own.standby = settled_ && view.standby == self_ && !own.controller;
  own.monitor = settled_ && std::any_of(view.monitors.begin(), view.monitors.end(),
                                        [&](const MonitorView& monitor) { return monitor.monitor == self_; });
  return own;
}

// -------------------------------------------------------------------------------------------------- in words

// "; not n3 (overloaded), n4 (barred by its labels)": who comes to mind and was not taken.
std::string Leadership::PassedOver(const Look& look, const RoleRow& row) const {
  std::string words;
  std::size_t named = 0;
  for (const auto& [id, member] : look.input.members) {
    if (id == self_ || !IsPresent(member.state)) continue;
    const Standing standing = StandingOf(look, member);
    const bool barred = IsBarred(member.meta->labels, row.role);
    if (!barred && (standing.bits() & row.unfit) == 0) continue;
    if (++named > kPassedOverNamed) continue;
    words += (named == 1 ? "; not " : ", ") + hs::NameOf(member) + " (" +
             (barred ? "barred by its labels" : Describe(standing)) + ")";
  }
  if (named > kPassedOverNamed) words += " and " + std::to_string(named - kPassedOverNamed) + " more";
  return words;
}

std::string Leadership::WhyTaken(const Look& look, Role role, const RegionView& view,
                                 std::size_t watched) const {
  const RoleRow& row = RowOf(role);
  switch (role) {
    case Role::kWorker:
      return "it is neither drained nor barred by its labels";
    case Role::kDoor:
      return "it was started with a door";
    case Role::kMonitor: {
      const std::string need = Needs(row, watched);
      if (view.controller == self_) return need + " and the controller is one of them";
      if (view.standby == self_) return need + " and the stand-by is one of them";
      return need + ", " + std::to_string(view_.monitors.size()) +
             " had the role, and this node is the fittest by the fixed rule: " +
             "longest here, then by draw" + PassedOver(look, row);
    }
    case Role::kStandby:
      return "stands by for " + look.NameOf(view.controller) + " in region " + std::to_string(view.region) +
             ": the fittest by the fixed rule" + PassedOver(look, row);
    case Role::kController: {
      std::string words = "took control of region " + std::to_string(view.region) + " with term " +
                          std::to_string(own_.term) + ": no fit member claims it and this node " +
                          elected_by_;
      const Member* before = look.Find(view_.controller);
      if (before != nullptr && view_.controller != self_) {
        const std::string standing = Describe(StandingOf(look, *before));
        words += "; " + hs::NameOf(*before) + ", which had it, is " +
                 (IsPresent(before->state) && !standing.empty() ? standing : ToString(before->state));
      }
      return words + PassedOver(look, row);
    }
  }
  return {};
}

std::string Leadership::WhyGiven(const Look& look, Role role, const RegionView& view,
                                 std::size_t watched) const {
  const RoleRow& row = RowOf(role);
  Standing standing{.strained = own_.strained, .disk = own_.disk};
  if (const Member* self = look.Find(self_)) {
    standing = StandingOf(look, *self);
    if (IsBarred(self->meta->labels, role)) return "its labels bar it from the role";
  }
  const std::string unfit = (standing.bits() & row.unfit) == 0 ? "" : "this node is " + Describe(standing);
  switch (role) {
    case Role::kWorker:
      return unfit.empty() ? "its labels bar it from the role" : unfit + " and its work is with others";
    case Role::kDoor:
      return "its door was closed";
    case Role::kMonitor:
      if (!unfit.empty()) return unfit + " and others are fit";
      return Count(watched, "member") + " need " + Count(row.demand(watched), "monitor") +
             ", and there are " + std::to_string(view.monitors.size()) + " others";
    case Role::kStandby:
      if (view.controller == self_) return "it controls now";
      return unfit.empty() ? look.NameOf(view.standby) + " stands by" : unfit + " and others are fit";
    case Role::kController: {
      if (!view.controller)
        return unfit.empty() ? "its region has no controller now" : unfit + " and another is fit";
      const Member* next = look.Find(view.controller);
      const Term term = next == nullptr ? 0 : ClaimOf(*next).term;
      return look.NameOf(view.controller) + " claims region " + std::to_string(view.region) + " with term " +
             std::to_string(term) + (unfit.empty() ? "" : "; " + unfit);
    }
  }
  return {};
}

LeadershipOutcome Leadership::Step(Time now, const LeadershipInput& input) {
  settled_ = settled_ || input.table_known || now >= patience_until_;
  grown_ = grown_ || now >= grown_at_;
  for (const auto& [id, member] : input.members) term_max_ = std::max(term_max_, member.meta->roles.term);

  const RoleClaim before = own_;
  own_.strained = input.strained;
  own_.disk = input.disk;
  Look look{now, input};
  std::vector<NodeId> watched;
  for (const auto& [id, member] : input.members) {
    if (member.state != MemberState::kDead && member.state != MemberState::kLeft) watched.push_back(id);
    if (!IsPresent(member.state)) continue;
    look.present.push_back({&member, Draw(id, 0), StandingOf(look, member).bits(),
                            member.state == MemberState::kSuspect, now - member.alive_since < kYouth});
  }
  RegionView view;
  view.region = input.region;
  view.controller = ChooseController(look, PoolFor(look, RowOf(Role::kController)));
  if (view.controller) view.term = ClaimOf(*look.Find(view.controller)).term;
  view.standby = ChooseStandby(look, PoolFor(look, RowOf(Role::kStandby)), view.controller);
  view.monitors = DivideAmong(ChooseMonitors(look, PoolFor(look, RowOf(Role::kMonitor)), watched.size(),
                                             view.controller, view.standby),
                              watched);
  own_ = OwnClaim(look, view);

  LeadershipOutcome outcome;
  for (const RoleRow& row : RoleTable()) {
    const bool had = before.*row.claim;
    const bool has = own_.*row.claim;
    if (had == has) continue;
    outcome.changes.push_back({row.role, has,
                               has ? WhyTaken(look, row.role, view, watched.size())
                                   : WhyGiven(look, row.role, view, watched.size())});
  }
  outcome.changed = view != view_ || own_ != before;
  view_ = view;
  outcome.view = std::move(view);
  outcome.own = own_;
  return outcome;
}

}  // namespace hs
