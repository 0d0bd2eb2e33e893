// A box whose disk takes no writes: no new work, and what cannot run there runs elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

void Fill(World& w, int n) {
  w.full_boxes.insert(Box(n));
  w.members[Box(n)].meta.Edit().roles.disk = DiskFault::kFull;
}

TEST(BadDisk, WhatRunsThereStaysAndNothingNewComes) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  const auto before = w.Where();
  w.members[Box(2)].meta.Edit().roles.disk = DiskFault::kFull;
  w.Settle();
  EXPECT_EQ(w.Where(), before);
  w.Want(w.Spec("web", "1"), 7);
  w.Want(w.Spec("api", "1"), 4);
  w.Settle();
  EXPECT_EQ(w.On(2), 1);
  EXPECT_EQ(w.On(2, "api"), 0);
  EXPECT_EQ(w.Healthy("web"), 7);
  EXPECT_EQ(w.Healthy("api"), 4);
  w.members[Box(2)].meta.Edit().roles.disk = DiskFault::kNone;
  w.Settle(400);
  EXPECT_GE(w.On(2), 2) << "with room again it is used again";
}

TEST(BadDisk, WhatCannotStartThereIsReplacedElsewhereAndThenStopped) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.full_boxes.insert(Box(2));
  w.Want(w.Spec("api", "1"), 3);
  w.Round();  // before anybody knows
  ASSERT_EQ(w.On(2, "api"), 1);
  w.members[Box(2)].meta.Edit().roles.disk = DiskFault::kFull;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 1) << "in the very next plan";
  w.Settle();
  EXPECT_EQ(w.On(2, "api"), 0);
  EXPECT_EQ(w.Healthy("api"), 3);
  EXPECT_EQ(w.On(2), 1) << "that web runs well there has not changed";
}

TEST(BadDisk, AReplicaThatEndsThereIsReplacedElsewhere) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  Fill(w, 2);
  ReplicaStatus& status = w.reports[Box(2)].replicas.front();
  status.state = ReplicaState::kBackoff;
  status.health = Health::kUnknown;
  w.Settle();
  EXPECT_EQ(w.On(2), 0);
  EXPECT_EQ(w.Healthy("web"), 3);
}

TEST(BadDisk, ARedeployIsNotStoppedByWhatCannotStartThere) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.full_boxes.insert(Box(2));
  w.full_boxes.insert(Box(3));
  w.Want(w.Spec("web", "2"), 3);
  for (int round = 0; round < 100; ++round) {
    w.Round();
    EXPECT_TRUE(w.draft.stopped_rollouts.empty());
    for (const int n : {2, 3}) {
      for (ReplicaStatus& status : w.reports[Box(n)].replicas) {
        if (status.state != ReplicaState::kBackoff) continue;
        status.restarts = 5;
        w.members[Box(n)].meta.Edit().roles.disk = DiskFault::kFull;
      }
    }
  }
  w.Settle();
  EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "2"))), 3);
  EXPECT_EQ(w.On(1), 3);
}

TEST(BadDisk, TheOnlyBoxLeftDoesWhatItCan) {
  World w(2);
  Fill(w, 1);
  w.full_boxes.clear();
  w.SetState(2, MemberState::kDead);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 2);
  w.SetState(2, MemberState::kAlive);
  w.Want(w.Spec("api", "1"), 2);
  w.Settle();
  EXPECT_EQ(w.On(2, "api"), 2);
}

TEST(BadDisk, AFailedStartOnTheOnlyBoxLeftIsNotTriedAgainBesideItself) {
  World w(1);
  Fill(w, 1);
  w.Want(w.Spec("web", "1"), 2);
  for (int round = 0; round < 30; ++round) w.Round();
  EXPECT_EQ(w.On(1), 2);
}

TEST(BadDisk, AnotherBoxThatIsFullOfWorkIsNoReasonToStartThere) {
  World w(2);
  ServiceSpec spec = w.Spec("web", "1");
  spec.reserve.cpu_millicores = 3000;
  w.Want(spec, 1);
  w.Settle();
  const int taken = w.On(1) == 1 ? 1 : 2;
  Fill(w, 3 - taken);
  w.Want(spec, 2);
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 1);
  ASSERT_EQ(w.draft.shortages.size(), 1U);
  EXPECT_THAT(w.draft.shortages[0].reason, HasSubstr("1 have a disk that takes no writes"));
}

}  // namespace
}  // namespace hs
