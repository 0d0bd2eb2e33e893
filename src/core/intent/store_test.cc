#include "core/intent/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>

namespace hs {
namespace {

constexpr WallMs kStart = 1'800'000'000'000;

NodeId Node(std::size_t n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}
ScaleOverride Scale(std::uint32_t replicas) { return {"web", replicas}; }

// Several stores, a network that loses, doubles and reorders, and disks that may fail, in virtual time.
class World {
 public:
  World(std::size_t size, std::uint64_t seed, Tunables tunables = {}) : tunables_(tunables), prng_(seed) {
    for (std::size_t i = 0; i < size; ++i) hosts_.emplace_back();
    for (std::size_t i = 0; i < size; ++i) Start(i);
  }

  void Start(std::size_t i) {
    Host& host = hosts_[i];
    std::vector<Document> loaded;
    for (const auto& [key, document] : host.disk) loaded.push_back(document);
    host.store = std::make_unique<IntentStore>(tunables_, Node(i), loaded, prng_.Fork(), NowAt(i));
    host.next_gossip = now_ + prng_.Between(0s, 300ms);
    Connect();
  }
  void Crash(std::size_t i) {
    hosts_[i].store.reset();
    std::erase_if(queue_, [&](const Delivery& d) { return d.to == i; });
    Connect();
  }
  // Everyone knows who is up and can be reached, and holds links to the next two.
  void Connect() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      IntentPeers peers;
      for (std::size_t j = 0; j < hosts_.size(); ++j) {
        if (j != i && Reaches(i, j))
          peers.present.emplace_back(Node(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
      }
      Hand(i, peers);
      for (std::size_t j = 0; j < hosts_.size(); ++j) {
        if (j != i && Reaches(i, j))
          Hand(i, ClockSample{Node(j), hosts_[j].clock_error_ms - hosts_[i].clock_error_ms});
      }
      for (std::size_t j = 0; j < hosts_.size(); ++j) {
        if (j == i) continue;
        const std::size_t apart = (j + hosts_.size() - i) % hosts_.size();
        const bool near = apart <= 2 || hosts_.size() - apart <= 2;
        if (near && Reaches(i, j))
          Hand(i, LinkUp{Node(j)});
        else
          Hand(i, LinkDown{Node(j)});
      }
    }
  }
  bool Reaches(std::size_t i, std::size_t j) const {
    return hosts_[i].store && hosts_[j].store && hosts_[i].side == hosts_[j].side;
  }

  void Hand(std::size_t i, const IntentInput& input) {
    if (!hosts_[i].store) return;
    for (const IntentOutput& output : hosts_[i].store->Step(NowAt(i), input)) Carry(i, output);
  }

  void Write(std::size_t i, std::uint64_t request, std::string key, DocumentBody body) {
    Hand(i, ClientWrite{RequestId{request}, {{std::move(key), std::move(body)}}});
  }

  void Run(Duration span) {
    for (const Time end = now_ + span; now_ < end; now_ += 1ms) {
      std::vector<Delivery> due;
      for (std::size_t k = 0; k < queue_.size();) {
        if (queue_[k].at <= now_) {
          due.push_back(std::move(queue_[k]));
          queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(k));
        } else {
          ++k;
        }
      }
      for (const Delivery& d : due) {
        if (d.on_disk) d.on_disk();
        if (d.from != d.to && !Reaches(d.from, d.to)) continue;
        Hand(d.to, d.input);
      }
      for (std::size_t i = 0; i < hosts_.size(); ++i) {
        if (!hosts_[i].store) continue;
        if (now_ >= hosts_[i].next_gossip) Gossip(i);
        if (now_ >= hosts_[i].store->NextDeadline()) Hand(i, Tick{});
      }
    }
  }
  bool Agree() const {
    const IntentStore* first = nullptr;
    for (const Host& host : hosts_) {
      if (!host.store) continue;
      if (first == nullptr) first = host.store.get();
      if (host.store->documents() != first->documents() || host.store->digest() != first->digest())
        return false;
    }
    return true;
  }

  struct Host {
    std::unique_ptr<IntentStore> store;
    std::map<std::string, Document> disk;
    std::string disk_error;
    std::int64_t clock_error_ms = 0;
    int side = 0;
    Time next_gossip{};
  };
  Host& host(std::size_t i) { return hosts_[i]; }
  const IntentStore& store(std::size_t i) const { return *hosts_[i].store; }
  // Replicas asked for, or -1.
  int Value(std::size_t i, const std::string& key) const {
    const auto it = store(i).documents().find(key);
    if (it == store(i).documents().end() || it->second.IsTombstone()) return -1;
    return static_cast<int>(std::get<ScaleOverride>(it->second.body).replicas);
  }

  Tunables tunables_;
  Prng prng_;
  Time now_ = Time{} + 1h;
  double loss_ = 0;
  double doubled_ = 0;
  Duration jitter_ = 1ms;
  Duration disk_time_ = 2ms;
  std::map<std::uint64_t, Result<Stamp>> replies_;
  std::map<std::uint64_t, Time> replied_at_;
  std::vector<DocumentHeldBack> held_;
  int offers_ = 0;

 private:
  struct Delivery {
    Time at;
    std::size_t from;
    std::size_t to;
    IntentInput input;
    std::function<void()> on_disk;
  };
  Now NowAt(std::size_t i) const {
    return {now_, kStart + ToMs(now_.time_since_epoch()) + hosts_[i].clock_error_ms};
  }
  static std::size_t IndexOf(NodeId id) { return static_cast<std::size_t>(id.bytes[0] - 1); }

  void Post(std::size_t from, NodeId to_id, const IntentInput& input) {
    const std::size_t to = IndexOf(to_id);
    if (to >= hosts_.size() || prng_.Chance(loss_)) return;
    for (int copy = prng_.Chance(doubled_) ? 2 : 1; copy > 0; --copy) {
      queue_.push_back({now_ + 1ms + prng_.Between(0s, jitter_), from, to, input, nullptr});
    }
  }
  void Gossip(std::size_t i) {
    hosts_[i].next_gossip = now_ + 300ms;
    const std::size_t j = prng_.Below(hosts_.size());
    if (j == i || !hosts_[j].store) return;
    Post(i, Node(j), ClockSample{Node(i), hosts_[i].clock_error_ms - hosts_[j].clock_error_ms});
    Post(i, Node(j), IntentDigestHeard{Node(i), hosts_[i].store->digest()});
  }
  void Carry(std::size_t i, const IntentOutput& output) {
    if (const auto* persist = std::get_if<Persist>(&output)) {
      for (const Document& document : persist->documents) key_of_[document.stamp] = document.key;
      if (!hosts_[i].disk_error.empty()) {
        queue_.push_back(
            {now_ + disk_time_, i, i, PersistFailed{persist->id, hosts_[i].disk_error}, nullptr});
        return;
      }
      const auto write = [this, i, documents = persist->documents] {
        for (const Document& document : documents) hosts_[i].disk[document.key] = document;
      };
      queue_.push_back({now_ + disk_time_, i, i, Persisted{persist->id}, write});
    } else if (const auto* link = std::get_if<SendLink>(&output)) {
      if (const auto* push = std::get_if<DocumentPush>(&link->message)) {
        Post(i, link->to, DocumentsReceived{Node(i), *push});
      } else {
        ++offers_;
        Post(i, link->to, DocumentOfferReceived{Node(i), std::get<DocumentOffer>(link->message)});
      }
    } else if (const auto* ack = std::get_if<AckDocument>(&output)) {
      // The promise behind every acknowledgement.
      const auto on_disk = hosts_[i].disk.find(key_of_.at(ack->stamp));
      EXPECT_TRUE(on_disk != hosts_[i].disk.end() &&
                  std::max(on_disk->second.stamp, on_disk->second.seen) >= ack->stamp)
          << "acknowledged before it was on disk";
      Post(i, ack->to, DocumentAcked{Node(i), ack->stamp});
    } else if (const auto* reply = std::get_if<Reply>(&output)) {
      EXPECT_FALSE(replies_.contains(reply->request.value)) << "a request is answered once";
      replies_.emplace(reply->request.value, reply->result);
      replied_at_[reply->request.value] = now_;
    } else if (const auto* held = std::get_if<DocumentHeldBack>(&output)) {
      held_.push_back(*held);
    }
  }

  std::map<Stamp, std::string> key_of_;
  std::deque<Host> hosts_;
  std::deque<Delivery> queue_;
};

const std::string kKey = ScaleKey("web");

TEST(IntentStoreTest, AWriteAloneIsAnsweredWhenItsOwnDiskHasItAndVisibleOnlyThen) {
  World world(1, 1);
  world.Write(0, 1, kKey, Scale(3));
  EXPECT_EQ(world.Value(0, kKey), -1);
  EXPECT_TRUE(world.replies_.empty());
  world.Run(5ms);
  EXPECT_EQ(world.Value(0, kKey), 3);
  ASSERT_TRUE(world.replies_.contains(1));
  EXPECT_TRUE(world.replies_.at(1).has_value());
}

TEST(IntentStoreTest, AWriteIsAnsweredAsSoonAsAllPresentHaveItOnDisk) {
  World world(9, 2);
  const Time start = world.now_;
  world.Write(4, 1, kKey, Scale(3));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_LT(world.replied_at_[1] - start, 50ms) << "well before write_wait";
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(world.Value(i, kKey), 3) << i;
}

TEST(IntentStoreTest, ANewBoxIsLetInAsSoonAsEnoughDisksHaveItsKey) {
  World world(5, 3);
  world.host(3).disk_error = "disk full";
  const Time start = world.now_;
  world.Write(0, 1, NodeKey(Node(77)), NodeDoc{Node(77), "new", {}});
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_LT(world.replied_at_[1] - start, 50ms);
}

TEST(IntentStoreTest, AMemberThatDoesNotStoreIsWaitedForUntilWriteWaitAndNoLonger) {
  World world(5, 3);
  world.host(3).disk_error = "disk full";
  const Time start = world.now_;
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_GE(world.replied_at_[1] - start, 200ms);
  EXPECT_LT(world.replied_at_[1] - start, 210ms);
}

TEST(IntentStoreTest, WhatAFullDiskRefusesGovernsAllTheSameAndIsKeptOnceThereIsRoom) {
  World world(5, 3);
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1s);
  world.host(3).disk_error = "disk full";
  world.Write(0, 2, kKey, std::monostate{});
  world.Write(0, 3, ScaleKey("api"), ScaleOverride{"api", 2});
  world.Run(1s);
  EXPECT_EQ(world.Value(3, kKey), -1) << "removed is removed";
  EXPECT_EQ(world.Value(3, ScaleKey("api")), 2);
  EXPECT_TRUE(world.Agree());
  EXPECT_FALSE(world.host(3).disk.at(kKey).IsTombstone());
  const int offers = world.offers_;
  world.Run(20s);
  EXPECT_EQ(world.offers_, offers) << "nobody has notes to compare";
  world.host(3).disk_error.clear();
  world.Run(3s);
  EXPECT_TRUE(world.host(3).disk.at(kKey).IsTombstone());
  EXPECT_TRUE(world.host(3).disk.contains(ScaleKey("api")));
}

// That it is acknowledged only from the disk is seen to by the world.
TEST(IntentStoreTest, WhatIsKeptInMemoryOnlyIsAcknowledgedWhenItIsOnDisk) {
  World world(3, 4);
  world.host(2).disk_error = "disk full";
  world.Write(0, 1, kKey, Scale(3));
  world.Run(3s);
  EXPECT_EQ(world.Value(2, kKey), 3);
  EXPECT_TRUE(world.replies_.empty()) << "on two of three";
  world.host(2).disk_error.clear();
  world.Run(2s);
  ASSERT_TRUE(world.replies_.contains(1));
  EXPECT_TRUE(world.replies_.at(1).has_value());
}

TEST(IntentStoreTest, OfTwoVersionsThatTheDiskRefusedTheNewerOneEndsOnIt) {
  World world(5, 6);
  world.host(4).disk_error = "disk full";
  for (std::uint64_t i = 1; i <= 3; ++i) {
    world.Write(0, i, kKey, Scale(static_cast<std::uint32_t>(i)));
    world.Run(700ms);
  }
  world.host(4).disk_error.clear();
  world.disk_time_ = 500ms;
  world.Write(1, 4, kKey, Scale(4));
  world.Run(10s);
  EXPECT_EQ(world.Value(4, kKey), 4);
  EXPECT_EQ(std::get<ScaleOverride>(world.host(4).disk.at(kKey).body).replicas, 4U);
}

TEST(IntentStoreTest, MembersThatTheFloodDidNotReachAreToldDirectlyWithinWriteWait) {
  World world(4, 15);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) world.Hand(i, LinkDown{Node(j), LinkEnd::kReset});
  }
  const Time start = world.now_;
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_LT(world.replied_at_[1] - start, 150ms);
}

TEST(IntentStoreTest, AFloodThatComesByManyLinksIsAcknowledgedOnceAndWhoAsksAgainIsAnsweredAgain) {
  const Now now{Time{} + 1h, kStart};
  IntentStore store({}, Node(0), {}, Prng(1), now);
  IntentPeers peers;
  for (std::size_t j = 1; j < 6; ++j)
    peers.present.emplace_back(Node(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
  store.Step(now, peers);
  const DocumentPush push{{{kKey, {kStart, 0, Node(5)}, Scale(3), {}}}, true, Node(5)};
  std::size_t acks = 0;
  const auto hand = [&](const IntentInput& input) {
    for (const IntentOutput& output : store.Step(now, input)) {
      acks += std::holds_alternative<AckDocument>(output);
      if (const auto* persist = std::get_if<Persist>(&output)) {
        for (const IntentOutput& later : store.Step(now, Persisted{persist->id}))
          acks += std::holds_alternative<AckDocument>(later);
      }
    }
  };
  for (std::size_t j = 1; j < 5; ++j) hand(DocumentsReceived{Node(j), push});
  EXPECT_EQ(acks, 1u);
  hand(DocumentsReceived{Node(5), push});
  EXPECT_EQ(acks, 2u) << "the writer asks for itself: it has not heard";
}

TEST(IntentStoreTest, OnlySomeOfManySilentMembersAreToldDirectlyAtOnce) {
  const Now now{Time{} + 1h, kStart};
  IntentStore store({}, Node(0), {}, Prng(1), now);
  IntentPeers peers;
  for (std::size_t j = 1; j < 60; ++j)
    peers.present.emplace_back(Node(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
  store.Step(now, peers);
  for (std::size_t j = 1; j < 60; ++j) store.Step(now, ClockSample{Node(j), 0});
  PersistId id;
  for (const IntentOutput& output : store.Step(now, ClientWrite{RequestId{1}, {{kKey, Scale(3)}}})) {
    if (const auto* persist = std::get_if<Persist>(&output)) id = persist->id;
  }
  store.Step(now, Persisted{id});
  std::size_t told = 0;
  for (const IntentOutput& output : store.Step({now.mono + 100ms, kStart + 100}, Tick{}))
    told += std::holds_alternative<SendLink>(output);
  EXPECT_GE(told, 3u);
  EXPECT_LE(told, 8u);
}

TEST(IntentStoreTest, APeerWithALowerFloorIsToldOfOursAlthoughItHasNothingForUs) {
  const Document floor{"token/.floor", {kStart, 0, Node(0)}, std::monostate{}, {}};
  IntentStore store({}, Node(0), {floor}, Prng(1), {Time{}, kStart});
  const auto out = store.Step({Time{}, kStart}, DocumentOfferReceived{Node(1), {true, {}, {}}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::get<DocumentOffer>(std::get<SendLink>(out[0]).message).floor, floor.stamp);
}

TEST(IntentStoreTest, TooFewCopiesAreAnErrorThatSaysHowManyThereAre) {
  World world(3, 4);
  world.host(1).disk_error = world.host(2).disk_error = "disk full";
  world.Write(0, 1, kKey, Scale(3));
  world.Run(4900ms);
  EXPECT_TRUE(world.replies_.empty()) << "it keeps trying";
  world.Run(200ms);
  ASSERT_TRUE(world.replies_.contains(1));
  ASSERT_FALSE(world.replies_.at(1).has_value());
  EXPECT_NE(world.replies_.at(1).error().message.find("1 of the 3"), std::string::npos);
}

TEST(IntentStoreTest, AFullDiskOfTheNodeThatTookTheWriteLeavesNoTraceAnywhere) {
  World world(3, 5);
  world.host(0).disk_error = "disk full";
  world.Write(0, 1, kKey, Scale(3));
  world.Run(5s);
  ASSERT_TRUE(world.replies_.contains(1) && !world.replies_.at(1).has_value());
  EXPECT_NE(world.replies_.at(1).error().message.find("disk full"), std::string::npos);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(world.store(i).documents().empty()) << i;
}

TEST(IntentStoreTest, SeveralDocumentsGoToDiskTogetherAndAreAnsweredTogether) {
  World world(1, 6);
  IntentStore store({}, Node(0), {}, Prng(1), {world.now_, kStart});
  const auto out =
      store.Step({world.now_, kStart},
                 ClientWrite{RequestId{9}, {{kKey, Scale(1)}, {ScaleKey("api"), ScaleOverride{"api", 2}}}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::get<Persist>(out[0]).documents.size(), 2u);
  const auto done = store.Step({world.now_, kStart}, Persisted{std::get<Persist>(out[0]).id});
  int replies = 0;
  for (const auto& output : done) replies += std::holds_alternative<Reply>(output) ? 1 : 0;
  EXPECT_EQ(replies, 1);
}

TEST(IntentStoreTest, MalformedWritesAreRefusedAndChangeNothing) {
  World world(1, 7);
  world.Write(0, 1, "scale/", Scale(1));
  world.Write(0, 2, "token/.floor", std::monostate{});
  world.Write(0, 3, ScaleKey("api"), Scale(1));
  world.Hand(0, ClientWrite{RequestId{4}, {}});
  world.Hand(0, ClientWrite{RequestId{5}, {{kKey, Scale(1)}, {kKey, Scale(2)}}});
  for (std::uint64_t id = 1; id <= 5; ++id) {
    ASSERT_TRUE(world.replies_.contains(id)) << id;
    ASSERT_FALSE(world.replies_.at(id).has_value()) << id;
    EXPECT_EQ(world.replies_.at(id).error().reaction, Reaction::kFixInput);
  }
  world.Hand(0,
             DocumentsReceived{Node(1), {{{"nonsense", {kStart, 0, Node(1)}, Scale(1), {}}}, true, Node(1)}});
  EXPECT_EQ(world.store(0).refused(), 1u);
  EXPECT_TRUE(world.store(0).documents().empty());
}

TEST(IntentStoreTest, EveryStoreConvergesThroughLossDuplicationReorderingAndPartition) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    World world(6, seed);
    world.loss_ = 0.3;
    world.doubled_ = 0.2;
    world.jitter_ = 80ms;
    for (std::uint64_t round = 0; round < 30; ++round) {
      if (round == 10) {
        for (std::size_t i = 0; i < 3; ++i) world.host(i).side = 1;
        world.Connect();
      }
      if (round == 20) {
        for (std::size_t i = 0; i < 3; ++i) world.host(i).side = 0;
        world.Connect();
      }
      const std::string service = "s" + std::to_string(world.prng_.Below(5));
      const auto value = static_cast<std::uint32_t>(round);
      world.Write(world.prng_.Below(6), round + 1, ScaleKey(service), ScaleOverride{service, value});
      world.Run(100ms);
    }
    world.loss_ = 0;
    world.Run(30s);
    EXPECT_TRUE(world.Agree()) << "seed " << seed;
    EXPECT_EQ(world.replies_.size(), 30u) << "every write is answered, seed " << seed;
    const int offers = world.offers_;
    world.Run(30s);
    EXPECT_EQ(world.offers_, offers) << "who agrees is silent, seed " << seed;
  }
}

TEST(IntentStoreTest, NothingAcknowledgedIsLostAsLongAsOneAcknowledgingDiskReturns) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    World world(5, seed);
    world.loss_ = 0.2;
    world.jitter_ = 20ms;
    std::map<std::uint64_t, std::string> keys;
    for (std::uint64_t round = 1; round <= 20; ++round) {
      const std::string service = "s" + std::to_string(round);
      keys[round] = ScaleKey(service);
      world.Write(world.prng_.Below(5), round, keys[round], ScaleOverride{service, 1});
      world.Run(world.prng_.Between(0s, 40ms));
    }
    const auto acknowledged = world.replies_;
    for (std::size_t i = 0; i < 5; ++i) world.Crash(i);  // some writes not on disk, some not answered
    // An acknowledged write has three copies at least, so any two disks may be lost.
    const std::size_t lost = world.prng_.Below(5);
    world.host(lost).disk.clear();
    world.host((lost + 1) % 5).disk.clear();
    for (std::size_t i = 0; i < 5; ++i) world.Start(i);
    world.loss_ = 0;
    world.Run(20s);
    EXPECT_TRUE(world.Agree()) << "seed " << seed;
    for (const auto& [request, result] : acknowledged) {
      if (!result) continue;
      for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(world.Value(i, keys[request]), 1) << "seed " << seed;
    }
  }
}

TEST(IntentStoreTest, AWriteLostToTheCrashBeforeItWasOnDiskWasNeverAnswered) {
  World world(1, 8);
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1ms);
  world.Crash(0);
  world.Start(0);
  world.Run(1s);
  EXPECT_TRUE(world.replies_.empty());
  EXPECT_EQ(world.Value(0, kKey), -1);
}

TEST(IntentStoreTest, TheLoserOfAConflictStaysReadableAndAnUpdateIsNoConflict) {
  World world(4, 9);
  world.Write(0, 1, kKey, Scale(1));
  world.Run(1s);
  world.Write(1, 2, kKey, Scale(2));
  world.Run(1s);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_TRUE(world.store(i).conflicts().empty()) << "its writer had read it";
  world.host(0).side = world.host(1).side = 1;
  world.Connect();
  world.Write(0, 3, kKey, Scale(3));
  world.Run(50ms);
  world.Write(2, 4, kKey, Scale(4));
  world.Run(1s);
  world.host(0).side = world.host(1).side = 0;
  world.Connect();
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  EXPECT_EQ(world.Value(0, kKey), 4) << "the later stamp wins";
  int kept = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    for (const Document& loser : world.store(i).conflicts()) {
      EXPECT_EQ(std::get<ScaleOverride>(loser.body).replicas, 3u);
      ++kept;
    }
  }
  EXPECT_GE(kept, 2) << "whoever held the loser keeps it";
}

TEST(IntentStoreTest, ANodeWithAWrongClockDoesNotWin) {
  World world(4, 10);
  world.host(3).clock_error_ms = 365LL * 24 * 3'600'000;
  world.Run(5s);
  world.Write(3, 1, kKey, Scale(1));
  world.Run(1s);
  world.Write(0, 2, kKey, Scale(2));
  world.Run(1s);
  EXPECT_TRUE(world.Agree());
  EXPECT_EQ(world.Value(3, kKey), 2)
      << "the later write wins, although the earlier one's box lives in the future";
  EXPECT_TRUE(world.held_.empty()) << "it stamps by the members' median";
}

// Five boxes; the first, whose calendar is a year ahead, is cut off and alone.
World AloneInTheFuture(std::uint64_t seed) {
  World world(5, seed);
  world.host(0).clock_error_ms = 365LL * 24 * 3'600'000;
  world.host(0).side = 1;
  world.Connect();
  world.Run(1s);
  return world;
}

TEST(IntentStoreTest, WhatABoxWroteAloneInTheFutureIsWrittenAnewWhenItMeetsTheOthers) {
  World world = AloneInTheFuture(16);
  world.Write(0, 1, kKey, Scale(1));
  world.Run(100ms);
  world.Write(0, 2, kKey, Scale(7));
  world.Write(0, 3, ScaleKey("api"), ScaleOverride{"api", 2});
  world.Run(10s);
  ASSERT_TRUE(world.replies_.at(2) && world.replies_.at(3));
  const WallMs written = kStart + ToMs((world.now_ - 10s).time_since_epoch());
  world.host(0).side = 0;
  world.Connect();
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(world.Value(i, kKey), 7) << i;
    EXPECT_EQ(world.Value(i, ScaleKey("api")), 2) << i;
    EXPECT_TRUE(world.store(i).held_back().empty()) << "what was taken back must not come up in a year";
    EXPECT_NEAR(static_cast<double>(world.store(i).documents().at(kKey).stamp.wall_ms),
                static_cast<double>(written), 100.0);
  }
}

// Boxes whose clocks were right took in what its box takes back, having been alone with wrong ones.
TEST(IntentStoreTest, WhoHoldsWhatWasTakenBackIsToldOfIt) {
  const Stamp taken_back{kStart, 0, Node(0)};
  const Document anew{kKey, {kStart - 3'600'000, 0, Node(0)}, Scale(1), taken_back};
  IntentStore store({}, Node(2), {anew}, Prng(1), {Time{}, kStart});
  store.Step({Time{}, kStart}, IntentPeer{Node(1), Endpoint{}});
  const auto told = [&](const Stamp& theirs) {
    const DocumentOffer offer{false, Stamp{}, {{kKey, theirs}}};
    std::vector<Document> documents;
    for (const auto& output : store.Step({Time{}, kStart}, DocumentOfferReceived{Node(1), offer})) {
      const auto* send = std::get_if<SendLink>(&output);
      const auto* push = send == nullptr ? nullptr : std::get_if<DocumentPush>(&send->message);
      if (push != nullptr) documents = push->documents;
    }
    return documents;
  };
  EXPECT_THAT(told(taken_back), ::testing::ElementsAre(anew));
  EXPECT_THAT(told({kStart + 1, 0, Node(0)}), ::testing::IsEmpty()) << "written later";
  EXPECT_THAT(told({kStart, 0, Node(3)}), ::testing::IsEmpty()) << "somebody else's";
}

TEST(IntentStoreTest, WhatABoxWritesAfterItCameBackFromTheFutureCountsForAll) {
  World world = AloneInTheFuture(19);
  world.Write(0, 1, kKey, Scale(1));
  world.Run(1s);
  world.host(0).side = 0;
  world.Connect();
  world.Run(20s);
  ASSERT_EQ(world.Value(4, kKey), 1);
  // The last one is away, and hears only of the last of what follows.
  world.host(4).side = 1;
  world.Connect();
  std::uint32_t value = 2;
  for (const std::size_t writer : {0UL, 0UL, 2UL, 0UL, 0UL}) {
    world.Write(writer, value, kKey, Scale(value));
    world.Run(10s);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(world.Value(i, kKey), static_cast<int>(value)) << i;
    ++value;
  }
  world.host(4).side = 0;
  world.Connect();
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  EXPECT_EQ(world.Value(4, kKey), static_cast<int>(value) - 1);
}

TEST(IntentStoreTest, WhatABoxWroteAloneInTheFutureDoesNotBeatWhatOthersWroteSince) {
  World world = AloneInTheFuture(17);
  world.Write(2, 1, ScaleKey("api"), ScaleOverride{"api", 1});
  world.Run(1s);
  world.Write(0, 2, kKey, Scale(7));
  world.Write(0, 3, ScaleKey("api"), ScaleOverride{"api", 9});
  world.Run(1s);
  world.Write(2, 4, kKey, Scale(3));
  world.Run(1s);
  world.host(0).side = 0;
  world.Connect();
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(world.Value(i, kKey), 3) << i << ": written later";
    EXPECT_EQ(world.Value(i, ScaleKey("api")), 9) << i << ": written earlier";
  }
  const auto kept = [&](std::size_t i, std::uint32_t replicas) {
    return std::ranges::any_of(world.store(i).conflicts(), [&](const Document& loser) {
      return std::get<ScaleOverride>(loser.body).replicas == replicas;
    });
  };
  EXPECT_TRUE(kept(0, 7)) << "the loser stays readable";
  EXPECT_TRUE(kept(2, 1)) << "it was overwritten unread";
}

TEST(IntentStoreTest, TwoBoxesThatLivedInTheFutureTogetherComeBackToThePresent) {
  World world(7, 18);
  for (const std::size_t i : {0UL, 1UL}) {
    world.host(i).clock_error_ms = 365LL * 24 * 3'600'000;
    world.host(i).side = 1;
  }
  world.Connect();
  world.Run(1s);
  world.Write(0, 1, kKey, Scale(5));
  world.Run(1s);
  ASSERT_EQ(world.Value(1, kKey), 5);
  for (const std::size_t i : {0UL, 1UL}) world.host(i).side = 0;
  world.Connect();
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(world.Value(i, kKey), 5) << i;
}

TEST(IntentStoreTest, DocumentsThatAllHoldFromTheFutureAreLeftAlone) {
  World world(5, 19);
  for (std::size_t i = 0; i < 5; ++i) world.host(i).clock_error_ms = 365LL * 24 * 3'600'000;
  world.Write(0, 1, kKey, Scale(5));
  world.Run(2s);
  const Stamp before = world.store(3).documents().at(kKey).stamp;
  for (std::size_t i = 0; i < 5; ++i) world.host(i).clock_error_ms = 0;  // somebody set all calendars
  world.Run(5s);
  world.Write(4, 2, ScaleKey("api"), ScaleOverride{"api", 1});
  world.Crash(2);
  world.Run(5s);
  world.Start(2);
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  EXPECT_EQ(world.store(3).documents().at(kKey).stamp, before);
}

TEST(IntentStoreTest, AStampFromTheFutureIsHeldBackUntilItsTimeAndDoesNotDragTheClock) {
  World world(1, 11);
  const WallMs ahead = kStart + ToMs(world.now_.time_since_epoch()) + 6 * 60'000;
  world.Hand(0, DocumentsReceived{Node(1), {{{kKey, {ahead, 0, Node(1)}, Scale(7), {}}}, true, NodeId{}}});
  world.Run(10ms);
  EXPECT_EQ(world.held_.size(), 1u);
  EXPECT_EQ(world.store(0).held_back().size(), 1u);
  EXPECT_EQ(world.Value(0, kKey), -1);
  world.Write(0, 1, ScaleKey("api"), ScaleOverride{"api", 1});
  world.Run(10ms);
  EXPECT_LT(world.replies_.at(1)->wall_ms, ahead - 5 * 60'000) << "our clock is where it was";
  world.Run(50s);
  EXPECT_EQ(world.Value(0, kKey), -1);
  world.Run(11s);
  EXPECT_EQ(world.Value(0, kKey), 7);
  EXPECT_TRUE(world.store(0).held_back().empty());
}

TEST(IntentStoreTest, ADeployWinsAlsoAfterAllClocksWereSetBack) {
  World world(3, 14);
  world.Write(0, 1, StackKey("shop", 1), StackSpec{"shop", {}});
  world.Run(1s);
  for (std::size_t i = 0; i < 3; ++i) world.host(i).clock_error_ms = -24LL * 3'600'000;
  world.Run(3s);
  world.Write(1, 2, StackKey("shop", 2), StackSpec{"shop", {}});
  world.Write(2, 3, ScaleKey("web"), Scale(4));
  world.Run(1s);
  EXPECT_TRUE(world.held_.empty());
  EXPECT_TRUE(world.Agree());
  EXPECT_TRUE(world.replies_.contains(2) && world.replies_.at(2).has_value());
  EXPECT_EQ(world.Value(0, ScaleKey("web")), 4);
  const Documents& documents = world.store(0).documents();
  EXPECT_GT(documents.at(StackKey("shop", 2)).stamp, documents.at(StackKey("shop", 1)).stamp);
}

TEST(IntentStoreTest, ANodeFromTheDrawerDoesNotBringBackWhatWasDeletedLongAgo) {
  Tunables tunables;
  tunables.tombstone_keep = 1h;
  World world(4, 12, tunables);  // three whose clocks agree may forget
  world.Write(0, 1, kKey, Scale(1));
  world.Write(0, 2, ScaleKey("api"), ScaleOverride{"api", 5});
  world.Run(2s);
  world.Crash(2);
  world.Write(0, 3, kKey, std::monostate{});
  world.Run(1s);
  world.now_ += 3h;
  world.Run(70s);
  ASSERT_FALSE(world.store(0).documents().contains(kKey)) << "the tombstone is forgotten";
  ASSERT_NE(world.store(0).floor(), Stamp{});
  world.Start(2);
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(world.Value(i, kKey), -1) << i;
    EXPECT_EQ(world.Value(i, ScaleKey("api")), 5) << "what still stands is kept, however old";
  }
  ASSERT_EQ(world.store(2).conflicts().size(), 1u) << "it stays visible";
  EXPECT_EQ(world.store(2).conflicts()[0].key, kKey);
  world.Crash(2);
  world.Start(2);
  EXPECT_EQ(world.Value(2, kKey), -1) << "also after a restart";
  EXPECT_EQ(world.store(2).floor(), world.store(0).floor());
}

TEST(IntentStoreTest, TwoNodesForgetNoDeletionsSinceOneClockMayBeAYearAhead) {
  Tunables tunables;
  tunables.tombstone_keep = 1h;
  World world(2, 14, tunables);
  world.Write(0, 1, kKey, Scale(1));
  world.Run(1s);
  world.Write(0, 2, kKey, std::monostate{});
  world.Run(1s);
  world.host(1).clock_error_ms = 365LL * 24 * 3'600'000;
  world.Run(70s);
  EXPECT_EQ(world.store(0).floor(), Stamp{});
  EXPECT_EQ(world.store(1).floor(), Stamp{});
}

TEST(IntentStoreTest, AClockThatIsSetWhileRunningDoesNotStampTheFuture) {
  World world(3, 15);
  world.Run(2s);
  world.host(0).clock_error_ms = 365LL * 24 * 3'600'000;
  world.Write(0, 1, kKey, Scale(1));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_TRUE(world.held_.empty());
  EXPECT_TRUE(world.Agree());
}

TEST(IntentStoreTest, ANewNodeTakesDocumentsOlderThanTheFloor) {
  Tunables tunables;
  tunables.tombstone_keep = 1h;
  World world(4, 13, tunables);
  world.Crash(2);
  world.Write(0, 1, ScaleKey("api"), ScaleOverride{"api", 5});
  world.Write(0, 2, kKey, Scale(1));
  world.Run(1s);
  world.Write(0, 3, kKey, std::monostate{});
  world.Run(1s);
  world.now_ += 3h;
  world.Run(70s);
  ASSERT_NE(world.store(0).floor(), Stamp{});
  world.Start(2);
  world.Run(20s);
  EXPECT_TRUE(world.Agree());
  EXPECT_EQ(world.Value(2, ScaleKey("api")), 5);
}

}  // namespace
}  // namespace hs
