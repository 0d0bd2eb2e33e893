// Wrong calendars: whose stamps win, what is held back, and what is written anew when a box comes back from
// the future.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/intent/test_world.h"

namespace hs {
namespace {

TEST(IntentStoreClockTest, ANodeWithAWrongClockDoesNotWin) {
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

TEST(IntentStoreClockTest, AClockThatIsSetWhileRunningDoesNotStampTheFuture) {
  World world(3, 15);
  world.Run(2s);
  world.host(0).clock_error_ms = 365LL * 24 * 3'600'000;
  world.Write(0, 1, kKey, Scale(1));
  world.Run(1s);
  ASSERT_TRUE(world.replies_.contains(1) && world.replies_.at(1).has_value());
  EXPECT_TRUE(world.held_.empty());
  EXPECT_TRUE(world.Agree());
}

TEST(IntentStoreClockTest, AStampFromTheFutureIsHeldBackUntilItsTimeAndDoesNotDragTheClock) {
  World world(1, 11);
  const WallMs ahead = kStart + ToMs(world.now_.time_since_epoch()) + 6 * 60'000;
  world.Hand(0, DocumentsReceived{IdOf(1), {{{kKey, {ahead, 0, IdOf(1)}, Scale(7), {}}}, true, NodeId{}}});
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

TEST(IntentStoreClockTest, ADeployWinsAlsoAfterAllClocksWereSetBack) {
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

TEST(IntentStoreClockTest, DocumentsThatAllHoldFromTheFutureAreLeftAlone) {
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

// Five boxes; the first, whose calendar is a year ahead, is cut off and alone.
World AloneInTheFuture(std::uint64_t seed) {
  World world(5, seed);
  world.host(0).clock_error_ms = 365LL * 24 * 3'600'000;
  world.host(0).side = 1;
  world.Connect();
  world.Run(1s);
  return world;
}

TEST(IntentStoreClockTest, WhatABoxWroteAloneInTheFutureIsWrittenAnewWhenItMeetsTheOthers) {
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

TEST(IntentStoreClockTest, WhatABoxWroteAloneInTheFutureDoesNotBeatWhatOthersWroteSince) {
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

TEST(IntentStoreClockTest, WhatABoxWritesAfterItCameBackFromTheFutureCountsForAll) {
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

// Boxes whose clocks were right took in what its box takes back, having been alone with wrong ones.
TEST(IntentStoreClockTest, WhoHoldsWhatWasTakenBackIsToldOfIt) {
  const Stamp taken_back{kStart, 0, IdOf(0)};
  const Document anew{kKey, {kStart - 3'600'000, 0, IdOf(0)}, Scale(1), taken_back};
  IntentStore store({}, IdOf(2), {anew}, {Time{}, kStart});
  store.Step({Time{}, kStart}, IntentPeer{IdOf(1), Endpoint{}});
  const auto told = [&](const Stamp& theirs) {
    const DocumentOffer offer{false, Stamp{}, {{kKey, theirs}}};
    std::vector<Document> documents;
    for (const auto& output : store.Step({Time{}, kStart}, DocumentOfferReceived{IdOf(1), offer})) {
      const auto* send = std::get_if<SendLink>(&output);
      const auto* push = send == nullptr ? nullptr : std::get_if<DocumentPush>(&send->message);
      if (push != nullptr) documents = push->documents;
    }
    return documents;
  };
  EXPECT_THAT(told(taken_back), ::testing::ElementsAre(anew));
  EXPECT_THAT(told({kStart + 1, 0, IdOf(0)}), ::testing::IsEmpty()) << "written later";
  EXPECT_THAT(told({kStart, 0, IdOf(3)}), ::testing::IsEmpty()) << "somebody else's";
}

TEST(IntentStoreClockTest, TwoBoxesThatLivedInTheFutureTogetherComeBackToThePresent) {
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

}  // namespace
}  // namespace hs
