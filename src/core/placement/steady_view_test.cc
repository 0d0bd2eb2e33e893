#include "core/placement/steady_view.h"

#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

class Club {
 public:
  explicit Club(int boxes) : world(boxes), view(Box(1), {}) { Look(true); }
  void Look(bool steady) { view.Observe(world.members, removed, steady); }
  SteadyView::Standing Standing() { return view.StandingOf(world.members); }
  World world;
  std::set<NodeId> removed;
  SteadyView view;
};

TEST(SteadyView, TheGreaterPartHasTheMajorityAndHalfDoesNot) {
  const struct {
    int boxes, silent;
    bool majority;
  } rows[] = {{1, 0, true}, {2, 1, false}, {3, 1, true}, {4, 2, false}, {5, 2, true}, {5, 3, false}};
  for (const auto& row : rows) {
    Club club(row.boxes);
    for (int n = 0; n < row.silent; ++n) club.world.SetState(row.boxes - n, MemberState::kUnreachable);
    club.Look(true);
    EXPECT_EQ(club.Standing().Majority(), row.majority) << club.Standing().Words();
  }
}

TEST(SteadyView, SilenceNeverUncountsHoweverLongOrSteadyItIs) {
  Club club(5);
  for (int n : {3, 4, 5}) club.world.SetState(n, MemberState::kUnreachable);
  club.Look(false);
  club.Look(true);
  for (int n : {3, 4, 5}) club.world.SetState(n, MemberState::kDead);  // an hour later
  club.Look(true);
  EXPECT_FALSE(club.Standing().Majority());
  EXPECT_EQ(club.Standing().Words(), "2 of 5 boxes are here");
}

TEST(SteadyView, WhoIsProvenDeadHasLeftOrWasRemovedDoesNotCount) {
  Club club(4);
  club.world.SetState(2, MemberState::kAgentDown);
  club.Look(false);
  EXPECT_EQ(club.Standing().counted, 4u) << "its agent may come back";
  club.world.SetState(2, MemberState::kDead);
  club.world.SetState(3, MemberState::kLeft);
  club.world.SetState(4, MemberState::kUnreachable);
  club.removed.insert(Box(4));
  club.Look(false);
  EXPECT_EQ(club.Standing().counted, 1u);
  EXPECT_TRUE(club.Standing().Majority());
}

TEST(SteadyView, ANewcomerCountsFromTheFirstSteadyState) {
  Club club(3);
  club.world.AddBox(4);
  club.Look(false);
  EXPECT_EQ(club.Standing().counted, 3u);
  club.Look(true);
  EXPECT_EQ(club.Standing().counted, 4u);
}

TEST(SteadyView, ARestartedAgentCountsWhomItsDiskRemembers) {
  World world(1);
  SteadyView view(Box(1), {{Box(2), {}}, {Box(3), {}}, {NodeId{}, {}}});
  view.Observe(world.members, {}, true);
  EXPECT_EQ(view.StandingOf(world.members).counted, 3u) << "steady alone, and yet in the smaller part";
  world.AddBox(2);
  EXPECT_TRUE(view.StandingOf(world.members).Majority());
  // What others say about the dead it has not seen dying is hearsay.
  world.AddBox(3);
  world.SetState(3, MemberState::kDead);
  view.Observe(world.members, {}, true);
  EXPECT_EQ(view.StandingOf(world.members).counted, 3u);
}

}  // namespace
}  // namespace hs
