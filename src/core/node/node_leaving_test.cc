// How a node leaves by itself, and what becomes of one that is removed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using NodeLeavingTest = NodeFixture;

TEST_F(NodeLeavingTest, ALeavingNodeGivesItsWorkAwayThenSaysGoodbyeAndEnds) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 10s));
  Hand(2, LeaveRequested{});
  bool short_of_work = false;
  ASSERT_TRUE(RunUntil(
      [&] {
        short_of_work = short_of_work || RunningInAll() < 3;
        return boxes_.at(2).gone;
      },
      60s));
  EXPECT_FALSE(short_of_work) << "its replica stopped before another ran";
  EXPECT_EQ(SaidBy<Gone>(2).front().second.error, "");
  ASSERT_TRUE(RunUntil([&] { return AllSteady(); }, 10s));
  EXPECT_EQ(RunningOn(0) + RunningOn(1), 3U);
  EXPECT_EQ(ViewOf(0).members.at(2).state, MemberState::kLeft);
  const Document* drain = node(0).FindDocument(DrainKey(IdOf(2)));
  EXPECT_TRUE(drain == nullptr || drain->IsTombstone()) << "when it comes back it gets work again";
}

TEST_F(NodeLeavingTest, ANodeAloneLeavesAtOnceByStoppingWhatItRuns) {
  GrowTo(1);
  Deploy(0, {Service("web", 2)});
  ASSERT_TRUE(RunUntil([&] { return RunningOn(0) == 2; }, 10s));
  Hand(0, LeaveRequested{});
  Run(30s);
  EXPECT_FALSE(boxes_.at(0).gone) << "nobody took its work";
  EXPECT_EQ(RunningOn(0), 2U);
  Hand(0, LeaveRequested{true});
  ASSERT_TRUE(RunUntil([&] { return boxes_.at(0).gone; }, 30s));
  EXPECT_EQ(RunningOn(0), 0U);
}

TEST_F(NodeLeavingTest, TakingTheDrainBackKeepsALeavingNodeHere) {
  GrowTo(1);
  Deploy(0, {Service("web", 1)});
  ASSERT_TRUE(RunUntil([&] { return RunningOn(0) == 1; }, 10s));
  Hand(0, LeaveRequested{});
  Run(2s);
  Hand(0, ClientWrite{RequestId{99}, {{DrainKey(IdOf(0)), std::monostate{}}}});
  Run(1s);
  EXPECT_THAT(EventsOf(0, "member.staying"), SizeIs(1));
  Hand(0, ClientWrite{RequestId{100}, {{StackKey("shop", 1), std::monostate{}}}});
  ASSERT_TRUE(RunUntil([&] { return RunningOn(0) == 0; }, 30s));
  Run(10s);
  EXPECT_FALSE(boxes_.at(0).gone);
}

TEST_F(NodeLeavingTest, ARemovedNodeIsGoneForAllAtOnceAndStopsWhatItRan) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 10s));
  Hand(0, ClientWrite{RequestId{99}, {{NodeKey(IdOf(2)), std::monostate{}}}});
  Run(100ms);
  for (const int i : {0, 1}) {
    EXPECT_EQ(ViewOf(i).members.at(2).state, MemberState::kLeft) << "node " << i;
    EXPECT_THAT(DoorOf(i).refused, ElementsAre(IdOf(2)));
  }
  ASSERT_TRUE(RunUntil([&] { return boxes_.at(2).gone; }, 30s));
  EXPECT_THAT(SaidBy<Gone>(2).front().second.error, HasSubstr("was removed from cluster 07070707"));
  EXPECT_EQ(RunningOn(2), 0U);
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 30s));
}

TEST_F(NodeLeavingTest, ARemovedNodeThatComesBackIsNotHeard) {
  GrowTo(3);
  boxes_.at(2).gone = true;
  Hand(0, ClientWrite{RequestId{99}, {{NodeKey(IdOf(2)), std::monostate{}}}});
  Run(1s);
  Start(2, 0);  // an old disk: it does not know
  Run(20s);
  for (const int i : {0, 1}) EXPECT_EQ(ViewOf(i).members.at(2).state, MemberState::kLeft) << "node " << i;
  // Admitted anew, it is welcome.
  Hand(0, ClientWrite{RequestId{100}, {{NodeKey(IdOf(2)), NodeDoc{IdOf(2), "n2", DigestOf(1)}}}});
  EXPECT_TRUE(RunUntil([&] { return ViewOf(1).members.at(2).state == MemberState::kAlive; }, 30s));
}

}  // namespace
}  // namespace hs
