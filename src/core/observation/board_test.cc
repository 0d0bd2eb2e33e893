#include "core/observation/board.h"

#include <gtest/gtest.h>

#include "core/observation/board_fixture_test.h"

namespace hs {
namespace {

TEST(BoardTest, ARecordReachesEveryBoardByFloodAlone) {
  World world(8, 1);
  world.Run(100ms);
  world.offers_ = 0;
  world.Hand(3, Publish{RecordKind::kNodeReport, 0, Said(7)});
  world.Run(100ms);
  EXPECT_EQ(world.offers_, 0);
  for (const Board& board : world.boards_) EXPECT_EQ(NumberIn(board.Report(Node(3))), 7u);
}

TEST(BoardTest, AfterARestartEverythingIsKnownAtOnceHoweverMuchElseIsNews) {
  World world(8, 1);
  for (std::size_t i = 0; i < 8; ++i) world.Hand(i, Publish{RecordKind::kNodeReport, 0, Said(i + 1)});
  world.Run(5s);
  world.Restart(3);
  for (std::uint64_t round = 0; round < 5; ++round) {
    world.Hand(0, Publish{RecordKind::kNodeReport, 0, Said(100 + round)});
    world.Run(100ms);
  }
  for (std::size_t j = 1; j < 8; ++j) {
    if (j == 3) continue;
    EXPECT_EQ(NumberIn(world.boards_[3].Report(Node(j))), j + 1) << j;
  }
}

TEST(BoardTest, WhoWasCutOffIsToldWhatItMissedOverTheFirstLink) {
  World world(4, 1);
  world.Run(5s);
  const BoardPeer gone{Node(2), std::nullopt}, back{Node(2), Endpoint{IpAddress::V4(127, 0, 0, 1), 7}};
  for (const std::size_t i : {1, 3}) world.Hand(i, LinkDown{Node(2)});
  for (const std::size_t i : {1, 3}) world.Hand(i, gone);
  world.Hand(0, Publish{RecordKind::kNodeReport, 0, Said(7)});
  world.Run(5s);
  world.offers_ = 0;
  world.Hand(1, back);
  EXPECT_EQ(world.offers_, 0) << "there is no link yet";
  world.Hand(1, LinkUp{Node(2)});
  EXPECT_EQ(world.offers_, 1);
  world.Hand(1, LinkUp{Node(0)});
  EXPECT_EQ(world.offers_, 1) << "nobody new";
}

TEST(BoardTest, SayingTheSameAgainSendsNothing) {
  Board board({}, Node(0), 1);
  board.Step(Time{}, LinkUp{Node(1)});
  EXPECT_FALSE(board.Step(Time{}, Publish{RecordKind::kNodeReport, 0, Said(7)}).empty());
  EXPECT_TRUE(board.Step(Time{}, Publish{RecordKind::kNodeReport, 0, Said(7)}).empty());
}

TEST(BoardTest, WhatChangedInOneStepIsPassedOnInOneMessageButNotBackAndNotCopied) {
  Board board({}, Node(0), 1);
  for (std::size_t j = 1; j <= 3; ++j) board.Step(Time{}, LinkUp{Node(j)});
  RecordPush push{{}, true};
  for (std::size_t j = 5; j < 9; ++j)
    push.records.push_back({{RecordKind::kNodeReport, Node(j), 0}, {1, 1}, Said(j)});
  int sent = 0;
  for (const auto& output : board.Step(Time{}, RecordsReceived{Node(1), push})) {
    const auto* link = std::get_if<SendLink>(&output);
    if (link == nullptr) continue;
    ++sent;
    EXPECT_NE(link->to, Node(1));
    const auto& passed = std::get<RecordPush>(link->message);
    ASSERT_EQ(passed.records.size(), 4u);
    EXPECT_EQ(passed.records[0].body.get(), push.records[0].body.get());
  }
  EXPECT_EQ(sent, 2);
  EXPECT_TRUE(board.Step(Time{}, RecordsReceived{Node(2), push}).empty()) << "the second copy is no news";
}

TEST(BoardTest, ABurstGoesOutAtAPaceAndOnlyTheNewestOfEachRecord) {
  Board board({}, Node(0), 1);
  board.Step(Time{}, LinkUp{Node(1)});
  std::vector<RecordPush> sent;
  for (int ms = 0; ms < 20; ++ms) {
    for (const auto& output :
         board.Step(Time{} + ms * 1ms,
                    Publish{RecordKind::kNodeReport, 0, Said(static_cast<std::uint64_t>(ms) + 1)})) {
      if (const auto* link = std::get_if<SendLink>(&output))
        sent.push_back(std::get<RecordPush>(link->message));
    }
  }
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_EQ(NumberIn(sent[0].records.at(0).body), 1u) << "the first at once";
  for (const RecordPush& push : sent) EXPECT_EQ(push.records.size(), 1u);
  EXPECT_EQ(NumberIn(sent[3].records.at(0).body), 16u);
  EXPECT_LE(board.NextDeadline(), Time{} + 20ms) << "the last one is not forgotten";
}

TEST(BoardTest, BoardsConvergeThroughLossDuplicationAndReorderingAndAreThenSilent) {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    World world(7, seed);
    world.loss_ = 0.3;
    for (std::uint64_t round = 1; round <= 60; ++round) {
      const std::size_t i = world.prng_.Below(7);
      world.Hand(i, Publish{RecordKind::kNodeReport, 0, Said(round)});
      if (world.prng_.Chance(0.3)) world.Hand(i, PublishEvent{Happened(static_cast<WallMs>(round))});
      if (world.prng_.Chance(0.05)) world.Restart(i);
      world.Run(50ms);
    }
    world.loss_ = 0;
    for (std::size_t i = 0; i < 7; ++i) world.Hand(i, Publish{RecordKind::kNodeReport, 0, Said(100 + i)});
    world.Run(40s);
    EXPECT_TRUE(world.Agree()) << "seed " << seed;
    const int offers = world.offers_;
    world.Run(20s);
    EXPECT_EQ(world.offers_, offers) << "who agrees is silent, seed " << seed;
  }
}

TEST(BoardTest, ANodeKeepsItsOwnWordAgainstWhatOthersClaimInItsName) {
  Board board({}, Node(0), 5);
  board.Step(Time{}, Publish{RecordKind::kNodeReport, 0, Said(1)});
  for (std::uint32_t boot : {4u, 5u, 9u}) {
    board.Step(Time{}, RecordsReceived{
                           Node(1), {{{{RecordKind::kNodeReport, Node(0), 0}, {boot, 99}, Said(66)}}, true}});
    EXPECT_EQ(NumberIn(board.Report(Node(0))), 1u) << "boot " << boot;
  }
  EXPECT_EQ(board.refused(), 3u);
}

TEST(BoardTest, ANewLifeVoidsEverythingSaidInTheFormerOneExceptEvents) {
  Board board({}, Node(0), 1);
  PlanSlice slice;
  slice.node = Node(3);
  RecordPush push{{}, true};
  push.records.push_back({{RecordKind::kPlanSlice, Node(2), 3}, {1, 1}, std::make_shared<RecordBody>(slice)});
  push.records.push_back(
      {{RecordKind::kEvent, Node(2), 1}, {1, 2}, std::make_shared<RecordBody>(Happened(5))});
  board.Step(Time{}, RecordsReceived{Node(1), push});
  ASSERT_EQ(board.Slices(Node(2)).size(), 1u);
  board.Step(Time{},
             RecordsReceived{Node(1), {{{{RecordKind::kNodeReport, Node(2), 0}, {2, 1}, Said(1)}}, true}});
  EXPECT_TRUE(board.Slices(Node(2)).empty());
  EXPECT_EQ(board.Events().size(), 1u);
  board.Step(Time{}, RecordsReceived{Node(1), push});
  EXPECT_TRUE(board.Slices(Node(2)).empty()) << "a late copy does not bring it back";
}

TEST(BoardTest, AnOwnersWordCountsAgainOnceItKnowsHowOftenItHasLived) {
  Board old({}, Node(0), 7), young({}, Node(0), 2), other({}, Node(1), 1);
  const auto tell = [&](const Board& from) {
    RecordPush push;
    for (const auto& [key, record] : from.records()) push.records.push_back(record);
    other.Step(Time{2s}, RecordsReceived{Node(0), push});
    return NumberIn(other.Report(Node(0)));
  };
  old.Step(Time{1s}, Publish{RecordKind::kNodeReport, 0, Said(70)});
  young.Step(Time{1s}, Publish{RecordKind::kNodeReport, 0, Said(20)});
  EXPECT_EQ(tell(old), 70u);
  EXPECT_EQ(tell(young), 70u);
  young.Step(Time{2s}, NewLife{8});
  EXPECT_EQ(tell(young), 20u);
  young.Step(Time{2s}, NewLife{3});
  young.Step(Time{2s}, Publish{RecordKind::kNodeReport, 0, Said(21)});
  EXPECT_EQ(tell(young), 21u) << "lives are counted upwards only";
}

TEST(BoardTest, WhatAGoneNodeSaidIsVoidUntilItIsPresentAgain) {
  Board board({}, Node(0), 1);
  const RecordPush push{{{{RecordKind::kNodeReport, Node(2), 0}, {3, 1}, Said(1)}}, true};
  board.Step(Time{}, RecordsReceived{Node(1), push});
  const std::uint64_t before = board.digest();
  board.Step(Time{}, OwnerGone{Node(2), 3});
  EXPECT_EQ(board.Report(Node(2)), nullptr);
  board.Step(Time{}, RecordsReceived{Node(1), push});
  EXPECT_EQ(board.Report(Node(2)), nullptr);
  board.Step(Time{}, BoardPeers{{{Node(2), Endpoint{}}}});
  board.Step(Time{}, RecordsReceived{Node(1), push});
  EXPECT_EQ(NumberIn(board.Report(Node(2))), 1u);
  EXPECT_EQ(board.digest(), before);
}

TEST(BoardTest, EventsAreBoundedOldestGoFirstAndBoardsThatKeptDifferentOldOnesStillAgree) {
  Tunables tunables;
  tunables.events_kept = 100;
  Board all(tunables, Node(0), 1);
  Board few(tunables, Node(1), 1);
  // One owner spoke only once, long ago: every board keeps that, or they would never agree.
  const RecordPush rare{
      {{{RecordKind::kEvent, Node(5), 1}, {1, 1}, std::make_shared<RecordBody>(Happened(0))}}, true};
  all.Step(Time{}, RecordsReceived{Node(7), rare});
  few.Step(Time{}, RecordsReceived{Node(7), rare});
  for (std::uint64_t n = 1; n <= 300; ++n) {
    const auto body = std::make_shared<RecordBody>(Happened(static_cast<WallMs>(n)));
    const RecordPush push{{{{RecordKind::kEvent, Node(2 + n % 2), n}, {1, n}, body}}, true};
    all.Step(Time{}, RecordsReceived{Node(7), push});
    if (n > 240 && n % 5 != 1) few.Step(Time{}, RecordsReceived{Node(7), push});
  }
  ASSERT_EQ(all.Events().size(), 100u);
  EXPECT_EQ(std::get<Event>(*all.Events().at(1)).at_ms, 202);
  EXPECT_EQ(std::get<Event>(*all.Events().back()).at_ms, 300);
  EXPECT_EQ(all.digest(), few.digest());
}

TEST(BoardTest, AnEventOlderThanAllThatAFullBoardKeepsIsNeitherKeptNorPassedOn) {
  Tunables tunables;
  tunables.events_kept = 100;
  Board board(tunables, Node(0), 1);
  board.Step(Time{}, LinkUp{Node(7)});
  board.Step(Time{}, LinkUp{Node(8)});
  const auto told = [&](std::uint64_t n, bool flood) {
    const auto body = std::make_shared<RecordBody>(Happened(static_cast<WallMs>(n)));
    const RecordPush push{{{{RecordKind::kEvent, Node(2), n}, {1, n}, body}}, flood};
    return !board.Step(Time{}, RecordsReceived{Node(7), push}).empty();
  };
  for (std::uint64_t n = 2; n <= 150; ++n) EXPECT_TRUE(told(n, true)) << n;
  board.Step(board.NextDeadline(), Tick{});
  for (const bool flood : {true, false}) {
    EXPECT_FALSE(told(50, flood)) << "dropped before";
    EXPECT_FALSE(told(1, flood)) << "never seen";
  }
  EXPECT_EQ(board.NextDeadline(), kNever) << "nothing waits to be sent";
  EXPECT_EQ(board.Events().size(), 100u);
}

TEST(BoardTest, AnOfferDoesNotGrowWithTheEventsAndIsAnsweredWithThoseThatCameAfter) {
  Board full({}, Node(0), 2);
  Board behind({}, Node(1), 1);
  const auto happened = [](std::uint64_t boot, std::uint64_t n) {
    return Record{{RecordKind::kEvent, Node(2), boot << 32 | n},
                  {static_cast<std::uint32_t>(boot), n},
                  std::make_shared<RecordBody>(Happened(static_cast<WallMs>(100 * boot + n)))};
  };
  RecordPush all{{}, true};
  RecordPush some{{}, true};
  for (std::uint64_t n = 1; n <= 30; ++n) {
    all.records.push_back(happened(1, n));
    all.records.push_back(happened(2, n));
    // Of the former life nothing at all: the newest of the present one must not hide that.
    if (n <= 20) some.records.push_back(happened(2, n));
  }
  full.Step(Time{}, RecordsReceived{Node(7), all});
  behind.Step(Time{}, RecordsReceived{Node(7), some});
  behind.Step(Time{}, BoardPeers{{{Node(0), Endpoint{}}}});
  for (const Time at : {Time{} + 10s, Time{} + 11s})
    behind.Step(at, BoardDigestHeard{Node(0), full.digest()});
  for (const auto& output : behind.Step(behind.NextDeadline(), Tick{})) {
    const auto& offer = std::get<RecordOffer>(std::get<SendLink>(output).message);
    EXPECT_EQ(offer.held.size(), 1u);
    std::size_t sent = 0;
    for (const auto& answer : full.Step(Time{} + 12s, RecordOfferReceived{Node(1), offer})) {
      const auto* push = std::get_if<RecordPush>(&std::get<SendLink>(answer).message);
      ASSERT_NE(push, nullptr) << "nothing is lacking there";
      sent += push->records.size();
      behind.Step(Time{} + 12s, RecordsReceived{Node(0), *push});
    }
    EXPECT_EQ(sent, 40u);
  }
  EXPECT_EQ(behind.Events().size(), 60u);
  EXPECT_EQ(behind.digest(), full.digest());
}

TEST(BoardTest, ABodyThatDoesNotFitItsKeyIsRefused) {
  Board board({}, Node(0), 1);
  board.Step(Time{}, RecordsReceived{Node(1),
                                     {{{{RecordKind::kEvent, Node(1), 1}, {1, 1}, Said(1)},
                                       {{RecordKind::kNodeReport, Node(1), 0}, {1, 1}, nullptr}},
                                      true}});
  EXPECT_EQ(board.refused(), 2u);
  EXPECT_TRUE(board.records().empty());
}

}  // namespace
}  // namespace hs
