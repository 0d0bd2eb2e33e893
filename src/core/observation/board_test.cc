#include "core/observation/board.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "base/prng.h"

namespace hs {
namespace {

NodeId Node(std::size_t n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}
std::shared_ptr<const RecordBody> Said(std::uint64_t number) {
  NodeReport report;
  report.plan.sequence = number;
  return std::make_shared<RecordBody>(report);
}
Event Happened(WallMs at) { return {at, NodeId{}, "test.event", "x", "because"}; }
std::uint64_t NumberIn(const std::shared_ptr<const RecordBody>& body) {
  return body == nullptr ? 0 : std::get<NodeReport>(*body).plan.sequence;
}

// Boards on a ring with links to the next one, over a network that loses, doubles and reorders.
class World {
 public:
  World(std::size_t size, std::uint64_t seed, Tunables tunables = {}) : tunables_(tunables), prng_(seed) {
    for (std::size_t i = 0; i < size; ++i) boots_.push_back(1);
    for (std::size_t i = 0; i < size; ++i) boards_.emplace_back(tunables_, Node(i), 1u);
    for (std::size_t i = 0; i < size; ++i) Connect(i);
  }
  void Restart(std::size_t i) {
    boards_[i].~Board();
    new (&boards_[i]) Board(tunables_, Node(i), ++boots_[i]);
    Connect(i);
  }
  void Connect(std::size_t i) {
    BoardPeers peers;
    for (std::size_t j = 0; j < boards_.size(); ++j) {
      if (j != i) peers.present.emplace_back(Node(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
    }
    Hand(i, peers);
    Hand(i, LinkUp{Node((i + 1) % boards_.size())});
    Hand(i, LinkUp{Node((i + boards_.size() - 1) % boards_.size())});
  }
  void Hand(std::size_t i, const BoardInput& input) {
    for (const BoardOutput& output : boards_[i].Step(now_, input)) {
      const auto* link = std::get_if<SendLink>(&output);
      if (link == nullptr) continue;
      if (const auto* push = std::get_if<RecordPush>(&link->message)) {
        floods_ += push->flood;
        Post(link->to, RecordsReceived{Node(i), *push});
      } else {
        ++offers_;
        Post(link->to, RecordOfferReceived{Node(i), std::get<RecordOffer>(link->message)});
      }
    }
  }
  void Run(Duration span) {
    for (const Time end = now_ + span; now_ < end; now_ += 5ms) {
      std::deque<Delivery> waiting;
      std::swap(waiting, queue_);
      for (Delivery& d : waiting) {
        if (d.at <= now_)
          Hand(d.to, d.input);
        else
          queue_.push_back(std::move(d));
      }
      for (std::size_t i = 0; i < boards_.size(); ++i) {
        if (prng_.Chance(0.02))
          Post(Node(prng_.Below(boards_.size())),
               BoardDigestHeard{Node(i), boards_[i].digest(), boards_[i].region_digest()});
        if (now_ >= boards_[i].NextDeadline()) Hand(i, Tick{});
      }
    }
  }
  bool Agree() const {
    for (const Board& board : boards_) {
      if (board.digest() != boards_[0].digest()) return false;
      for (std::size_t j = 0; j < boards_.size(); ++j) {
        if (NumberIn(board.Report(Node(j))) != NumberIn(boards_[0].Report(Node(j)))) return false;
      }
    }
    return true;
  }

  Tunables tunables_;
  Prng prng_;
  Time now_ = Time{} + 1h;
  double loss_ = 0;
  int offers_ = 0;
  int floods_ = 0;
  std::deque<Board> boards_;
  std::vector<std::uint32_t> boots_;

 private:
  struct Delivery {
    Time at;
    std::size_t to;
    BoardInput input;
  };
  void Post(NodeId to, const BoardInput& input) {
    if (prng_.Chance(loss_)) return;
    for (int copy = prng_.Chance(loss_) ? 2 : 1; copy > 0; --copy) {
      queue_.push_back(
          {now_ + prng_.Between(1ms, loss_ > 0 ? 60ms : 2ms), std::size_t{to.bytes[0]} - 1, input});
    }
  }
  std::deque<Delivery> queue_;
};

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

// Everybody linked to everybody, and each has spoken often enough to learn who brings news.
void LinkAll(World& world) {
  const std::size_t size = world.boards_.size();
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      if (j != i) world.Hand(i, LinkUp{Node(j)});
    }
  }
  for (std::uint64_t round = 0; round < 200; ++round) {
    world.Hand(round % size, Publish{RecordKind::kNodeReport, 0, Said(round + 1)});
    world.Run(50ms);
  }
}

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
