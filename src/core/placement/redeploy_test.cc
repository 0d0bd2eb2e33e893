// A new version takes the place of the old one: one by one, until one of it fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

TEST(Redeploy, GoesOneByOneAndNeverBelowTheWantedCount) {
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

TEST(Redeploy, StopsAtTheFirstFailureAndANewerRevisionStartsOver) {
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

// Replicas of a version that ended by themselves so often.
void SetRestarts(World& w, SpecHash version, std::uint32_t restarts) {
  for (auto& [node, report] : w.reports) {
    for (auto& status : report.replicas) {
      if (status.spec == version) status.restarts = restarts;
    }
  }
}

TEST(Redeploy, StopsEarlyWhenTheNewOneKeepsRestarting) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  const SpecHash fresh = HashOf(w.Spec("web", "2"));
  w.broken.insert(fresh);
  w.Want(w.Spec("web", "2"), 2);
  w.Round();
  SetRestarts(w, fresh, 3);
  w.Round();
  EXPECT_EQ(w.Decided("rollout.stopped"), 1);
}

TEST(Redeploy, WhenABoxIsLostAReplicaThatNeverGotHealthyStandsInForNobody) {
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

TEST(Redeploy, WhereAllThatRanIsLostInAFailedRedeployTheVersionThatRanComesBack) {
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

TEST(Redeploy, WhatABoxThatIsAwayRanLongAgoDoesNotComeBack) {
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

}  // namespace
}  // namespace hs
