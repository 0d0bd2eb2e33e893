#include "core/leadership/leadership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hs {
namespace {

NodeId Id(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n * 37);
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

// Nodes that all see each other's last claims; `cut` puts a node on the other side of a partition.
class Region {
 public:
  Tunables tunables;
  Time now = Time{} + 100s;
  MemberTable members;
  std::map<NodeId, Leadership> nodes;
  std::map<NodeId, LeadershipOutcome> said;
  std::set<NodeId> drained, cut;
  std::map<NodeId, NodeId> distrust;  // who holds whom in quarantine
  std::set<NodeId> strained, holding;
  std::map<NodeId, DiskFault> disks;
  bool table_known = true;
  Duration ahead{};  // so much longer each has been there by its own view

  explicit Region(int size) {
    for (int n = 1; n <= size; ++n) Add(n, 1h);
  }
  void Add(int n, Duration age = 0s) {
    Member member;
    member.id = Id(n);
    member.meta.Edit().name = "n" + std::to_string(n);
    member.alive_since = now;
    members[member.id] = member;
    nodes.emplace(member.id, Leadership(tunables, member.id, now - age));
  }
  void SetState(NodeId id, MemberState state) { members[id].state = state; }
  // Everyone alive looks once; claims become visible to all afterwards. True when somebody's answer changed.
  bool Round() {
    bool changed = false;
    std::map<NodeId, RoleClaim> claims;
    for (auto& [id, node] : nodes) {
      if (!IsPresent(members[id].state)) continue;
      auto seen = members;
      for (auto&& [other, member] : seen) {
        if (cut.contains(other) != cut.contains(id)) member.state = MemberState::kUnreachable;
      }
      seen[id].alive_since -= ahead;
      if (distrust.contains(id)) seen[distrust[id]].quarantined_until = now + 1h;
      said[id] = node.Step(now, {.members = seen,
                                 .drained = drained,
                                 .table_known = table_known,
                                 .holds_work = holding.contains(id),
                                 .strained = strained.contains(id),
                                 .disk = disks.contains(id) ? disks[id] : DiskFault::kNone});
      changed = changed || said[id].changed;
      claims[id] = said[id].own;
    }
    for (const auto& [id, claim] : claims) members[id].meta.Edit().roles = claim;
    now += 1s;
    return changed;
  }
  void Settle() {
    int rounds = 0;
    while (Round()) ASSERT_LT(++rounds, 20) << "roles wander";
  }
  std::vector<NodeId> Claimants() const {
    std::vector<NodeId> ids;
    for (const auto& [id, member] : members) {
      if (IsPresent(member.state) && member.meta->roles.controller) ids.push_back(id);
    }
    return ids;
  }
  NodeId Controller() const {
    EXPECT_EQ(Claimants().size(), 1U);
    return Claimants().empty() ? NodeId{} : Claimants().front();
  }
  const RegionView& ViewOf(NodeId id) const { return said.at(id).view; }
};

TEST(Leadership, AllAgreeOnOneControllerAndOneStandby) {
  for (const int size : {1, 2, 3, 5, 16, 40, 64}) {
    SCOPED_TRACE(size);
    Region r(size);
    r.Settle();
    const NodeId controller = r.Controller();
    for (const auto& [id, outcome] : r.said) {
      EXPECT_EQ(outcome.view, r.said.begin()->second.view);
      EXPECT_EQ(outcome.view.controller, controller);
      EXPECT_EQ(static_cast<bool>(outcome.view.standby), size > 1);
      EXPECT_EQ(outcome.own.standby, outcome.view.standby == id);
    }
  }
}

TEST(Leadership, MonitorsWatchEveryoneInSubgraphsOfAtMostSixteen) {
  for (const int size : {1, 2, 16, 17, 32, 33, 64}) {
    SCOPED_TRACE(size);
    Region r(size);
    r.Settle();
    const auto& monitors = r.said.begin()->second.view.monitors;
    EXPECT_EQ(monitors.size(), size == 1 ? 1U : std::max<std::size_t>(2, (size + 15) / 16));
    std::set<NodeId> watched;
    for (const auto& monitor : monitors) {
      EXPECT_LE(monitor.watches.size(), kSubgraphMax);
      watched.insert(monitor.watches.begin(), monitor.watches.end());
      EXPECT_TRUE(r.members[monitor.monitor].meta->roles.monitor);
    }
    EXPECT_EQ(watched.size(), static_cast<std::size_t>(size));
  }
}

TEST(Leadership, InSteadyMembershipNothingEverChanges) {
  Region r(20);
  r.Settle();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(r.Round());
}

TEST(Leadership, NewcomersAndSuspicionTakeNoRoleAway) {
  Region r(3);
  r.Settle();
  const NodeId controller = r.Controller(), standby = r.ViewOf(controller).standby;
  for (int n = 4; n <= 15; ++n) r.Add(n);
  r.Settle();
  r.now += 60s;
  r.SetState(standby, MemberState::kSuspect);
  r.Settle();
  EXPECT_EQ(r.Controller(), controller);
  EXPECT_EQ(r.ViewOf(controller).standby, standby);
}

TEST(Leadership, WhatTakesControlAwayAndWhatDoesNot) {
  struct Row {
    const char* why;
    void (*hit)(Region&, NodeId);
    bool handed_over;
  };
  const Row rows[] = {
      {"a suspect may refute", [](Region& r, NodeId c) { r.SetState(c, MemberState::kSuspect); }, false},
      {"its agent is gone", [](Region& r, NodeId c) { r.SetState(c, MemberState::kAgentDown); }, true},
      {"silent for too long", [](Region& r, NodeId c) { r.SetState(c, MemberState::kUnreachable); }, true},
      {"dead", [](Region& r, NodeId c) { r.SetState(c, MemberState::kDead); }, true},
      {"said goodbye", [](Region& r, NodeId c) { r.SetState(c, MemberState::kLeft); }, true},
      {"drained", [](Region& r, NodeId c) { r.drained.insert(c); }, true},
      {"flapping", [](Region& r, NodeId c) { r.members[c].quarantined_until = r.now + 1h; }, true},
      {"barred",
       [](Region& r, NodeId c) { r.members[c].meta.Edit().labels["homeostat.controller"] = "never"; }, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    Region r(5);
    r.Settle();
    const NodeId controller = r.Controller();
    const NodeId standby = r.ViewOf(controller).standby;
    const Term term = r.ViewOf(controller).term;
    row.hit(r, controller);
    r.Round();
    r.Round();
    EXPECT_EQ(r.Controller(), row.handed_over ? standby : controller);
    EXPECT_EQ(r.ViewOf(standby).term, row.handed_over ? term + 1 : term);
    r.Settle();
  }
}

TEST(Leadership, AHealedPartitionKeepsTheGreatestTerm) {
  Region r(6);
  r.Settle();
  const NodeId old = r.Controller();
  for (const auto& [id, member] : r.members) {
    if (id != old && r.cut.size() < 3) r.cut.insert(id);
  }
  for (int i = 0; i < 5; ++i) r.Round();
  ASSERT_EQ(r.Claimants().size(), 2U) << "each side governs itself";
  r.cut.clear();
  r.Settle();
  EXPECT_NE(r.Controller(), old);
  EXPECT_EQ(r.members[r.Controller()].meta->roles.term, 2U);
  EXPECT_FALSE(r.said.at(old).own.controller);
}

TEST(Leadership, EqualTermsAreSettledByTheGreaterId) {
  Region r(3);
  r.Settle();
  const NodeId greatest = std::prev(r.members.end())->first;
  const NodeId controller = r.Controller();
  for (auto [id, member] : r.members) member.meta.Edit().roles = {};
  Leadership observer(r.tunables, Id(99), r.now - 100s);
  for (const NodeId id : {controller, greatest})
    r.members[id].meta.Edit().roles = {.controller = true, .term = 7};
  EXPECT_EQ(
      observer.Step(r.now, {.members = r.members, .drained = r.drained, .table_known = true}).view.controller,
      greatest);
}

TEST(Leadership, ABarredMemberNeitherControlsNorStandsBy) {
  Region r(3);
  for (int n : {1, 2}) r.members[Id(n)].meta.Edit().labels["homeostat.controller"] = "never";
  r.Settle();
  EXPECT_EQ(r.Controller(), Id(3));
  EXPECT_FALSE(r.ViewOf(Id(1)).standby);
  EXPECT_EQ(r.ViewOf(Id(1)).monitors.size(), 2U);
}

TEST(Leadership, WithEveryoneDrainedSomebodyStillControls) {
  Region r(3);
  r.Settle();
  const NodeId controller = r.Controller();
  for (const auto& [id, member] : r.members) r.drained.insert(id);
  r.Settle();
  EXPECT_EQ(r.Controller(), controller);
}

TEST(Leadership, AfterItsStartItWaitsBeforeClaiming) {
  Region r(1);
  r.table_known = false;
  const Time start = r.now;
  Leadership node(r.tunables, Id(1), start);
  EXPECT_EQ(node.NextDeadline(), start + 2s) << "it is a newcomer until then";
  EXPECT_FALSE(node.Step(start + 2s, {.members = r.members, .drained = r.drained}).own.controller);
  EXPECT_EQ(node.NextDeadline(), start + r.tunables.start_patience);
  EXPECT_TRUE(node.Step(start + r.tunables.start_patience, {.members = r.members, .drained = r.drained})
                  .own.controller);
  EXPECT_EQ(node.NextDeadline(), kNever);
  Leadership knowing(r.tunables, Id(1), start);
  EXPECT_TRUE(
      knowing.Step(start, {.members = r.members, .drained = r.drained, .table_known = true}).own.controller);
}

TEST(Leadership, ANewTermIsAboveEveryTermEverSeen) {
  Region r(2);
  r.members[Id(2)].state = MemberState::kDead;
  r.members[Id(2)].meta.Edit().roles = {.controller = true, .term = 41};
  Leadership node(r.tunables, Id(1), r.now);
  EXPECT_EQ(node.Step(r.now, {.members = r.members, .drained = r.drained, .table_known = true}).own.term,
            42U);
}

TEST(Leadership, TheFirstChoiceDependsOnTheRegionsMembersNotOnTheSmallestId) {
  std::set<int> chosen;
  for (int first = 1; first < 20; ++first) {
    Region r(0);
    for (int n = first; n < first + 5; ++n) r.Add(n % 120 + 1);
    r.Settle();
    int place = 0;
    for (const auto& [id, member] : r.members) {
      if (id == r.Controller()) chosen.insert(place);
      ++place;
    }
  }
  EXPECT_GE(chosen.size(), 3U);
}

TEST(Leadership, OlderMembersArePreferredForANewClaim) {
  for (int old = 1; old <= 4; ++old) {
    Region r(4);
    r.now += 60s;
    for (int n = 1; n <= 4; ++n) {
      if (n != old) r.members[Id(n)].alive_since = r.now;
    }
    r.Round();
    EXPECT_EQ(r.Controller(), Id(old)) << "the only one that is not young";
  }
}

const RoleChange* ChangeOf(const LeadershipOutcome& outcome, Role role) {
  const auto it = std::find_if(outcome.changes.begin(), outcome.changes.end(),
                               [&](const RoleChange& change) { return change.role == role; });
  return it == outcome.changes.end() ? nullptr : &*it;
}

TEST(Leadership, ItSaysWhyControlChanged) {
  Region r(4);
  r.Settle();
  const NodeId old = r.Controller(), next = r.ViewOf(old).standby;
  for (auto [id, member] : r.members) {
    if (id != old && id != next) member.meta.Edit().labels["homeostat.controller"] = "never";
    if (id != old && id != next) break;
  }
  r.SetState(old, MemberState::kAgentDown);
  r.Round();
  const RoleChange* change = ChangeOf(r.said.at(next), Role::kController);
  ASSERT_NE(change, nullptr);
  EXPECT_TRUE(change->taken);
  EXPECT_THAT(change->cause, ::testing::HasSubstr("took control of region 0 with term 2"));
  EXPECT_THAT(change->cause, ::testing::HasSubstr("was standing by"));
  EXPECT_THAT(change->cause, ::testing::HasSubstr("which had it, is agent-down"));
  EXPECT_THAT(change->cause, ::testing::HasSubstr("(barred by its labels)"));
  ASSERT_NE(ChangeOf(r.said.at(next), Role::kStandby), nullptr);
  EXPECT_FALSE(ChangeOf(r.said.at(next), Role::kStandby)->taken);
}

// Claims become visible one round later, so somebody controls all the time.
TEST(Leadership, AnOverloadedControllerControlsUntilItsSuccessorDoes) {
  for (const bool by_drain : {false, true}) {
    SCOPED_TRACE(by_drain);
    Region r(5);
    r.Settle();
    const NodeId old = r.Controller(), next = r.ViewOf(old).standby;
    (by_drain ? r.drained : r.strained).insert(old);
    for (int round = 0; round < 4; ++round) {
      r.Round();
      EXPECT_FALSE(r.Claimants().empty()) << round;
      for (const auto& [id, outcome] : r.said) EXPECT_TRUE(outcome.view.controller) << round;
    }
    EXPECT_EQ(r.Controller(), next);
    EXPECT_FALSE(r.said.at(old).own.standby || r.said.at(old).own.monitor);
    r.Settle();
    (by_drain ? r.drained : r.strained).clear();
    r.Settle();
    EXPECT_EQ(r.Controller(), next) << "relieved, it does not ask for control back";
  }
}

TEST(Leadership, AControllerWhoseDiskTakesNoWritesHandsOverAndSaysSo) {
  struct Row {
    DiskFault fault;
    const char* words;
  };
  for (const Row& row :
       {Row{DiskFault::kFull, "out of disk space"}, Row{DiskFault::kReadOnly, "on a read-only disk"},
        Row{DiskFault::kFailing, "on a failing disk"}}) {
    Region r(5);
    r.Settle();
    const NodeId old = r.Controller(), next = r.ViewOf(old).standby;
    r.disks[old] = row.fault;
    std::string given, taken;
    for (int round = 0; round < 4; ++round) {
      r.Round();
      EXPECT_FALSE(r.Claimants().empty()) << round;
      for (const RoleChange& change : r.said.at(old).changes)
        if (change.role == Role::kController) given = change.cause;
      for (const RoleChange& change : r.said.at(next).changes)
        if (change.role == Role::kController) taken = change.cause;
    }
    EXPECT_EQ(r.Controller(), next);
    EXPECT_FALSE(r.said.at(old).own.standby || r.said.at(old).own.monitor);
    EXPECT_TRUE(r.said.at(old).own.worker) << "what runs there stays";
    EXPECT_NE(given.find(std::string("this node is ") + row.words), std::string::npos) << given;
    EXPECT_NE(taken.find(std::string("which had it, is ") + row.words), std::string::npos) << taken;
    r.disks.clear();
    r.Settle();
    EXPECT_EQ(r.Controller(), next) << "with room again, it does not ask for control back";
  }
}

TEST(Leadership, WhoIsLeftAloneWithAFullDiskControls) {
  Region r(3);
  r.Settle();
  for (const auto& [id, member] : r.members) r.disks[id] = DiskFault::kFull;
  const NodeId controller = r.Controller();
  for (int round = 0; round < 10; ++round) r.Round();
  EXPECT_EQ(r.Controller(), controller) << "there is nobody better";
  r.SetState(controller, MemberState::kDead);
  r.Settle();
  EXPECT_TRUE(r.Controller());
  EXPECT_NE(r.Controller(), controller);
}

TEST(Leadership, OfAnOverloadedNodeAndOneWithAFullDiskTheOverloadedOneControls) {
  Region r(2);
  r.Settle();
  const NodeId full = r.Controller();
  for (const auto& [id, member] : r.members)
    if (id != full) r.strained.insert(id);
  r.disks[full] = DiskFault::kFull;
  for (int round = 0; round < 10; ++round) r.Round();
  EXPECT_NE(r.Controller(), full);
}

TEST(Leadership, OfOverloadedNodesOnlyOneHasToControl) {
  Region r(4);
  r.Settle();
  const NodeId controller = r.Controller();
  for (const auto& [id, member] : r.members) r.strained.insert(id);
  for (int round = 0; round < 10; ++round) r.Round();
  EXPECT_EQ(r.Controller(), controller) << "there is nobody better";
}

TEST(Leadership, ANewControllerIsSoughtAmongMonitorsFirst) {
  for (int size : {40, 60}) {
    Region r(size);
    r.Settle();
    const RegionView view = r.ViewOf(r.Controller());
    r.SetState(view.controller, MemberState::kDead);
    r.SetState(view.standby, MemberState::kDead);
    r.Settle();
    const auto was_monitor = [&](NodeId id) {
      return std::any_of(view.monitors.begin(), view.monitors.end(),
                         [&](const MonitorView& monitor) { return monitor.monitor == id; });
    };
    EXPECT_TRUE(was_monitor(r.Controller()));
  }
}

// All that a newcomer sees was first seen when it came.
TEST(Leadership, ANewcomerLeavesAMonitorsPlaceToThoseWhoWereThereBefore) {
  Region r(40);
  for (auto [id, member] : r.members) member.alive_since = r.now;
  int takers = 0;
  for (int n = 1; n <= 40; ++n) {
    Leadership newcomer(r.tunables, Id(n), r.now);
    const LeadershipInput input{.members = r.members, .drained = r.drained, .table_known = true};
    const RoleClaim early = newcomer.Step(r.now + 1s, input).own;
    EXPECT_TRUE(!early.monitor || early.controller || early.standby);
    takers += newcomer.Step(r.now + 10s, input).own.monitor ? 1 : 0;
  }
  EXPECT_GE(takers, 3) << "later, by the rule";
}

TEST(Leadership, NodesThatStartTogetherAgreeSoonWhoMonitors) {
  Region r(0);
  r.ahead = 5ms;
  for (int n = 1; n <= 40; ++n) r.Add(n);
  const auto claims = [&] {
    return std::ranges::count_if(r.members, [](const auto& of) { return of.second.meta->roles.monitor; });
  };
  for (int second = 0; second < 15; ++second) {
    r.Round();
    EXPECT_LE(claims(), 3) << second;
    if (second < 3) continue;
    EXPECT_EQ(claims(), 3) << second;
    for (const auto& [id, outcome] : r.said) EXPECT_EQ(outcome.view.monitors, r.ViewOf(Id(1)).monitors);
  }
}

TEST(Leadership, ANodeIsAWorkerUntilWhatItHoldsIsPutDown) {
  Region r(3);
  r.Settle();
  r.drained = {Id(1)};
  r.members[Id(2)].meta.Edit().labels["homeostat.worker"] = "never";
  r.holding = {Id(1)};
  r.Settle();
  EXPECT_TRUE(r.said.at(Id(1)).own.worker) << "a replica drains there";
  EXPECT_FALSE(r.said.at(Id(2)).own.worker);
  EXPECT_TRUE(r.said.at(Id(3)).own.worker);
  r.holding.clear();
  r.Round();
  EXPECT_FALSE(r.said.at(Id(1)).own.worker);
  EXPECT_THAT(ChangeOf(r.said.at(Id(1)), Role::kWorker)->cause, ::testing::HasSubstr("drained"));
}

TEST(Leadership, BarredFromARoleAndFromNoOther) {
  for (const Role role : {Role::kMonitor, Role::kStandby, Role::kController}) {
    SCOPED_TRACE(ToString(role));
    Region r(4);
    for (int n : {1, 2, 3})
      r.members[Id(n)].meta.Edit().labels[std::string("homeostat.") + ToString(role)] = "never";
    r.Settle();
    int elsewhere = 0;
    for (const auto& [id, outcome] : r.said) {
      EXPECT_FALSE(id != Id(4) && outcome.own.*RowOf(role).claim);
      for (const RoleRow& row : RoleTable()) elsewhere += id != Id(4) && outcome.own.*row.claim ? 1 : 0;
    }
    EXPECT_GT(elsewhere, 3) << "not workers alone";
  }
}

TEST(Leadership, EveryRoleKeepsItsQuotaAtEverySizeAndMeetsItsDemand) {
  Region r(0);
  for (int size = 1; size <= 64; ++size) {
    r.Add(size);
    r.Settle();
    for (const Role role : {Role::kMonitor, Role::kStandby, Role::kController}) {
      std::size_t have = 0;
      for (const auto& [id, outcome] : r.said) have += outcome.own.*RowOf(role).claim ? 1 : 0;
      EXPECT_GE(have, RowOf(role).demand(size)) << ToString(role) << " at " << size;
      EXPECT_LE(have, RowOf(role).quota(size)) << ToString(role) << " at " << size;
    }
  }
}

TEST(Leadership, OpinionsAboutQuarantineDoNotMakeTwoControllers) {
  Region region(3);
  region.Settle();
  const NodeId controller = region.Controller();
  for (auto& [id, node] : region.nodes) {
    if (id != controller) region.distrust[id] = controller;
  }
  region.Settle();
  EXPECT_EQ(region.Controller(), controller);
}

TEST(Leadership, ADrainedNodeDoesNotClaimBecauseAllOthersAreInQuarantine) {
  Region region(3);
  region.Settle();
  region.drained = {region.Controller()};
  for (auto [id, member] : region.members) member.quarantined_until = region.now + 1h;
  region.Settle();
  EXPECT_FALSE(region.drained.contains(region.Controller()));
}

}  // namespace
}  // namespace hs
