// Many stores become one: they agree, keep what was acknowledged, show what lost a conflict, and forget
// deletions without bringing the deleted back. Writes are in store_write_test.cc, wrong calendars in
// store_clock_test.cc.
#include "core/intent/store.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/intent/test_world.h"

namespace hs {
namespace {

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
  EXPECT_FALSE(world.host(0).disk.contains(kKey)) << "and takes no room on the disk";
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

TEST(IntentStoreTest, APeerWithALowerFloorIsToldOfOursAlthoughItHasNothingForUs) {
  const Document floor{"token/.floor", {kStart, 0, IdOf(0)}, std::monostate{}, {}};
  IntentStore store({}, IdOf(0), {floor}, {Time{}, kStart});
  const auto out = store.Step({Time{}, kStart}, DocumentOfferReceived{IdOf(1), {true, {}, {}}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::get<DocumentOffer>(std::get<SendLink>(out[0]).message).floor, floor.stamp);
}

TEST(IntentStoreTest, WhatWasForgottenStaysSoThoughItsRowIsStillThere) {
  const Document floor{"token/.floor", {kStart, 0, IdOf(1)}, std::monostate{}, {}};
  const Document below{kKey, {kStart, 0, IdOf(0)}, std::monostate{}, {}};
  const Document above{ScaleKey("api"), {kStart + 1, 0, IdOf(0)}, std::monostate{}, {}};
  const IntentStore store({}, IdOf(0), {above, below, floor}, {Time{}, kStart});
  EXPECT_FALSE(store.documents().contains(kKey));
  EXPECT_TRUE(store.documents().contains(ScaleKey("api")));
}

TEST(IntentStoreTest, ATombstoneIsNotForgottenWhileANewerVersionIsBeingWritten) {
  Tunables tunables;
  tunables.tombstone_keep = 1h;
  IntentStore store(tunables, IdOf(0), {Document{kKey, {kStart, 0, IdOf(0)}, std::monostate{}, {}}},
                    {Time{}, kStart});
  IntentPeers peers;
  for (int i = 1; i <= 3; ++i)
    peers.present.emplace_back(IdOf(i),
                               Endpoint{IpAddress::V4(10, 0, 0, static_cast<std::uint8_t>(i)), 7700});
  store.Step({Time{}, kStart}, peers);
  for (int i = 1; i <= 3; ++i) store.Step({Time{}, kStart}, ClockSample{IdOf(i), 0});
  const Now later{Time{3h}, kStart + ToMs(3h)};
  store.Step(later, ClientWrite{RequestId{1}, {{kKey, Scale(2)}}});
  const auto erases = [](const IntentOutputs& outputs) {
    return std::ranges::any_of(outputs, [](const IntentOutput& output) {
      const auto* persist = std::get_if<Persist>(&output);
      return persist != nullptr && std::ranges::any_of(persist->documents, [](const Document& document) {
               return document.key == kKey && document.stamp == Stamp{};
             });
    });
  };
  EXPECT_FALSE(erases(store.Step(later, Tick{}))) << "its row would go after the new one came";
}

TEST(IntentStoreTest, ANewcomerIsToldOfManyStacksInMessagesThatLinksTake) {
  std::vector<Document> documents;
  for (std::uint64_t revision = 1; revision <= 20; ++revision)
    documents.push_back({StackKey("shop", revision), {kStart, 0, IdOf(0)}, StackSpec{"shop", {}}, {}});
  for (int i = 0; i < 300; ++i) {
    const std::string service = "s" + std::to_string(i);
    documents.push_back({ScaleKey(service), {kStart, 0, IdOf(0)}, ScaleOverride{service, 1}, {}});
  }
  IntentStore store({}, IdOf(0), documents, {Time{}, kStart});
  std::size_t told = 0;
  for (const auto& out : store.Step({Time{}, kStart}, DocumentOfferReceived{IdOf(1), {true, {}, {}}})) {
    const auto& push = std::get<DocumentPush>(std::get<SendLink>(out).message);
    const auto stacks = std::ranges::count_if(
        push.documents, [](const Document& each) { return std::holds_alternative<StackSpec>(each.body); });
    EXPECT_LE(stacks, 8) << "of 4 MiB each, where a message may have 64";
    EXPECT_LE(push.documents.size(), 128u);
    told += push.documents.size();
  }
  EXPECT_EQ(told, documents.size());
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

}  // namespace
}  // namespace hs
