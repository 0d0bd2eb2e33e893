// What a board keeps of its own region alone.
#include <gtest/gtest.h>

#include "core/observation/board_fixture_test.h"

namespace hs {
namespace {

// Of eight boards the first four are one region and the rest another; then they are one again.
TEST(BoardTest, ReportsAndSlicesStayInTheirRegionAndTheRestIsEverywhere) {
  for (const double loss : {0.0, 0.3}) {
    World world(8, 11);
    world.loss_ = loss;
    const auto publish = [&](std::size_t i, std::uint64_t number) {
      world.Hand(i, Publish{RecordKind::kNodeReport, 0, Said(number)});
    };
    for (std::size_t i = 0; i < 8; ++i) publish(i, i + 1);
    world.Run(5s);
    for (std::size_t i = 0; i < 8; ++i) {
      BoardRegion region;
      for (std::size_t j = i / 4 * 4; j < i / 4 * 4 + 4; ++j) region.members.push_back(Node(j));
      world.Hand(i, region);
    }
    for (std::size_t i = 0; i < 8; ++i) publish(i, i + 11);
    world.Hand(1, Publish{RecordKind::kPlanSlice, Node(3).Prefix64(),
                          std::make_shared<RecordBody>(PlanSlice{.node = Node(3)})});
    world.Hand(
        1, Publish{RecordKind::kRegionReport, 0, std::make_shared<RecordBody>(RegionReport{.region = 1})});
    world.Hand(6, PublishEvent{Happened(1)});
    world.Run(60s);
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(world.boards_[i].digest(), world.boards_[0].digest());
      EXPECT_EQ(world.boards_[i].region_digest(), world.boards_[i / 4 * 4].region_digest());
      EXPECT_EQ(world.boards_[i].Events().size(), 1u);
      EXPECT_NE(world.boards_[i].Region(Node(1)), nullptr);
      EXPECT_EQ(world.boards_[i].Slice(Node(1), Node(3)) != nullptr, i < 4);
      for (std::size_t j = 0; j < 8; ++j)
        EXPECT_EQ(NumberIn(world.boards_[i].Report(Node(j))), i / 4 == j / 4 ? j + 11 : 0)
            << i << " of " << j;
    }
    EXPECT_NE(world.boards_[0].region_digest(), world.boards_[4].region_digest());
    for (std::size_t i = 0; i < 8; ++i) world.Hand(i, BoardRegion{});
    world.Run(60s);
    EXPECT_TRUE(world.Agree());
    EXPECT_EQ(NumberIn(world.boards_[0].Report(Node(7))), 18u);
  }
}

// Everybody has two or three ways inside his region, and one out of it.
TEST(BoardTest, BetweenLargeRegionsNewsComesByOneWayPerBoard) {
  constexpr std::size_t kSize = 32;
  std::uint64_t published = 0;
  World world(kSize, 13);
  for (std::size_t i = 0; i < kSize; ++i) {
    BoardRegion region;
    for (std::size_t j = 0; j < kSize / 2; ++j) region.members.push_back(Node(i / 16 * 16 + j));
    world.Hand(i, region);
  }
  LinkAll(world);
  const auto publish_rounds = [&](std::uint64_t count) {
    for (std::uint64_t round = 0; round < count; ++round) {
      const RegionReport report{.region = 1, .division_sequence = ++published};
      world.Hand(round % kSize, Publish{RecordKind::kRegionReport, 0, std::make_shared<RecordBody>(report)});
      world.Run(100ms);
    }
  };
  publish_rounds(10 * kSize);
  world.floods_ = 0;
  publish_rounds(kSize);
  for (std::size_t i = 0; i < kSize; ++i) EXPECT_EQ(world.boards_[i].digest(), world.boards_[0].digest());
  // With as many ways out as in it would be more than 6 for each board and report.
  EXPECT_LE(world.floods_, static_cast<int>(kSize * kSize * 5));
}

// Of six boards the last one planned for all before it was in a region of its own, and starts again. The
// first one happens to hear its report.
TEST(BoardTest, PlansOfAFormerLifeInAnotherRegionAreNotComparedForEver) {
  World world(6, 14);
  world.Hand(5, Publish{RecordKind::kPlanSlice, Node(1).Prefix64(),
                        std::make_shared<RecordBody>(PlanSlice{.node = Node(1)})});
  world.Run(5s);
  const BoardRegion region{.members = {Node(0), Node(1), Node(2), Node(3), Node(4)}, .kept = {}};
  BoardRegion keeps = region;
  keeps.kept = {Node(5)};
  world.Hand(0, keeps);
  for (std::size_t i = 1; i < 5; ++i) world.Hand(i, region);
  world.Hand(5, BoardRegion{.members = {Node(5)}, .kept = {}});
  world.Restart(5);
  world.Hand(0, RecordsReceived{Node(5), {{{{RecordKind::kNodeReport, Node(5), 0}, {2, 1}, Said(1)}}, true}});
  world.Hand(0, region);
  ASSERT_NE(world.boards_[0].region_digest(), world.boards_[1].region_digest());
  for (std::size_t i = 0; i < 4; ++i) world.Hand(i, LaterLife{Node(5), 2});
  world.Run(5s);
  EXPECT_NE(world.boards_[4].region_digest(), world.boards_[1].region_digest())
      << "it was told again by who does not know yet";
  world.Hand(4, LaterLife{Node(5), 2});
  for (std::size_t i = 1; i < 5; ++i)
    EXPECT_EQ(world.boards_[i].region_digest(), world.boards_[0].region_digest()) << i;
  world.offers_ = 0;
  world.Run(60s);
  EXPECT_EQ(world.offers_, 0);
}

// Whoever controls next goes on from it, before the report is there.
TEST(BoardTest, InOneRegionAPlanStandsUntilTheReportOfTheNextLife) {
  World world(2, 15);
  world.Hand(1, Publish{RecordKind::kPlanSlice, Node(0).Prefix64(),
                        std::make_shared<RecordBody>(PlanSlice{.node = Node(0)})});
  world.Run(2s);
  world.Hand(0, LaterLife{Node(1), 2});
  EXPECT_NE(world.boards_[0].Slice(Node(1), Node(0)), nullptr);
  world.Hand(0, RecordsReceived{Node(1), {{{{RecordKind::kNodeReport, Node(1), 0}, {2, 1}, Said(1)}}, true}});
  EXPECT_EQ(world.boards_[0].Slice(Node(1), Node(0)), nullptr);
}

TEST(BoardTest, WhatNoRegionSpeaksForYetIsKept) {
  World world(2, 12);
  world.Hand(1, Publish{RecordKind::kNodeReport, 0, Said(5)});
  world.Run(2s);
  world.Hand(0, BoardRegion{.members = {Node(0)}, .kept = {Node(1)}});
  EXPECT_EQ(NumberIn(world.boards_[0].Report(Node(1))), 5u);
  world.Hand(0, BoardRegion{.members = {Node(0)}, .kept = {}});
  EXPECT_EQ(NumberIn(world.boards_[0].Report(Node(1))), 0u);
}

}  // namespace
}  // namespace hs
