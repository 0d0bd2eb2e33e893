#include "core/routing/routing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/routing/routing_fixture_test.h"

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(RoutingTest, OneMissedAnswerIsNoCut) {
  Start(3);
  Step(1, DirectSilence{Node(2)});
  Run(2s);
  EXPECT_THAT(changes_, IsEmpty());
  EXPECT_FALSE(routings_.at(1).InTrouble(Node(2)));
}

TEST_F(RoutingTest, ACutIsGoneRoundWithinHalfASecondOfTheFirstMissAndOnBothSides) {
  Start(3);
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(500ms);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(3)));
  EXPECT_THAT(Way(2, 1), ElementsAre(Node(3))) << "it was told, and looked for itself";
  EXPECT_THAT(routings_.at(1).ForDatagrams(Node(2)), ElementsAre(Node(3)));
  EXPECT_TRUE(alive_.contains({1, 2})) << "the relay's answer proves that it lives";
  EXPECT_THAT(Way(1, 3), IsEmpty());
  EXPECT_THAT(Way(3, 2), IsEmpty());
}

TEST_F(RoutingTest, APeerThatNobodyReachesIsNoMatterOfRoutes) {
  Start(4);
  dead_.insert(2);
  Step(1, DirectSilence{Node(2)});
  Run(5s);
  EXPECT_THAT(changes_, IsEmpty());
  EXPECT_THAT(routings_.at(1).Report().exceptions, IsEmpty()) << "only what a way round exists for is told";
}

TEST_F(RoutingTest, OfSeveralRelaysTheQuickestIsTakenAndKept) {
  Start(5);
  delays_[{1, 3}] = 4ms;
  delays_[{1, 4}] = 1ms;
  delays_[{4, 2}] = 1ms;
  delays_[{1, 5}] = 2ms;
  delays_[{3, 2}] = delays_[{2, 3}] = 4ms;
  delays_[{2, 4}] = 1ms;
  delays_[{2, 5}] = 9ms;
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(1s);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4)));
  delays_[{1, 4}] = 1500us;
  delays_[{2, 4}] = 3ms;
  changes_.clear();
  Run(60s);
  EXPECT_THAT(changes_, IsEmpty()) << "a little slower is no reason to change";
}

TEST_F(RoutingTest, AClearlyQuickerRelayIsTakenAfterAWhile) {
  Start(4);
  delays_[{1, 3}] = 1ms;
  delays_[{1, 4}] = 5ms;
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(1s);
  ASSERT_THAT(Way(1, 2), ElementsAre(Node(3)));
  delays_[{1, 3}] = 30ms;
  Run(15s);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4)));
}

TEST_F(RoutingTest, ARelayThatDiesIsReplaced) {
  Start(4);
  delays_[{1, 4}] = 5ms;
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(1s);
  ASSERT_THAT(Way(1, 2), ElementsAre(Node(3)));
  dead_.insert(3);
  Run(2s);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4)));
}

TEST_F(RoutingTest, ARelayThatIsNoMemberAnyMoreIsLeftAtOnce) {
  Start(4);
  delays_[{1, 4}] = 5ms;
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(1s);
  ASSERT_THAT(Way(1, 2), ElementsAre(Node(3)));
  dead_.insert(3);
  members_.at(Node(3)).state = MemberState::kAgentDown;
  Step(1, RoutingMembersChanged{});
  EXPECT_THAT(Way(1, 2), IsEmpty());
  Run(50ms);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4)));
}

TEST_F(RoutingTest, TwoRelaysWhereNoneReachesBoth) {
  Start(4);  // a chain: 1 - 2 - 3 - 4
  Cut(1, 3);
  Cut(1, 4);
  Cut(2, 4);
  for (const int far : {3, 4}) Step(1, DirectSilence{Node(far)});
  Run(2s);
  EXPECT_THAT(Way(1, 3), ElementsAre(Node(2)));
  EXPECT_THAT(Way(1, 4), ElementsAre(Node(2), Node(3)));
  EXPECT_THAT(Way(4, 1), ElementsAre(Node(3), Node(2)));
}

TEST_F(RoutingTest, WhereOneDirectionIsCutDatagramsOfTheOtherGoDirectly) {
  Start(3);
  cuts_.insert({1, 2});
  Step(1, DirectSilence{Node(2)});
  Run(3s);
  EXPECT_THAT(routings_.at(1).ForDatagrams(Node(2)), ElementsAre(Node(3)));
  EXPECT_THAT(routings_.at(2).ForDatagrams(Node(1)), IsEmpty()) << "1 says that it hears 2";
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(3))) << "TCP needs both";
  EXPECT_THAT(Way(2, 1), ElementsAre(Node(3)));
  const auto report = routings_.at(1).Report();
  ASSERT_EQ(report.exceptions.size(), 1u);
  EXPECT_TRUE(report.exceptions[0].heard);
  EXPECT_FALSE(routings_.at(2).Report().exceptions.at(0).heard);
}

TEST_F(RoutingTest, TheDirectPathIsTakenAgainWithinThreeSecondsOfHealing) {
  Start(3);
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(10s);
  ASSERT_THAT(Way(1, 2), ElementsAre(Node(3)));
  Mend(1, 2);
  Run(3s);
  EXPECT_THAT(Way(1, 2), IsEmpty());
  EXPECT_THAT(Way(2, 1), IsEmpty());
  EXPECT_THAT(routings_.at(1).Report().exceptions, IsEmpty());
}

TEST_F(RoutingTest, ACableThatComesAndGoesDoesNotMakeRoutesFlap) {
  Start(3);
  Cut(1, 2);
  Step(1, DirectSilence{Node(2)});
  Run(2s);
  for (int i = 0; i < 30; ++i) {  // two seconds on, two off
    Mend(1, 2);
    Run(2s);
    Cut(1, 2);
    Step(1, DirectSilence{Node(2)});
    Run(2s);
  }
  EXPECT_LT(changes_.size(), 24u) << "in two minutes, of both sides";
  Mend(1, 2);
  Run(8s);
  EXPECT_THAT(Way(1, 2), IsEmpty()) << "at last it is good";
}

TEST_F(RoutingTest, WhoSleptBlamesNobody) {
  Start(3);
  Step(1, DirectSilence{Node(2)});
  queue_.clear();  // the answer lies in the socket
  now_ += 5s;
  Step(1, RoutingTick{});
  EXPECT_TRUE(routings_.at(1).InTrouble(Node(2)));
  EXPECT_THAT(changes_, IsEmpty());
  Step(1, PathAnswered{Node(2), 1});
  EXPECT_FALSE(routings_.at(1).InTrouble(Node(2)));
}

TEST_F(RoutingTest, AWatchedPathIsFoundCutWithinASecondWithoutAnyHint) {
  Start(3);
  Step(1, WatchPaths{{Node(2), Node(3)}});
  Run(5s);
  Cut(1, 2);
  Run(800ms);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(3)));
}

// Each alone would wake the node eight times a second.
TEST_F(RoutingTest, WatchedPathsThatAreDueAboutTheSameTimeAreAskedTogether) {
  Start(65);
  WatchAll(65);
  Run(20s);  // their first moments are drawn by chance
  std::set<Time> moments;
  asked_at_ = &moments;
  Run(20s);
  EXPECT_LE(moments.size(), 60u);
}

TEST_F(RoutingTest, WatchingManyCostsNoMoreThanWatchingAFew) {
  Start(60);
  std::vector<NodeId> all;
  for (int n = 2; n <= 60; ++n) all.push_back(Node(n));
  Step(1, WatchPaths{all});
  Run(10s);
  pings_ = 0;
  Run(10s);
  EXPECT_LE(pings_, 90);
}

// Half of the members run, but answer late, whoever asks them.
TEST_F(RoutingTest, SearchesThatFindNothingBecomeRare) {
  Start(60);
  for (int slow = 31; slow <= 60; ++slow) {
    for (int n = 1; n <= 60; ++n) delays_[{std::min(n, slow), std::max(n, slow)}] = 300ms;
  }
  for (int slow = 31; slow <= 60; ++slow) Step(1, DirectSilence{Node(slow)});
  Run(10s);
  EXPECT_THAT(changes_, IsEmpty());
  pings_ = 0;
  Run(10s);
  EXPECT_LE(pings_, 400) << "40 per second";
}

TEST_F(RoutingTest, ManyDetoursAreFoundInTwoSecondsAndKeepingThemCostsNoMoreThanAFew) {
  Start(100);
  for (int far = 20; far <= 100; ++far) Cut(1, far);
  for (int far = 20; far <= 100; ++far) Step(1, DirectSilence{Node(far)});
  Run(2s);
  EXPECT_EQ(routings_.at(1).Detours().size(), 81u);
  Run(10s);
  pings_ = 0;
  Run(10s);
  EXPECT_LE(pings_, 400) << "16 checks each of detours and direct paths a second, and 6 for quicker ones";
}

TEST_F(RoutingTest, WhoBridgesACutForOneIsAskedFirstAndAloneForTheOthers) {
  Start(34);
  for (int near = 1; near <= 16; ++near) {
    for (int far = 17; far <= 32; ++far) Cut(near, far);
  }
  Step(1, DirectSilence{Node(17)});
  Run(3s);
  ASSERT_EQ(routings_.at(1).Detours().size(), 1u);
  pings_ = 0;
  for (int far = 18; far <= 32; ++far) Step(1, DirectSilence{Node(far)});
  Run(500ms);
  EXPECT_EQ(routings_.at(1).Detours().size(), 16u);
  EXPECT_LE(pings_, 15 * (2 + 2) + 10) << "two direct questions each, and one to each of two relays at most";
}

TEST_F(RoutingTest, WhoIsLateItselfGivesOthersMoreTime) {
  Start(3);
  delays_[{1, 2}] = delays_[{1, 3}] = 150ms;
  Step(1, OwnLateness{60ms});
  Step(1, DirectSilence{Node(2)});
  Run(2s);
  EXPECT_FALSE(routings_.at(1).InTrouble(Node(2))) << "answered after 300 ms";
}

// n2 is behind NAT: what it sends arrives, and only `relays` have a way to it.
class DialsOut : public RoutingTest {
 protected:
  void Say(std::vector<int> relays) {
    MemberMeta& meta = members_.at(Node(2)).meta.Edit();
    meta.dials_out = true;
    meta.relays.clear();
    for (const int relay : relays) meta.relays.push_back(Node(relay));
    for (auto& [n, routing] : routings_) {
      if (n == 2) continue;
      const bool relay = std::ranges::find(relays, n) != relays.end();
      relay ? cuts_.erase({n, 2}) : cuts_.insert({n, 2}).second;
    }
    for (auto& [n, routing] : routings_) Step(n, DialersChanged{});
  }
};

TEST_F(DialsOut, WhoDialsOutIsReachedThroughItsRelaysBeforeAnythingWasMissed) {
  Start(6);
  Say({4, 5});
  Run(50ms);
  EXPECT_THAT(Way(1, 2), ::testing::AnyOf(ElementsAre(Node(4)), ElementsAre(Node(5))));
  EXPECT_EQ(routings_.at(1).ForDatagrams(Node(2)), Way(1, 2));
  EXPECT_TRUE(routings_.at(1).View(Node(2)).heard);
  EXPECT_THAT(Way(2, 1), IsEmpty()) << "it reaches everybody itself";
  EXPECT_THAT(routings_.at(1).Report().exceptions, IsEmpty()) << "its own word is told already";
}

TEST_F(DialsOut, ToItsRelaysItIsDirectlyThere) {
  Start(4);
  Say({3, 4});
  Run(5s);
  EXPECT_THAT(Way(3, 2), IsEmpty());
  EXPECT_THAT(routings_.at(3).Lines(), ElementsAre(Node(2)));
  EXPECT_THAT(routings_.at(1).Lines(), IsEmpty());
  Say({4});
  Run(50ms);
  EXPECT_THAT(routings_.at(3).Lines(), IsEmpty());
  EXPECT_THAT(Way(3, 2), ElementsAre(Node(4)));
}

TEST_F(DialsOut, NobodyAsksForItsDirectPath) {
  Start(4);
  Say({4});
  Step(1, WatchPaths{{Node(2)}});
  Run(2s);
  pings_ = 0;
  Run(10s);
  EXPECT_LE(pings_, 42) << "four a second over the relay, which is asked as the path of a door";
  Run(50s);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4)));
  EXPECT_EQ(changes_.size(), 2u) << "of n1 and n3, once";
}

TEST_F(DialsOut, ARelayThatIsUnpluggedIsReplacedByTheNextWithinASecondWherePeopleWait) {
  Start(5);
  delays_[{1, 5}] = 3ms;
  Say({4, 5});
  Step(1, WatchPaths{{Node(2)}});
  Run(2s);
  ASSERT_THAT(Way(1, 2), ElementsAre(Node(4)));
  dead_.insert(4);
  Run(1s);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(5)));
}

TEST_F(DialsOut, ANewRelayIsUsedAtOnceWhereThereIsNoOther) {
  Start(5);
  Say({});
  Run(10s);
  EXPECT_THAT(Way(1, 2), IsEmpty());
  Say({5});
  Run(50ms);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(5)));
  Say({4});
  EXPECT_THAT(Way(1, 2), IsEmpty()) << "nothing gets through to it there any more";
  Run(50ms);
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4)));
}

TEST_F(DialsOut, WhoDialsOutIsNoRelayForOthers) {
  Start(3);
  Say({3});
  Cut(1, 3);
  Step(1, DirectSilence{Node(3)});
  Run(5s);
  EXPECT_THAT(Way(1, 3), IsEmpty()) << "only n2 would be left";
}

TEST_F(DialsOut, ItsRelaysAreReachedOverAnotherWhereTheyAreCutOff) {
  Start(4);
  Say({3});
  Cut(1, 3);
  Step(1, DirectSilence{Node(3)});
  Run(5s);
  EXPECT_THAT(Way(1, 3), ElementsAre(Node(4)));
  EXPECT_THAT(Way(1, 2), ElementsAre(Node(4), Node(3)));
}

TEST_F(DialsOut, WhoCanBeReachedAgainIsReachedDirectly) {
  Start(4);
  Say({4});
  Run(1s);
  cuts_.clear();
  members_.at(Node(2)).meta.Edit().dials_out = false;
  members_.at(Node(2)).meta.Edit().relays.clear();
  for (auto& [n, routing] : routings_) Step(n, DialersChanged{});
  EXPECT_THAT(Way(1, 2), IsEmpty());
  EXPECT_FALSE(routings_.at(1).InTrouble(Node(2)));
  EXPECT_FALSE(routings_.at(1).AnyDialsOut());
}

TEST_F(RoutingTest, ACutBetweenLargeGroupsIsToldAsGroups) {
  Start(41);  // 1 to 20, 21 to 40, and 41 between them
  for (int a = 1; a <= 20; ++a) {
    for (int b = 21; b <= 40; ++b) Cut(a, b);
  }
  for (int a = 1; a <= 20; ++a) {
    for (int b = 21; b <= 40; ++b) Step(a, DirectSilence{Node(b)});
  }
  Run(20s);
  std::size_t listed = 0;
  int named = 0;
  for (int n = 1; n <= 40; ++n) {
    EXPECT_EQ(routings_.at(n).Detours().size(), 20u) << n;
    const ReachReport report = routings_.at(n).Report();
    listed += report.exceptions.size();
    named += report.same_as ? 1 : 0;
  }
  EXPECT_EQ(listed, 40u) << "one list for each side, not 800 pairs";
  EXPECT_EQ(named, 38);
  EXPECT_TRUE(routings_.at(41).SaidCut(Node(7), Node(33))) << "read through the name";
  EXPECT_FALSE(routings_.at(41).SaidCut(Node(7), Node(8)));
}

}  // namespace
}  // namespace hs
