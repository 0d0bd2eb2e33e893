// A write: when it is answered, what is on which disk by then, and what full disks and lost messages change.
#include <gtest/gtest.h>

#include "core/intent/test_world.h"

namespace hs {
namespace {

TEST(IntentStoreWriteTest, AWriteAloneIsAnsweredWhenItsOwnDiskHasItAndVisibleOnlyThen) {
  World world(1, 1);
  world.Write(0, 1, kKey, Scale(3));
  EXPECT_EQ(world.Value(0, kKey), -1);
  EXPECT_TRUE(world.replies_.empty());
  world.Run(5ms);
  EXPECT_EQ(world.Value(0, kKey), 3);
  ASSERT_TRUE(world.replies_.contains(1));
  EXPECT_TRUE(world.replies_.at(1).has_value());
}

TEST(IntentStoreWriteTest, AWriteIsAnsweredAsSoonAsAllPresentHaveItOnDisk) {
  World world(9, 2);
  const Time start = world.now_;
  world.Write(4, 1, kKey, Scale(3));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_LT(world.replied_at_[1] - start, 50ms) << "well before write_wait";
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(world.Value(i, kKey), 3) << i;
}

TEST(IntentStoreWriteTest, ANewBoxIsLetInAsSoonAsEnoughDisksHaveItsKey) {
  World world(5, 3);
  world.host(3).disk_error = "disk full";
  const Time start = world.now_;
  world.Write(0, 1, NodeKey(IdOf(77)), NodeDoc{IdOf(77), "new", {}});
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_LT(world.replied_at_[1] - start, 50ms);
}

TEST(IntentStoreWriteTest, AMemberThatDoesNotStoreIsWaitedForUntilWriteWaitAndNoLonger) {
  World world(5, 3);
  world.host(3).disk_error = "disk full";
  const Time start = world.now_;
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_GE(world.replied_at_[1] - start, 200ms);
  EXPECT_LT(world.replied_at_[1] - start, 210ms);
}

TEST(IntentStoreWriteTest, MembersThatTheFloodDidNotReachAreToldDirectlyWithinWriteWait) {
  World world(4, 15);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) world.Hand(i, LinkDown{IdOf(j), LinkEnd::kReset});
  }
  const Time start = world.now_;
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_LT(world.replied_at_[1] - start, 150ms);
}

TEST(IntentStoreWriteTest, AFloodThatComesByManyLinksIsAcknowledgedOnceAndWhoAsksAgainIsAnsweredAgain) {
  const Now now{Time{} + 1h, kStart};
  IntentStore store({}, IdOf(0), {}, now);
  IntentPeers peers;
  for (std::size_t j = 1; j < 6; ++j)
    peers.present.emplace_back(IdOf(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
  store.Step(now, peers);
  const DocumentPush push{{{kKey, {kStart, 0, IdOf(5)}, Scale(3), {}}}, true, IdOf(5)};
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
  for (std::size_t j = 1; j < 5; ++j) hand(DocumentsReceived{IdOf(j), push});
  EXPECT_EQ(acks, 1u);
  hand(DocumentsReceived{IdOf(5), push});
  EXPECT_EQ(acks, 2u) << "the writer asks for itself: it has not heard";
}

TEST(IntentStoreWriteTest, OnlySomeOfManySilentMembersAreToldDirectlyAtOnce) {
  const Now now{Time{} + 1h, kStart};
  IntentStore store({}, IdOf(0), {}, now);
  IntentPeers peers;
  for (std::size_t j = 1; j < 60; ++j)
    peers.present.emplace_back(IdOf(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
  store.Step(now, peers);
  for (std::size_t j = 1; j < 60; ++j) store.Step(now, ClockSample{IdOf(j), 0});
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

TEST(IntentStoreWriteTest, SeveralDocumentsGoToDiskTogetherAndAreAnsweredTogether) {
  World world(1, 6);
  IntentStore store({}, IdOf(0), {}, {world.now_, kStart});
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

TEST(IntentStoreWriteTest, MalformedWritesAreRefusedAndChangeNothing) {
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
             DocumentsReceived{IdOf(1), {{{"nonsense", {kStart, 0, IdOf(1)}, Scale(1), {}}}, true, IdOf(1)}});
  EXPECT_EQ(world.store(0).refused(), 1u);
  EXPECT_TRUE(world.store(0).documents().empty());
}

TEST(IntentStoreWriteTest, AWriteLostToTheCrashBeforeItWasOnDiskWasNeverAnswered) {
  World world(1, 8);
  world.Write(0, 1, kKey, Scale(3));
  world.Run(1ms);
  world.Crash(0);
  world.Start(0);
  world.Run(1s);
  EXPECT_TRUE(world.replies_.empty());
  EXPECT_EQ(world.Value(0, kKey), -1);
}

TEST(IntentStoreWriteTest, TooFewCopiesAreAnErrorThatSaysHowManyThereAre) {
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

TEST(IntentStoreWriteTest, AFullDiskOfTheNodeThatTookTheWriteLeavesNoTraceAnywhere) {
  World world(3, 5);
  world.host(0).disk_error = "disk full";
  world.Write(0, 1, kKey, Scale(3));
  world.Run(5s);
  ASSERT_TRUE(world.replies_.contains(1) && !world.replies_.at(1).has_value());
  EXPECT_NE(world.replies_.at(1).error().message.find("disk full"), std::string::npos);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(world.store(i).documents().empty()) << i;
}

TEST(IntentStoreWriteTest, WhatAFullDiskRefusesGovernsAllTheSameAndIsKeptOnceThereIsRoom) {
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
TEST(IntentStoreWriteTest, WhatIsKeptInMemoryOnlyIsAcknowledgedWhenItIsOnDisk) {
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

TEST(IntentStoreWriteTest, OfTwoVersionsThatTheDiskRefusedTheNewerOneEndsOnIt) {
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

}  // namespace
}  // namespace hs
