#include "core/placement/reconcile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

TEST(Reconcile, StartsWhatIsWantedSpreadOverTheBoxesAndThenDoesNothing) {
  World w(3);
  w.Want(w.Spec("web", "1"), 6);
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 6);
  w.Settle();
  for (int n = 1; n <= 3; ++n) EXPECT_EQ(w.On(n), 2);
  EXPECT_EQ(w.Healthy("web"), 6);
  EXPECT_TRUE(w.update.report.pending.empty()) << w.update.report.pending.front();
  const auto slices = w.book.slices();
  for (int i = 0; i < 5; ++i) w.Round();
  EXPECT_EQ(w.book.slices(), slices);
  EXPECT_TRUE(w.update.decisions.empty());
}

TEST(Reconcile, SpreadsOverZonesBeforeBoxes) {
  World w(3);
  for (int n : {1, 2}) w.members[Box(n)].meta.Edit().labels["zone"] = "a";
  w.members[Box(3)].meta.Edit().labels["zone"] = "b";
  w.Want(w.Spec("web", "1"), 4);
  w.Settle();
  EXPECT_EQ(w.On(3), 2) << "zone b has one box and gets half";
}

TEST(Reconcile, ReplacesAtOnceOnlyWhatIsLost) {
  struct Row {
    const char* why;
    MemberState state;
    WorkVerdict verdict;
    Duration after;
    bool replaced;
  };
  const Row rows[] = {
      {"suspicion proves nothing", MemberState::kSuspect, WorkVerdict::kUnknown, 0s, false},
      {"agent down, nobody knows more", MemberState::kAgentDown, WorkVerdict::kUnknown, 0s, false},
      {"agent down, the replica answers", MemberState::kAgentDown, WorkVerdict::kAnswering, 0s, false},
      {"agent down, the replica answers, just before patience ends", MemberState::kAgentDown,
       WorkVerdict::kAnswering, 9s, false},
      {"agent down, the replica refuses", MemberState::kAgentDown, WorkVerdict::kRefused, 0s, true},
      {"agent down, the whole box silent", MemberState::kAgentDown, WorkVerdict::kSilent, 0s, true},
      {"agent down for long", MemberState::kAgentDown, WorkVerdict::kAnswering, 10s, true},
      {"silent", MemberState::kUnreachable, WorkVerdict::kUnknown, 0s, true},
      {"dead", MemberState::kDead, WorkVerdict::kUnknown, 0s, true},
      {"left", MemberState::kLeft, WorkVerdict::kUnknown, 0s, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(3);
    w.Want(w.Spec("web", "1"), 3);
    w.Settle();
    w.SetState(2, row.state);
    for (const auto& status : w.reports[Box(2)].replicas) w.evidence[status.id] = row.verdict;
    w.now += row.after;
    w.Plan();
    EXPECT_EQ(w.Decided("plan.start"), row.replaced ? 1 : 0);
    EXPECT_EQ(w.Decided("plan.stop"), 0);
    w.Settle();
    if (row.replaced) {
      EXPECT_EQ(w.Healthy("web"), 3);
    }
  }
}

TEST(Reconcile, AfterItsOwnStartItWaitsForMembersItHasNotSeen) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.started_at = w.now;
  w.SetState(2, MemberState::kUnreachable);
  w.members[Box(2)].seen_this_run = false;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 0);
  w.now += w.tunables.start_patience;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 1);
}

TEST(Reconcile, AfterItsOwnStartItWaitsForReportsOfPresentBoxes) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.started_at = w.now;
  w.reports.erase(Box(2));
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 0);
  EXPECT_THAT(w.draft.pending.front(), HasSubstr("n2 has not reported yet"));
  w.now += w.tunables.start_patience;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 2);
}

TEST(Reconcile, AfterItsOwnStartItWaitsForBoxesThatItsDiskRemembers) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.started_at = w.now;
  w.unmet = {"n3"};
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 0);
  EXPECT_THAT(w.draft.pending.front(), HasSubstr("n3 has not been met yet"));
  w.now += w.tunables.start_patience;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 2);
}

TEST(Reconcile, ABoxThatReturnsWithItsWorkBringsSurplusThatStopsWithAKeeper) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.SetState(2, MemberState::kUnreachable);
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 3);
  w.healthy_min = 100;
  w.SetState(2, MemberState::kAlive);
  w.Plan();
  ASSERT_EQ(w.Decided("plan.stop"), 1);
  for (const auto& [node, slice] : w.book.slices()) {
    for (const Assignment& a : slice.assignments) {
      if (!a.stop_keeper) continue;
      EXPECT_NE(a.stop_keeper, a.replica);
      EXPECT_TRUE(w.HealthyAnywhere(a.stop_keeper));
    }
  }
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 3);
  EXPECT_GE(w.healthy_min, 3);
  for (int n = 1; n <= 3; ++n) EXPECT_EQ(w.On(n), 1) << "the crowded box gives up its second one";
}

TEST(Reconcile, ReplicasNobodyPlannedAreAdopted) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  const auto before = w.Where();
  w.book = PlanBook{Box(2)};  // another controller that knows only reports
  w.Settle();
  EXPECT_EQ(w.Where(), before);
}

TEST(Reconcile, RedeployGoesOneByOneAndNeverBelowTheWantedCount) {
  World w(3);
  w.Want(w.Spec("web", "1"), 4);
  w.Settle();
  w.healthy_min = 100;
  w.Want(w.Spec("web", "2"), 4);
  const SpecHash fresh = HashOf(w.Spec("web", "2"));
  int most = 0;
  for (int i = 0; i < 60; ++i) {
    w.Round();
    EXPECT_LE(w.Decided("plan.start"), 1);
    EXPECT_LE(w.Decided("plan.stop"), 1);
    most = std::max<int>(most, w.Where().size());
  }
  EXPECT_EQ(w.Healthy("web", fresh), 4);
  EXPECT_EQ(w.Healthy("web"), 4);
  EXPECT_EQ(w.healthy_min, 4);
  EXPECT_EQ(most, 5);
  w.Settle();
}

TEST(Reconcile, RedeployStopsAtTheFirstFailureAndANewerRevisionStartsOver) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.healthy_min = 100;
  w.broken.insert(HashOf(w.Spec("web", "2")));
  w.Want(w.Spec("web", "2"), 3);
  int told = 0;
  for (int i = 0; i < 90; ++i) {
    w.Round();
    told += w.Decided("rollout.stopped");
  }
  EXPECT_EQ(told, 1);
  EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "1"))), 3);
  EXPECT_EQ(w.Where().size(), 4U) << "the failed one stays visible";
  ASSERT_EQ(w.update.report.shortages.size(), 1U);
  EXPECT_THAT(w.update.report.shortages[0].reason, HasSubstr("the redeploy stopped: new replica web-"));
  EXPECT_TRUE(w.update.report.pending.empty()) << w.update.report.pending.front();

  // A lost replica of the old version is replaced by the old version.
  w.SetState(1, MemberState::kDead);
  w.Settle();
  EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "1"))), 3);

  w.Want(w.Spec("web", "3"), 3);
  w.Settle();
  EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "3"))), 3);
  EXPECT_EQ(w.Where().size(), 3U);
}

TEST(Reconcile, RedeployStopsEarlyWhenTheNewOneKeepsRestarting) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  const SpecHash fresh = HashOf(w.Spec("web", "2"));
  w.broken.insert(fresh);
  w.Want(w.Spec("web", "2"), 2);
  w.Round();
  for (auto& [node, report] : w.reports) {
    for (auto& status : report.replicas) {
      if (status.spec == fresh) status.restarts = 3;
    }
  }
  w.Round();
  EXPECT_EQ(w.Decided("rollout.stopped"), 1);
}

// Replicas of a version that ended by themselves so often.
void SetRestarts(World& w, SpecHash version, std::uint32_t restarts) {
  for (auto& [node, report] : w.reports) {
    for (auto& status : report.replicas) {
      if (status.spec == version) status.restarts = restarts;
    }
  }
}

TEST(Reconcile, WhenABoxIsLostAReplicaThatNeverGotHealthyStandsInForNobody) {
  World w(4);
  const SpecHash old = HashOf(w.Spec("web", "1")), bad = HashOf(w.Spec("web", "2"));
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.broken.insert(bad);
  w.Want(w.Spec("web", "2"), 3);
  w.Round();
  w.Round();
  SetRestarts(w, bad, 3);
  w.Settle();
  for (int n = 1; n <= 4; ++n) {
    if (w.reports[Box(n)].replicas.empty() || w.reports[Box(n)].replicas[0].spec == bad) continue;
    w.SetState(n, MemberState::kUnreachable);
    break;
  }
  ASSERT_EQ(w.Healthy("web", old), 2);
  w.Settle();
  EXPECT_EQ(w.Healthy("web", old), 3);
}

TEST(Reconcile, WhereAllThatRanIsLostInAFailedRedeployTheVersionThatRanComesBack) {
  for (const bool with_the_failed_one : {false, true}) {
    World w(4);
    const SpecHash old = HashOf(w.Spec("web", "1")), bad = HashOf(w.Spec("web", "2"));
    w.Want(w.Spec("web", "1"), 1);
    w.Settle();
    w.broken.insert(bad);
    w.Want(w.Spec("web", "2"), 1);
    w.Round();
    w.Round();
    SetRestarts(w, bad, 3);
    w.Settle();
    ASSERT_EQ(w.Where().size(), 2U);
    for (int n = 1; n <= 4; ++n) {
      for (const auto& status : std::vector(w.reports[Box(n)].replicas)) {
        if (status.spec == old || with_the_failed_one) w.SetState(n, MemberState::kUnreachable);
      }
    }
    ASSERT_EQ(w.Healthy("web", old), 0);
    w.Settle();
    EXPECT_EQ(w.Healthy("web", old), 1) << with_the_failed_one;
  }
}

TEST(Reconcile, WhatABoxWasToStartWhenItsAgentWentIsStartedElsewhereAtOnce) {
  World w(3);
  w.Want(w.Spec("web", "1"), 1);
  w.boxes_act = false;
  w.Round();
  int chosen = 0;
  for (int n = 1; n <= 3; ++n) chosen = w.draft.nodes[Box(n)].empty() ? chosen : n;
  ASSERT_NE(chosen, 0);
  w.boxes_act = true;
  w.SetState(chosen, MemberState::kAgentDown);
  w.Round();
  w.Round();
  w.Round();
  EXPECT_EQ(w.Healthy("web"), 1);
}

TEST(Reconcile, WhatABoxThatIsAwayRanLongAgoDoesNotComeBack) {
  World w(4);
  w.Want(w.Spec("web", "1"), 4);
  w.Settle();
  w.SetState(1, MemberState::kUnreachable);
  w.Want(w.Spec("web", "2"), 4);
  w.Settle();
  ASSERT_EQ(w.Healthy("web", HashOf(w.Spec("web", "2"))), 4);
  w.SetState(2, MemberState::kDead);
  w.SetState(3, MemberState::kDead);
  w.reports[Box(2)] = w.reports[Box(3)] = {};
  for (int i = 0; i < 5; ++i) {
    w.Round();
    EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "1"))), 0);
  }
  EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "2"))), 4);
}

TEST(Reconcile, ADrainedBoxIsEmptiedStartFirst) {
  World w(3);
  w.Want(w.Spec("web", "1"), 6);
  w.Settle();
  w.healthy_min = 100;
  w.drained.insert(Box(2));
  w.Settle();
  EXPECT_EQ(w.On(2), 0);
  EXPECT_EQ(w.Healthy("web"), 6);
  EXPECT_EQ(w.healthy_min, 6);
}

TEST(Reconcile, ADrainDoesNotStopTheOnlyHealthyReplica) {
  World w(2);
  w.Want(w.Spec("web", "1"), 1);
  w.Settle();
  w.drained.insert(w.Where().begin()->second);
  w.Plan();
  ASSERT_EQ(w.draft.nodes.size(), 2U);
  for (const auto& [node, assignments] : w.draft.nodes) {
    for (const auto& a : assignments) w.broken_ones.insert(a.replica);
  }
  for (int i = 0; i < 90; ++i) w.Round();
  EXPECT_EQ(w.Healthy("web"), 1);
}

TEST(Reconcile, ScalingDownStopsAilingOnesFirstThenTheMostCrowdedBox) {
  World w(2);
  w.Want(w.Spec("web", "1"), 5);
  w.Settle();
  auto& small = w.On(1) < w.On(2) ? w.reports[Box(1)] : w.reports[Box(2)];
  small.replicas[0].health = Health::kUnhealthy;
  w.broken_ones.insert(small.replicas[0].id);
  const ReplicaId ailing = small.replicas[0].id;
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  EXPECT_FALSE(w.Where().contains(ailing));
  EXPECT_EQ(w.Healthy("web"), 3);
  EXPECT_GE(w.On(1), 1);
  EXPECT_GE(w.On(2), 1);
}

TEST(Reconcile, ScaledToNothingOrRemovedItStopsWithoutAKeeper) {
  for (const bool removed : {false, true}) {
    World w(2);
    w.Want(w.Spec("web", "1"), 3);
    w.Settle();
    if (removed) {
      w.services.clear();
    } else {
      w.Want(w.Spec("web", "1"), 0);
    }
    w.Settle();
    EXPECT_TRUE(w.Where().empty());
    for (const auto& [node, slice] : w.book.slices()) EXPECT_TRUE(slice.assignments.empty());
    EXPECT_TRUE(w.update.report.pending.empty());
  }
}

TEST(Reconcile, WithoutAllDocumentsNothingStops) {
  World w(2);
  w.Want(w.Spec("web", "1"), 3);
  w.Want(w.Spec("api", "1"), 2);
  w.Settle();
  const auto before = w.Where();
  w.intent_known = false;
  w.Want(w.Spec("web", "0"), 1);
  std::erase_if(w.services, [](const auto& s) { return s.spec.name == "api"; });
  w.Settle();
  EXPECT_EQ(w.Where(), before);
}

TEST(Reconcile, AStopIsTakenBackWhenTheReplicaIsNeededAgain) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.Want(w.Spec("web", "1"), 2);
  w.Plan();
  ASSERT_EQ(w.Decided("plan.stop"), 1);
  w.Want(w.Spec("web", "1"), 3);
  w.Plan();
  EXPECT_EQ(w.Decided("plan.keep"), 1);
  EXPECT_EQ(w.Decided("plan.start"), 0);
}

TEST(Reconcile, WhatDoesNotFitIsShortWithTheNumbers) {
  struct Row {
    const char* why;
    void (*change)(World&, ServiceSpec&);
    std::uint32_t missing;
    const char* words;
  };
  const Row rows[] = {
      {"two of 5 GiB do not share 8 GiB",
       [](World&, ServiceSpec& s) { s.reserve.memory_bytes = std::uint64_t{5} << 30; }, 1,
       "lack memory (needs 5120 MiB, most free 3072 MiB)"},
      {"CPU likewise", [](World&, ServiceSpec& s) { s.reserve.cpu_millicores = 3000; }, 1,
       "lack CPU (needs 3000 millicores, most free 1000)"},
      {"no box has the label",
       [](World&, ServiceSpec& s) {
         s.constraints = {{"node.labels.ssd", "yes", true}};
       },
       3, "2 do not meet the placement constraints"},
      {"a name that nobody has",
       [](World&, ServiceSpec& s) {
         s.constraints = {{"node.hostname", "n9", true}};
       },
       3, "2 do not meet"},
      {"a form nobody knows never matches",
       [](World&, ServiceSpec& s) {
         s.constraints = {{"engine.x", "", true}};
       },
       3, "2 do not meet"},
      {"all drained",
       [](World& w, ServiceSpec&) {
         w.drained = {Box(1), Box(2)};
       },
       3, "2 drained"},
      {"all in quarantine",
       [](World& w, ServiceSpec&) {
         for (auto [id, m] : w.members) m.quarantined_until = w.now + 500s;
       },
       3, "2 in quarantine"},
      {"all suspect",
       [](World& w, ServiceSpec&) {
         w.SetState(1, MemberState::kSuspect), w.SetState(2, MemberState::kSuspect);
       },
       3, "2 not alive"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(2);
    ServiceSpec spec = w.Spec("web", "1");
    row.change(w, spec);
    w.Want(spec, 3);
    w.Settle();
    ASSERT_EQ(w.update.report.shortages.size(), 1U);
    EXPECT_EQ(w.update.report.shortages[0].missing, row.missing);
    EXPECT_THAT(w.update.report.shortages[0].reason, HasSubstr(row.words));
    EXPECT_TRUE(w.update.report.pending.empty()) << "short is steady";
  }
}

TEST(Reconcile, ConstraintsChooseTheBox) {
  World w(3);
  w.members[Box(2)].meta.Edit().labels["ssd"] = "yes";
  ServiceSpec only = w.Spec("db", "1"), never = w.Spec("web", "1");
  only.constraints = {{"node.labels.ssd", "yes", true}};
  never.constraints = {{"node.labels.ssd", "yes", false}, {"node.id", Box(1).Hex(), false}};
  w.Want(only, 2);
  w.Want(never, 2);
  w.Settle();
  EXPECT_EQ(w.On(2, "db"), 2);
  EXPECT_EQ(w.On(3, "web"), 2);
}

TEST(Reconcile, AReportOfAnEarlierLifeDoesNotCount) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  w.SetState(2, MemberState::kUnreachable);
  w.Settle();
  // The box was rebooted: its old report must not make the replacement look like surplus.
  w.SetState(2, MemberState::kAlive);
  std::map<NodeId, ObservedReport> seen;
  for (const auto& [node, report] : w.reports) seen[node] = {&report, w.members[node].incarnation.boot};
  w.members[Box(2)].incarnation.boot = 9;
  const KnownSlices known = w.book.Known({});
  const PlanDraft draft =
      Reconcile({w.now, w.started_at, w.tunables, w.members, w.drained, w.services, w.specs, seen, known,
                 w.evidence, w.watch.since(), w.moves, w.standing, true},
                w.prng);
  for (const auto& [node, assignments] : draft.nodes) {
    for (const auto& a : assignments) EXPECT_FALSE(a.stop_keeper) << a.cause;
  }
}

TEST(Reconcile, TheLastOfARegionStaysUntilAnotherRegionHasAHealthyOne) {
  World w(2);
  const ServiceSpec web = w.Spec("web", "1");
  w.Want(web, 1);
  w.Settle();
  w.Want(web, 0);
  std::map<NodeId, ObservedReport> seen;
  for (const auto& [node, report] : w.reports) seen[node] = {&report, w.members[node].incarnation.boot};
  const auto keepers_of_stops = [&](std::map<std::string, ReplicaId> elsewhere) {
    const KnownSlices known = w.book.Known({});
    const PlanDraft draft =
        Reconcile({w.now, w.started_at, w.tunables, w.members, w.drained, w.services, w.specs, seen, known,
                   w.evidence, w.watch.since(), w.moves, w.standing, true, std::move(elsewhere)},
                  w.prng);
    std::vector<ReplicaId> keepers;
    for (const auto& [node, assignments] : draft.nodes) {
      for (const auto& a : assignments) {
        if (a.stop_keeper) keepers.push_back(a.stop_keeper);
      }
    }
    return keepers;
  };
  EXPECT_EQ(keepers_of_stops({{"web", ReplicaId{}}}).size(), 0u) << "wanted elsewhere, and not healthy there";
  EXPECT_EQ(keepers_of_stops({{"web", ReplicaId{77}}}), std::vector<ReplicaId>{ReplicaId{77}});
  EXPECT_EQ(keepers_of_stops({}).size(), 1u) << "wanted nowhere";
}

// Whatever happens to the boxes, once it stops happening the cluster reaches its counts and then rests.
TEST(Reconcile, FromAnyHistoryItReachesTheSameCountsAndRests) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng chaos(seed);
    World w(5);
    w.prng = Prng(seed * 31);
    const char* names[] = {"web", "api"};
    for (int i = 0; i < 40; ++i) {
      const int n = 1 + static_cast<int>(chaos.Below(5));
      switch (chaos.Below(8)) {
        case 0:
          w.SetState(n, MemberState::kUnreachable);
          break;
        case 1:
          w.SetState(n, MemberState::kAlive);
          break;
        case 2:
          w.SetState(n, MemberState::kAgentDown);
          break;
        case 3:
          w.drained.contains(Box(n)) ? w.drained.erase(Box(n)), 0 : (w.drained.insert(Box(n)), 0);
          break;
        case 4:
          w.Want(w.Spec(names[chaos.Below(2)], std::to_string(chaos.Below(3))), chaos.Below(6));
          break;
        case 5:
          w.book = PlanBook{Box(1 + static_cast<int>(chaos.Below(5)))};
          break;
        default:
          break;
      }
      w.Round();
    }
    for (int n = 1; n <= 5; ++n) w.SetState(n, MemberState::kAlive);
    w.drained.clear();
    w.Want(w.Spec("web", "9"), 4);
    w.Want(w.Spec("api", "9"), 3);
    w.Settle(300);
    EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "9"))), 4);
    EXPECT_EQ(w.Healthy("api", HashOf(w.Spec("api", "9"))), 3);
    EXPECT_EQ(w.Where().size(), 7U);
    EXPECT_TRUE(w.update.report.pending.empty()) << w.update.report.pending.front();
  }
}

TEST(Reconcile, OneIdOnTwoBoxesIsNotItsOwnKeeper) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  // A copied data directory: the second box runs the first one's replica, and not its own.
  w.reports[Box(2)].replicas = w.reports[Box(1)].replicas;
  w.book = PlanBook{Box(1)};
  for (int i = 0; i < 30; ++i) {
    w.Round();
    for (const auto& [node, slice] : w.book.slices()) {
      for (const Assignment& a : slice.assignments) EXPECT_NE(a.stop_keeper, a.replica);
    }
  }
  EXPECT_EQ(w.Healthy("web"), 2);
}

}  // namespace
}  // namespace hs
