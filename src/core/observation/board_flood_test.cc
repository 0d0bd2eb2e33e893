// Who floods to whom.
#include <gtest/gtest.h>

#include <set>

#include "core/observation/board_fixture_test.h"

namespace hs {
namespace {

TEST(BoardTest, AmongManyLinksNewsComesToUseAFewPerBoard) {
  World world(12, 4);
  LinkAll(world);
  world.floods_ = 0;
  for (std::uint64_t round = 0; round < 12; ++round) {
    world.Hand(round, Publish{RecordKind::kNodeReport, 0, Said(1000 + round)});
    world.Run(100ms);
  }
  EXPECT_TRUE(world.Agree());
  // Over every link it would be 11 + 11 * 10 each time.
  EXPECT_LE(world.floods_, 12 * 12 * 3);
}

// A board with links to the first four others.
Board Linked(std::size_t self) {
  Board board({}, Node(self), 1);
  BoardPeers peers;
  for (std::size_t i = 0; i < 7; ++i) {
    if (i != self) peers.present.emplace_back(Node(i), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
  }
  board.Step(Time{} + 1h, peers);
  for (std::size_t i = 0; i < 5; ++i) {
    if (i != self) board.Step(Time{} + 1h, LinkUp{Node(i)});
  }
  return board;
}

std::vector<std::pair<NodeId, RecordPush>> Pushes(const BoardOutputs& outputs) {
  std::vector<std::pair<NodeId, RecordPush>> pushes;
  for (const BoardOutput& output : outputs) {
    const auto* link = std::get_if<SendLink>(&output);
    const auto* push = link == nullptr ? nullptr : std::get_if<RecordPush>(&link->message);
    if (push != nullptr) pushes.emplace_back(link->to, *push);
  }
  return pushes;
}

TEST(BoardTest, WhoseQuestionIsAnsweredWhenItsOtherWaysAreGoneAsksToBeToldAfterAll) {
  Board board = Linked(0);
  const RecordPush news{{{{RecordKind::kNodeReport, Node(6), 0}, {1, 1}, Said(1)}}, true};
  const Time now = Time{} + 1h + 10s;
  board.Step(now, RecordsReceived{Node(1), news});
  const auto asked = Pushes(board.Step(now, RecordsReceived{Node(2), news}));
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_TRUE(asked[0].first == Node(2) && asked[0].second.known);
  board.Step(now, LinkDown{Node(1), LinkEnd::kReset});
  const auto after_all = Pushes(board.Step(now, RecordsReceived{Node(2), RecordPush{{}, false, true}}));
  ASSERT_EQ(after_all.size(), 1u);
  EXPECT_EQ(after_all[0].first, Node(2));
  EXPECT_TRUE(after_all[0].second.flood && !after_all[0].second.known);
}

TEST(BoardTest, WhoAsksToBeToldAfterAllIsToldAgain) {
  Board board = Linked(5);  // links to 0..4: more than it needs
  const Time now = Time{} + 1h + 10s;
  const auto told = [&](std::uint64_t number) {
    std::set<NodeId> peers;
    for (const auto& [peer, push] :
         Pushes(board.Step(now + number * 1s, Publish{RecordKind::kNodeReport, 0, Said(number)})))
      peers.insert(peer);
    return peers;
  };
  ASSERT_TRUE(told(1).contains(Node(2)));
  board.Step(now + 1s, RecordsReceived{Node(2), RecordPush{{}, false, true}});
  ASSERT_FALSE(told(2).contains(Node(2)));
  board.Step(now + 2s, RecordsReceived{Node(2), RecordPush{{}, true, false}});
  EXPECT_TRUE(told(3).contains(Node(2)));
}

TEST(BoardTest, WhoLosesAWayAsksThoseLeftOutToTellItAgain) {
  Board board = Linked(5);
  const Time now = Time{} + 1h + 10s;
  for (const std::size_t peer : {1, 2})
    board.Step(now, RecordsReceived{Node(peer), RecordPush{{}, false, true}});
  std::set<NodeId> asked;
  for (const auto& [peer, push] : Pushes(board.Step(now, LinkDown{Node(0), LinkEnd::kReset})))
    asked.insert(peer);
  EXPECT_FALSE(asked.empty());
}

TEST(BoardTest, WhoIsLostTakesNoNewsWithIt) {
  World world(12, 5);
  LinkAll(world);
  for (std::size_t lost = 0; lost < 6; ++lost) {
    for (std::size_t i = 0; i < 12; ++i) {
      world.Hand(i, LinkDown{Node(lost)});
      world.Hand(lost, LinkDown{Node(i)});
    }
  }
  const int offers = world.offers_;
  world.Hand(7, Publish{RecordKind::kNodeReport, 0, Said(4711)});
  world.Run(100ms);
  for (std::size_t i = 6; i < 12; ++i) EXPECT_EQ(NumberIn(world.boards_[i].Report(Node(7))), 4711u) << i;
  EXPECT_EQ(world.offers_, offers) << "by flood alone";
}

}  // namespace
}  // namespace hs
