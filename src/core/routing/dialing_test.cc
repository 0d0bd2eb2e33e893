#include "core/routing/dialing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::SizeIs;

NodeId Node(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  return id;
}

// The box is 1; the others have the round trips that are said.
class DialingTest : public ::testing::Test {
 protected:
  void Start(int nodes) {
    for (int n = 1; n <= nodes; ++n) {
      members_[Node(n)].id = Node(n);
      if (n > 1) RoundTrip(n, 5ms);
    }
    members_[Node(1)].meta.Edit().dials_out = true;
  }
  void RoundTrip(int n, Duration time) {
    for (int i = 0; i < 40; ++i) (void)routing_.Step(now_, members_, AnsweredDirectly{Node(n), time});
  }
  bool Step(Duration later = 0ms) {
    now_ += later;
    return dialing_.Step(now_, members_, routing_);
  }
  const std::vector<NodeId>& Relays() const { return dialing_.relays(); }

  Time now_ = Time{} + 1h;
  MemberTable members_;
  Routing routing_{Tunables{}, Node(1), Prng(7)};
  Dialing dialing_{Node(1)};
};

TEST_F(DialingTest, TheThreeNearestAreTaken) {
  Start(6);
  for (const int near : {3, 4, 6}) RoundTrip(near, 1ms);
  EXPECT_TRUE(Step());
  EXPECT_THAT(Relays(), ElementsAre(Node(3), Node(4), Node(6)));
  EXPECT_FALSE(Step(1s)) << "nothing changed";
}

TEST_F(DialingTest, FewerWhereThereAreFewer) {
  Start(2);
  EXPECT_TRUE(Step());
  EXPECT_THAT(Relays(), ElementsAre(Node(2)));
}

TEST_F(DialingTest, WhoIsNotThereIsPassedOverAndWhoIsNotFitIsTakenLast) {
  Start(9);
  for (int n = 2; n <= 6; ++n) RoundTrip(n, 100us);
  members_[Node(2)].meta.Edit().dials_out = true;
  members_[Node(3)].meta.Edit().roles.strained = true;
  members_[Node(4)].state = MemberState::kSuspect;
  members_[Node(5)].quarantined_until = now_ + 1min;
  (void)routing_.Step(now_, members_, DirectSilence{Node(6)});
  EXPECT_TRUE(Step());
  EXPECT_THAT(Relays(), ElementsAre(Node(7), Node(8), Node(9)));
  for (const int gone : {8, 9}) members_[Node(gone)].state = MemberState::kDead;
  EXPECT_TRUE(Step());
  EXPECT_THAT(Relays(), ElementsAre(Node(3), Node(5), Node(7))) << "rather than none";
}

TEST_F(DialingTest, WhereThereAreTooFewItLooksAgainSoon) {
  Start(4);
  members_[Node(3)].state = MemberState::kSuspect;
  Step();
  EXPECT_EQ(dialing_.NextDeadline(), now_ + 1s);
  members_[Node(3)].state = MemberState::kAlive;
  EXPECT_TRUE(Step(1s));
  EXPECT_THAT(Relays(), SizeIs(3));
  EXPECT_GT(dialing_.NextDeadline(), now_ + 1s);
}

TEST_F(DialingTest, OneThatGoesIsReplacedAtOnceAndTheOthersStay) {
  Start(5);
  Step();
  const std::vector<NodeId> before = Relays();
  members_[before[1]].state = MemberState::kSuspect;
  EXPECT_FALSE(Step(10ms)) << "it may answer yet";
  members_[before[1]].state = MemberState::kUnreachable;
  EXPECT_TRUE(Step(10ms));
  EXPECT_THAT(Relays(), SizeIs(3));
  EXPECT_THAT(Relays(), Contains(before[0]));
  EXPECT_THAT(Relays(), Contains(before[2]));
  EXPECT_THAT(Relays(), Not(Contains(before[1])));
}

TEST_F(DialingTest, AClearlyNearerOneIsTakenInItsTurnAndALittleNearerOneIsNot) {
  Start(5);
  Step();
  const std::vector<NodeId> before = Relays();
  int other = 2;
  while (std::ranges::find(before, Node(other)) != before.end()) ++other;
  RoundTrip(other, 3ms);
  EXPECT_FALSE(Step(Dialing::kLookPause));
  RoundTrip(other, 1ms);
  EXPECT_FALSE(Step(1s)) << "not its time";
  EXPECT_TRUE(Step(Dialing::kLookPause));
  EXPECT_THAT(Relays(), Contains(Node(other)));
  EXPECT_THAT(Relays(), SizeIs(3));
}

}  // namespace
}  // namespace hs
