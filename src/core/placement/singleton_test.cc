// x-singleton: what a service of one replica does in each part of a cut cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

ServiceSpec Single(World& w, Singleton singleton) {
  ServiceSpec spec = w.Spec("web", "1");
  spec.singleton = singleton;
  return spec;
}

TEST(Singleton, PauseStopsItInTheSmallerPartSayingWhy) {
  World w(3);
  w.Want(Single(w, Singleton::kPause), 1);
  w.Settle();
  ASSERT_EQ(w.Healthy("web"), 1);
  w.standing = {2, 4};
  w.Plan();
  ASSERT_EQ(w.Decided("plan.pause"), 1);
  EXPECT_THAT(w.update.decisions.front().cause, HasSubstr("2 of 4 boxes are here, not more than half"));
  ASSERT_EQ(w.draft.shortages.size(), 1u);
  EXPECT_THAT(w.draft.shortages[0].reason, HasSubstr("homeostat nodes rm"));
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 0);
  EXPECT_TRUE(w.update.report.pending.empty()) << "paused is steady";
  w.standing = {3, 4};
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 1);
}

TEST(Singleton, RunBothRunsInEveryPart) {
  for (const Singleton singleton : {Singleton::kNone, Singleton::kRunBoth}) {
    World w(3);
    w.Want(Single(w, singleton), 1);
    w.standing = {1, 4};
    w.Settle();
    EXPECT_EQ(w.Healthy("web"), 1);
  }
}

TEST(Singleton, TheGreaterPartWaitsUntilTheOtherMustHaveStoppedIt) {
  struct Row {
    const char* why;
    MemberState state;
    bool waits;
  };
  const Row rows[] = {{"silent: it may run in the other part", MemberState::kUnreachable, true},
                      {"known dead: nobody has to stop it", MemberState::kDead, false},
                      {"left", MemberState::kLeft, false}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(3);
    w.Want(Single(w, Singleton::kPause), 1);
    w.Settle();
    const NodeId holder = w.Where().begin()->second;
    w.members[holder].state = row.state;
    w.members[holder].state_since = w.now;
    w.Plan();
    EXPECT_EQ(w.Decided("plan.start"), row.waits ? 0 : 1);
    if (row.waits) {
      EXPECT_THAT(w.draft.pending.front(), HasSubstr("which may be cut off and have to stop it"));
    }
    w.now += 10s + w.tunables.drain_wait + 10s;
    w.Settle();
    EXPECT_EQ(w.Healthy("web"), 1);
  }
}

TEST(Singleton, PauseWaitsToHearWhatThoseRunThatHaveJustCome) {
  World w(3);
  w.Want(Single(w, Singleton::kPause), 1);
  w.standing = {2, 3, w.now};
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 0);
  w.now += w.tunables.start_patience;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 1);
}

TEST(Singleton, PauseDoesNotDoubleWhatAnswersWithoutAnAgent) {
  World w(3);
  w.Want(Single(w, Singleton::kPause), 1);
  w.Settle();
  const auto [replica, holder] = *w.Where().begin();
  w.members[holder].state = MemberState::kAgentDown;
  w.members[holder].state_since = w.now;
  w.evidence[replica] = WorkVerdict::kAnswering;
  w.now += 1h;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 0);
  w.evidence[replica] = WorkVerdict::kRefused;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 1);
}

TEST(Singleton, AfterHealingTheSurplusStopsOnceTheKeeperIsHealthy) {
  World w(2);
  w.Want(Single(w, Singleton::kRunBoth), 1);
  w.Settle();
  // The other part ran one as well, and comes with it.
  ReplicaStatus other;
  other.id = ReplicaId{77};
  other.service = "web";
  other.spec = HashOf(Single(w, Singleton::kRunBoth));
  other.state = ReplicaState::kStarting;
  for (const int n : {1, 2}) {
    if (w.On(n) == 0) w.reports[Box(n)].replicas.push_back(other);
  }
  w.healthy_min = 1 << 20;
  w.Settle();
  EXPECT_EQ(w.Healthy("web"), 1);
  EXPECT_EQ(w.healthy_min, 1) << "never none";
}

}  // namespace
}  // namespace hs
