#include "core/routing/reachability.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[15] = n;
  return id;
}
Time At(int seconds) { return Time{} + std::chrono::seconds(seconds); }

TEST(ReachabilityTest, APeerIsListedSinceTheFirstFailureUntilTheNextSuccess) {
  Reachability reach(Node(1));
  EXPECT_EQ(reach.Step(At(1), NotReached{Node(2)}).size(), 1u);
  EXPECT_TRUE(reach.Step(At(5), NotReached{Node(2)}).empty()) << "a second failure is no change";
  ASSERT_TRUE(reach.unreachable().contains(Node(2)));
  EXPECT_EQ(reach.unreachable().at(Node(2)), At(1));
  const auto back = reach.Step(At(6), Reached{Node(2)});
  ASSERT_EQ(back.size(), 1u);
  EXPECT_TRUE(back[0].reachable);
  EXPECT_TRUE(reach.unreachable().empty());
  reach.Step(At(9), NotReached{Node(2)});
  EXPECT_EQ(reach.unreachable().at(Node(2)), At(9)) << "a new failure starts anew";
}

TEST(ReachabilityTest, ReachingAPeerThatWasNeverLostIsNoChange) {
  Reachability reach(Node(1));
  EXPECT_TRUE(reach.Step(At(1), Reached{Node(2)}).empty());
}

TEST(ReachabilityTest, OneselfIsNeverListed) {
  Reachability reach(Node(1));
  EXPECT_TRUE(reach.Step(At(1), NotReached{Node(1)}).empty());
  EXPECT_TRUE(reach.unreachable().empty());
}

TEST(ReachabilityTest, WhoIsNoMemberAnyMoreIsForgottenAndTheOthersStay) {
  Reachability reach(Node(1));
  reach.Step(At(1), NotReached{Node(2)});
  reach.Step(At(2), NotReached{Node(3)});
  reach.Step(At(3), ReachabilityMembers{{Node(3)}});
  EXPECT_FALSE(reach.unreachable().contains(Node(2)));
  EXPECT_EQ(reach.unreachable().at(Node(3)), At(2));
}

}  // namespace
}  // namespace hs
