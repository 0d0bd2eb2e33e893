// What is stopped and what is not: surplus, drains, scaling down, and the keeper that each stop names.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/placement/test_world.h"

namespace hs {
namespace {

TEST(Stop, ABoxThatReturnsWithItsWorkBringsSurplusThatStopsWithAKeeper) {
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

TEST(Stop, ANewControllerStopsNobodyForOneItHasNotHeard) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.SetState(2, MemberState::kUnreachable);
  w.Settle();
  ASSERT_EQ(w.Healthy("web"), 3);
  w.started_at = w.now;
  w.members[Box(2)].seen_this_run = false;
  w.Plan();
  for (int n : {1, 3}) {
    for (const Assignment& a : w.book.slices().at(Box(n)).assignments) EXPECT_FALSE(a.stop_keeper) << a.cause;
  }
  w.healthy_min = 100;
  w.SetState(2, MemberState::kAlive);
  w.members[Box(2)].seen_this_run = true;
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 3) << "once heard it counts";
  EXPECT_GE(w.healthy_min, 3);
}

TEST(Stop, AReportOfAnEarlierLifeDoesNotCount) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  w.SetState(2, MemberState::kUnreachable);
  w.Settle();
  // The box was rebooted: its old report must not make the replacement look like surplus.
  w.SetState(2, MemberState::kAlive);
  const NodeReports seen = w.Seen();
  w.members[Box(2)].incarnation.boot = 9;
  const KnownSlices known = w.book.Known({});
  const PlanDraft draft = Reconcile(w.InputOf(seen, known), w.prng);
  for (const auto& [node, assignments] : draft.nodes) {
    for (const auto& a : assignments) EXPECT_FALSE(a.stop_keeper) << a.cause;
  }
}

TEST(Stop, OneIdOnTwoBoxesIsNotItsOwnKeeper) {
  World w(2);
  const ServiceSpec web = w.Spec("web", "1");
  w.Want(web, 2);
  w.Settle();
  // A copied data directory: the second box runs the first one's replica, and not its own.
  w.reports[Box(2)].replicas = w.reports[Box(1)].replicas;
  w.book = PlanBook{Box(1)};
  for (int i = 0; i < 30; ++i) {
    if (i == 15) {
      EXPECT_EQ(w.Healthy("web"), 2);
      w.Want(web, 1);
    }
    w.Round();
    for (const auto& [node, slice] : w.book.slices()) {
      for (const Assignment& a : slice.assignments) EXPECT_NE(a.stop_keeper, a.replica);
    }
  }
  EXPECT_GE(w.Healthy("web"), 1);
}

TEST(Stop, OfTwinsOneIsLeftAlsoWhenAnotherVersionIsWanted) {
  for (const char* version : {"1", "2"}) {
    World w(2);
    w.Want(w.Spec("web", "1"), 2);
    w.Settle();
    w.reports[Box(2)].replicas = w.reports[Box(1)].replicas;
    w.book = PlanBook{Box(1)};
    w.Want(w.Spec("web", version), 1);
    for (int i = 0; i < 60; ++i) {
      w.Round();
      EXPECT_GE(w.Healthy("web"), 1) << i;
    }
    EXPECT_EQ(w.Healthy("web"), 1) << "version " << version;
    EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", version))), 1);
  }
}

TEST(Stop, TheLastOfARegionStaysUntilAnotherRegionHasAHealthyOne) {
  World w(2);
  const ServiceSpec web = w.Spec("web", "1");
  w.Want(web, 1);
  w.Settle();
  w.Want(web, 0);
  const NodeReports seen = w.Seen();
  const auto keepers_of_stops = [&](std::map<std::string, ReplicaId> elsewhere) {
    const KnownSlices known = w.book.Known({});
    const PlanDraft draft = Reconcile(w.InputOf(seen, known, std::move(elsewhere)), w.prng);
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

  // Told to go because another region had one, which then was lost.
  PlanSlice told = w.book.slices().begin()->second;
  for (const auto& [node, slice] : w.book.slices()) {
    if (!slice.assignments.empty()) told = slice;
  }
  ASSERT_EQ(told.assignments.size(), 1u);
  told.assignments[0].stop_keeper = ReplicaId{77};
  w.book = PlanBook{Box(1)};
  KnownSlices known;
  known[told.node] = &told;
  const auto draft = [&](std::map<std::string, ReplicaId> elsewhere) {
    return Reconcile(w.InputOf(seen, known, std::move(elsewhere)), w.prng);
  };
  EXPECT_EQ(draft({{"web", ReplicaId{78}}}).nodes[told.node].at(0).stop_keeper, ReplicaId{78});
  EXPECT_FALSE(draft({{"web", ReplicaId{}}}).nodes[told.node].at(0).stop_keeper) << "it is the last one now";
}

TEST(Stop, WhatGoesWithoutAnybodyInItsPlaceCountsAsStayingWhereNobodySaysHowManyAreWanted) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  const NodeReports seen = w.Seen();
  std::map<NodeId, PlanSlice> slices = w.book.slices();
  KnownSlices known;
  for (auto& [node, slice] : slices) known[node] = &slice;
  const auto staying = [&] { return CountStaying(w.InputOf(seen, known)).at("web"); };
  Assignment& one = slices.at(Box(1)).assignments.at(0);
  one.stop_keeper = one.replica;
  EXPECT_EQ(staying(), 2u) << "an order of which nobody knows what it was for";
  w.services.at(0).replicas = 0;
  EXPECT_EQ(staying(), 1u) << "it was for this";
  w.services.at(0).replicas = 2;
  one.stop_keeper = slices.at(Box(2)).assignments.at(0).replica;
  EXPECT_EQ(staying(), 1u) << "the other one stands in for it";
  one.stop_keeper = one.replica;
  w.reports[Box(1)].replicas.at(0).state = ReplicaState::kStopping;
  EXPECT_EQ(staying(), 1u) << "too late";
}

TEST(Stop, ADrainedBoxIsEmptiedStartFirst) {
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

TEST(Stop, ADrainDoesNotStopTheOnlyHealthyReplica) {
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

TEST(Stop, ScalingDownStopsAilingOnesFirstThenTheMostCrowdedBox) {
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

TEST(Stop, ScaledToNothingOrRemovedItStopsWithoutAKeeper) {
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

TEST(Stop, AStopIsTakenBackWhenTheReplicaIsNeededAgain) {
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

TEST(Stop, WithoutAllDocumentsNothingStops) {
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

}  // namespace
}  // namespace hs
