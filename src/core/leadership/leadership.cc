#include "core/leadership/leadership.h"

#include <algorithm>
#include <tuple>

#include "base/hash.h"

namespace hs {
namespace {

constexpr RegionId kRegion = 0;
// A member younger than this is chosen only when no older one is fit: a box that has just come may just be
// going.
constexpr Duration kYouth = 10s;
// How far the region must shrink below a multiple of kSubgraphMax before a monitor is let go.
constexpr std::size_t kMonitorSlack = 4;

std::uint64_t Draw(NodeId id, std::uint64_t salt) {
  return CombineHash(CombineHash(Hash64("leadership"), kRegion ^ salt), id.Prefix64());
}

std::string NameOf(const std::map<NodeId, Member>& members, NodeId id) {
  const auto it = members.find(id);
  if (it == members.end() || it->second.meta.name.empty()) return id.Short();
  return it->second.meta.name;
}

bool Barred(const Member& member) {
  const auto it = member.meta.labels.find(kControllerLabel);
  return it != member.meta.labels.end() && it->second == "never";
}

}  // namespace

// Those who may hold a role, in order of preference for a new one.
struct Leadership::Pool {
  std::vector<NodeId> leaders;    // for controller and stand-by
  std::vector<NodeId> claimants;  // whose claim to control counts
  std::vector<NodeId> workers;    // for monitors: the barred too
  bool Leads(NodeId id) const { return std::find(leaders.begin(), leaders.end(), id) != leaders.end(); }
};

Leadership::Leadership(const Tunables& tunables, NodeId self, Time start)
    : self_(self), patience_until_(start + tunables.start_patience) {}

Time Leadership::NextDeadline() const { return settled_ ? kNever : patience_until_; }

// What we decided last counts for ourselves: the table may lag behind.
const RoleClaim& Leadership::ClaimOf(const Member& member) const {
  return member.id == self_ ? own_ : member.meta.roles;
}

Leadership::Pool Leadership::MakePool(Time now, const LeadershipInput& input) const {
  using Rank = std::tuple<bool, bool, std::uint64_t, NodeId>;  // suspect, young, draw
  std::vector<Rank> fit, open, present;
  for (const auto& [id, member] : input.members) {
    if (!IsPresent(member.state)) continue;
    const Rank rank{member.state == MemberState::kSuspect, now - member.alive_since < kYouth, Draw(id, 0),
                    id};
    present.push_back(rank);
    if (input.drained.contains(id)) continue;
    open.push_back(rank);
    if (member.quarantined_until <= now) fit.push_back(rank);
  }
  const auto leads = [&](const Rank& rank) { return !Barred(input.members.at(std::get<NodeId>(rank))); };
  const auto pick = [](std::vector<Rank> ranks) {
    std::sort(ranks.begin(), ranks.end());
    std::vector<NodeId> ids;
    for (const Rank& rank : ranks) ids.push_back(std::get<NodeId>(rank));
    return ids;
  };
  // With everyone drained or in quarantine somebody still has to control: a worse choice beats none.
  Pool pool;
  for (const auto* ranks : {&fit, &open, &present}) {
    std::vector<Rank> kept;
    std::copy_if(ranks->begin(), ranks->end(), std::back_inserter(kept), leads);
    if (pool.leaders.empty()) pool.leaders = pick(std::move(kept));
    if (pool.workers.empty()) pool.workers = pick(*ranks);
  }
  // Quarantine is each node's own opinion. It may keep a member from being chosen, but were claims judged by
  // it, two nodes with other opinions would follow two controllers.
  for (const auto* ranks : {&open, &present}) {
    std::vector<Rank> kept;
    std::copy_if(ranks->begin(), ranks->end(), std::back_inserter(kept), leads);
    if (pool.claimants.empty()) pool.claimants = pick(std::move(kept));
  }
  return pool;
}

NodeId Leadership::ChooseController(const LeadershipInput& input, const Pool& pool,
                                    std::vector<std::string>& causes) {
  NodeId winner;
  Term term = 0;
  for (const NodeId id : pool.claimants) {
    const RoleClaim& claim = ClaimOf(input.members.at(id));
    if (claim.controller && std::tie(claim.term, id) > std::tie(term, winner))
      std::tie(winner, term) = std::tie(id, claim.term);
  }
  if (winner && winner != self_ && own_.controller) {
    own_.controller = false;
    own_.term = 0;
    causes.push_back("gave up control of region 0: " + NameOf(input.members, winner) +
                     " claims it with term " + std::to_string(term));
  }
  if (winner || pool.leaders.empty() || !settled_) return winner;

  NodeId elected = pool.leaders.front();
  const char* why = "is the fittest by the fixed rule";
  for (const NodeId id : pool.leaders) {
    if (!ClaimOf(input.members.at(id)).standby) continue;
    elected = id;
    why = "was standing by";
    break;
  }
  if (elected != self_) return NodeId{};
  own_.controller = true;
  own_.term = ++term_max_;
  causes.push_back("took control of region 0 with term " + std::to_string(own_.term) +
                   ": no fit member claims it and this node " + why);
  return self_;
}

NodeId Leadership::ChooseStandby(const LeadershipInput& input, const Pool& pool, NodeId controller) const {
  // A hand-over is under way: the mate keeps its place until it is done.
  if (!controller) return pool.Leads(view_.standby) ? view_.standby : NodeId{};
  NodeId standby, claimant;
  for (const NodeId id : pool.leaders) {
    if (id == controller) continue;
    if (!standby) standby = id;
    // Among claimants by draw alone: preference by age or suspicion would let roles wander.
    if (ClaimOf(input.members.at(id)).standby && (!claimant || Draw(id, 0) < Draw(claimant, 0)))
      claimant = id;
  }
  return claimant ? claimant : standby;
}

std::vector<MonitorView> Leadership::ChooseMonitors(const LeadershipInput& input, const Pool& pool,
                                                    NodeId controller, NodeId standby) const {
  std::vector<NodeId> watched;
  for (const auto& [id, member] : input.members) {
    if (member.state != MemberState::kDead && member.state != MemberState::kLeft) watched.push_back(id);
  }
  // Controller and stand-by are monitors first, then those who already are, then by preference.
  std::vector<NodeId> order;
  const auto add = [&](NodeId id) {
    if (id && std::find(order.begin(), order.end(), id) == order.end()) order.push_back(id);
  };
  add(controller);
  add(standby);
  for (const auto& [id, member] : input.members) {
    if (IsPresent(member.state) && ClaimOf(member).monitor && !input.drained.contains(id)) add(id);
  }
  const std::size_t claimed = order.size();
  for (const NodeId id : pool.workers) add(id);

  const std::size_t need = std::max<std::size_t>(2, (watched.size() + kSubgraphMax - 1) / kSubgraphMax);
  const std::size_t keep =
      std::max<std::size_t>(2, (watched.size() + kMonitorSlack + kSubgraphMax - 1) / kSubgraphMax);
  order.resize(std::min(order.size(), std::clamp(claimed, need, keep)));
  std::sort(order.begin(), order.end());

  std::vector<MonitorView> monitors;
  for (const NodeId id : order) monitors.push_back({id, {}});
  // Rendezvous with a bound: each member goes to the monitor it draws highest among those with room, not to
  // itself where another has room. When too many are gone to watch everyone, the rest stays unwatched.
  for (const NodeId id : watched) {
    MonitorView* best = nullptr;
    std::tuple<bool, std::uint64_t> best_key;
    for (MonitorView& monitor : monitors) {
      if (monitor.watches.size() >= kSubgraphMax) continue;
      const std::tuple<bool, std::uint64_t> key{monitor.monitor != id, Draw(monitor.monitor, id.Prefix64())};
      if (best == nullptr || key > best_key) std::tie(best, best_key) = std::make_tuple(&monitor, key);
    }
    if (best != nullptr) best->watches.push_back(id);
  }
  return monitors;
}

void Leadership::Explain(const LeadershipInput& input, const RegionView& view,
                         std::vector<std::string>& causes) const {
  if (view.controller && view.controller != view_.controller && view.controller != self_) {
    std::string why = "node " + NameOf(input.members, view.controller) + " controls region 0 with term " +
                      std::to_string(view.term);
    if (view_.controller) {
      const auto it = input.members.find(view_.controller);
      why += " instead of " + NameOf(input.members, view_.controller) + ", which is ";
      why += it == input.members.end() ? "gone" : ToString(it->second.state);
    }
    causes.push_back(std::move(why));
  }
  if (view.standby && view.standby != view_.standby) {
    causes.push_back("node " + NameOf(input.members, view.standby) + " stands by for region 0");
  }
}

LeadershipOutcome Leadership::Step(Time now, const LeadershipInput& input) {
  settled_ = settled_ || input.table_known || now >= patience_until_;
  for (const auto& [id, member] : input.members) term_max_ = std::max(term_max_, member.meta.roles.term);

  LeadershipOutcome outcome;
  const RoleClaim own_before = own_;
  const Pool pool = MakePool(now, input);
  if (own_.controller && !pool.Leads(self_)) {
    own_.controller = false;
    own_.term = 0;
    outcome.causes.push_back(
        "gave up control of region 0: this node is drained, in quarantine or barred, and another is fit");
  }
  RegionView view;
  view.region = kRegion;
  view.controller = ChooseController(input, pool, outcome.causes);
  if (view.controller) view.term = ClaimOf(input.members.at(view.controller)).term;
  view.standby = ChooseStandby(input, pool, view.controller);
  view.monitors = ChooseMonitors(input, pool, view.controller, view.standby);

  const auto self = input.members.find(self_);
  own_.door = self != input.members.end() && self->second.meta.door.port != 0;
  own_.standby = settled_ && view.standby == self_ && !own_.controller;
  own_.monitor =
      settled_ && std::any_of(view.monitors.begin(), view.monitors.end(),
                              [&](const MonitorView& monitor) { return monitor.monitor == self_; });
  Explain(input, view, outcome.causes);
  outcome.changed = view != view_ || own_ != own_before;
  view_ = view;
  outcome.view = std::move(view);
  outcome.own = own_;
  return outcome;
}

}  // namespace hs
