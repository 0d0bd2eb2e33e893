#include "core/placement/plan_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/placement/rendezvous.h"
#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

struct Desk {
  World world{3};
  NodeReports seen;
  PlanBook book{Box(1)};
  PlanDraft draft;
  std::vector<ServiceLevel> levels;
  Desk() {
    for (const auto& [node, report] : world.reports) seen[node] = {&report, 0};
    for (int n = 1; n <= 3; ++n)
      draft.nodes[Box(n)] = {{ReplicaId{static_cast<std::uint64_t>(n)}, "web", {}, {}, ""}};
  }
  PlanUpdate Apply(Term term = 1) { return book.Apply(term, draft, {.levels = levels}, world.members, seen); }
};

TEST(PlanBook, TellsLevelsWhenTheyMove) {
  Desk desk;
  (void)desk.Apply();
  desk.levels = {{"web", 3, 2, 0, "because"}};
  const PlanUpdate update = desk.Apply();
  EXPECT_TRUE(update.report_changed);
  EXPECT_EQ(update.report.levels, desk.levels);
  EXPECT_FALSE(desk.Apply().report_changed);
}

TEST(PlanBook, OnlyChangedSlicesGetANewStamp) {
  Desk d;
  EXPECT_EQ(d.Apply().changed.size(), 3U);
  EXPECT_TRUE(d.Apply().changed.empty());
  d.draft.nodes[Box(2)][0].cause = "another";
  const PlanUpdate update = d.Apply();
  ASSERT_EQ(update.changed.size(), 1U);
  EXPECT_EQ(update.changed[0].node, Box(2));
  EXPECT_EQ(update.changed[0].stamp, (PlanStamp{1, Box(1), 2}));
  EXPECT_EQ(d.book.slices().at(Box(1)).stamp.sequence, 1U);
}

TEST(PlanBook, ANewTermPutsItsNameOnEverySlice) {
  Desk d;
  d.Apply(1);
  const PlanUpdate update = d.Apply(2);
  ASSERT_EQ(update.changed.size(), 3U);
  for (const auto& slice : update.changed) EXPECT_EQ(slice.stamp, (PlanStamp{2, Box(1), 1}));
}

TEST(PlanBook, ARestartedControllerNumbersAboveWhatBoxesFollowedInItsEarlierReign) {
  Desk d;
  d.world.reports[Box(2)].plan = {1, Box(1), 40};
  PlanUpdate update = d.Apply();
  ASSERT_EQ(update.changed.size(), 3U);
  for (const auto& slice : update.changed) EXPECT_EQ(slice.stamp.sequence, 41U);
  EXPECT_TRUE(d.Apply().changed.empty());
  d.world.reports[Box(3)].plan = {1, Box(1), 50};  // its report comes late
  update = d.Apply();
  ASSERT_EQ(update.changed.size(), 1U);
  EXPECT_EQ(update.changed[0].node, Box(3));
  EXPECT_EQ(update.changed[0].stamp.sequence, 51U);
  d.world.reports[Box(2)].plan = {1, Box(3), 90};
  EXPECT_TRUE(d.Apply().changed.empty()) << "of another controller's reign";
}

TEST(PlanBook, ABoxThatDropsOutGetsAnEmptySliceOnce) {
  Desk d;
  d.Apply();
  d.draft.nodes.erase(Box(2));
  const PlanUpdate update = d.Apply();
  ASSERT_EQ(update.changed.size(), 1U);
  EXPECT_EQ(update.changed[0].node, Box(2));
  EXPECT_TRUE(update.changed[0].assignments.empty());
  EXPECT_TRUE(d.Apply().changed.empty());
}

TEST(PlanBook, ItContinuesFromTheFormerControllersSlices) {
  Desk d;
  PlanSlice former;
  former.node = Box(2);
  KnownSlices seen;
  seen[Box(2)] = &former;
  EXPECT_EQ(d.book.Known(seen).at(Box(2)), &former);
  d.Apply();
  EXPECT_EQ(d.book.Known(seen).at(Box(2)), &d.book.slices().at(Box(2)));
  d.book.Close();
  EXPECT_EQ(d.book.Known(seen).at(Box(2)), &former);
}

TEST(PlanBook, PendingNamesThePresentBoxesThatHaveNotFollowed) {
  Desk d;
  d.Apply();
  for (int n : {1, 2}) d.world.reports[Box(n)].plan = d.book.slices().at(Box(n)).stamp;
  const PlanUpdate update = d.Apply();
  ASSERT_EQ(update.report.pending.size(), 1U);
  EXPECT_THAT(update.report.pending[0], HasSubstr("n3 has not taken over its plan yet (1.1)"));
  d.world.SetState(3, MemberState::kUnreachable);
  EXPECT_TRUE(d.Apply().report.pending.empty());
}

TEST(PlanBook, AShortageIsAnEventOnceUntilItsSizeChanges) {
  Desk d;
  d.draft.shortages = {{"web", 2, "no room"}};
  EXPECT_EQ(d.Apply().decisions.size(), 1U);
  EXPECT_TRUE(d.Apply().decisions.empty());
  d.draft.shortages[0].missing = 1;
  EXPECT_EQ(d.Apply().decisions.size(), 1U);
}

TEST(Rendezvous, TwiceTheWeightWinsAboutTwiceAsOften) {
  int wins = 0;
  for (std::uint64_t key = 1; key <= 3000; ++key) {
    wins += RendezvousCost(Mix64(key), Box(1), 2000) < RendezvousCost(Mix64(key), Box(2), 1000);
  }
  EXPECT_NEAR(wins, 2000, 120);
  EXPECT_LT(RendezvousCost(1, Box(1), 1), RendezvousCost(1, Box(2), 0));
}

TEST(Rendezvous, ABoxThatLeavesTakesOnlyItsOwnKeysAlong) {
  const auto winner = [](std::uint64_t key, int boxes) {
    int best = 1;
    for (int n = 2; n <= boxes; ++n) {
      if (RendezvousDraw(key, Box(n)) > RendezvousDraw(key, Box(best))) best = n;
    }
    return best;
  };
  for (std::uint64_t key = 1; key <= 500; ++key) {
    const int with = winner(Mix64(key), 5), without = winner(Mix64(key), 4);
    if (with != 5) {
      EXPECT_EQ(with, without);
    }
  }
}

}  // namespace
}  // namespace hs
