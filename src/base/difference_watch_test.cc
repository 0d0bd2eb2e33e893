#include "base/difference_watch.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}
const Time kStart = Time{} + 1h;

DifferenceWatch Watch() { return DifferenceWatch(1s, 10s); }

// Twice, as it takes.
void Differs(DifferenceWatch& watch, std::uint8_t peer, Time from = kStart) {
  watch.Heard(from, Node(peer), 5, 6);
  watch.Heard(from + 1s, Node(peer), 5, 6);
}

TEST(DifferenceWatchTest, ADifferenceIsActedOnWhenItIsSaidAgainAfterAWhileAndOnlyOnce) {
  DifferenceWatch watch = Watch();
  watch.Heard(kStart, Node(2), 5, 6);
  watch.Heard(kStart + 999ms, Node(2), 5, 6);
  EXPECT_EQ(watch.Due(kStart + 1500ms, 6), std::nullopt) << "it may be over";
  watch.Heard(kStart + 2s, Node(2), 5, 6);
  EXPECT_EQ(watch.NextDeadline(), kStart + 2s);
  EXPECT_EQ(watch.Due(kStart + 2s, 6), Node(2));
  EXPECT_EQ(watch.Due(kStart + 8s, 6), std::nullopt) << "it takes fresh evidence to ask again";
  EXPECT_EQ(watch.NextDeadline(), kNever);
  watch.Heard(kStart + 8s, Node(2), 5, 6);
  EXPECT_EQ(watch.Due(kStart + 8s, 6), std::nullopt) << "and twice";
}

TEST(DifferenceWatchTest, WhoIsRarelyHeardIsAskedAfterSayingItOnce) {
  DifferenceWatch watch = Watch();
  watch.Heard(kStart, Node(2), 5, 6);
  EXPECT_EQ(watch.NextDeadline(), kStart + 3s);
  EXPECT_EQ(watch.Due(kStart + 2999ms, 6), std::nullopt);
  EXPECT_EQ(watch.Due(kStart + 3s, 6), Node(2));
}

TEST(DifferenceWatchTest, NewsUnderWayIsNoDifference) {
  DifferenceWatch watch = Watch();
  watch.Changed(kStart);
  watch.Heard(kStart + 500ms, Node(2), 5, 6);
  EXPECT_EQ(watch.NextDeadline(), kNever) << "we changed a moment ago";
  watch.Heard(kStart + 1600ms, Node(2), 5, 6);
  EXPECT_EQ(watch.Due(kStart + 1600ms, 6), std::nullopt) << "the first time does not count";
  watch.Changed(kStart + 2s);
  EXPECT_EQ(watch.Due(kStart + 5s, 7), std::nullopt) << "we changed since it was said";
  watch.Heard(kStart + 5s, Node(2), 5, 7);
  watch.Changed(kStart + 5500ms);
  watch.Heard(kStart + 6s, Node(2), 5, 8);
  EXPECT_EQ(watch.NextDeadline(), kNever) << "we changed in between";
}

TEST(DifferenceWatchTest, APeerThatCameToAgreeOrSaysNothingIsLeftAlone) {
  DifferenceWatch watch = Watch();
  Differs(watch, 2);
  watch.Heard(kStart + 1100ms, Node(2), 6, 6);
  watch.Heard(kStart + 1s, Node(3), 0, 6);
  watch.Heard(kStart + 3s, Node(3), 0, 6);
  EXPECT_EQ(watch.NextDeadline(), kNever);
  Differs(watch, 2, kStart + 3s);
  EXPECT_EQ(watch.Due(kStart + 4s, 5), std::nullopt) << "we came to what it said";
}

TEST(DifferenceWatchTest, ADifferenceThatLastsIsActedOnThoughNewsNeverStops) {
  DifferenceWatch watch = Watch();
  std::optional<NodeId> asked;
  for (Time now = kStart; now < kStart + 15s && !asked; now += 100ms) {
    watch.Changed(now);
    watch.Heard(now, Node(2), 5, 6);
    asked = watch.Due(now, 6);
    if (now < kStart + 10s) {
      EXPECT_FALSE(asked.has_value());
    }
  }
  EXPECT_EQ(asked, Node(2));
}

TEST(DifferenceWatchTest, WhereThereIsAlwaysNewsTheManyWhoDifferAreAskedAtAPace) {
  DifferenceWatch watch = Watch();
  int asked = 0;
  for (Time now = kStart; now < kStart + 60s; now += 100ms) {
    watch.Changed(now);
    for (std::uint8_t peer = 2; peer < 60; ++peer) watch.Heard(now, Node(peer), 5, 6);
    while (watch.Due(now, 6)) ++asked;
  }
  EXPECT_GE(asked, 15);
  EXPECT_LE(asked, 20);
}

TEST(DifferenceWatchTest, APeerThatKeepsDifferingIsAskedLessAndLessOften) {
  DifferenceWatch watch = Watch();
  std::vector<Time> asked;
  for (Time now = kStart; now < kStart + 60s; now += 50ms) {
    watch.Heard(now, Node(2), 5, 6);
    if (watch.Due(now, 6)) asked.push_back(now);
  }
  ASSERT_GE(asked.size(), 5u);
  EXPECT_LE(asked.size(), 9u);
  EXPECT_GE(asked.back() - asked[asked.size() - 2], 10s);
}

TEST(DifferenceWatchTest, TwoPeersAreNotAskedAtOnce) {
  DifferenceWatch watch = Watch();
  Differs(watch, 2);
  Differs(watch, 3);
  EXPECT_TRUE(watch.Due(kStart + 2s, 6).has_value());
  EXPECT_FALSE(watch.Due(kStart + 2s, 6).has_value());
  EXPECT_TRUE(watch.Due(kStart + 2250ms, 6).has_value());
}

TEST(DifferenceWatchTest, AfterALargeComparisonTheNextOneWaits) {
  DifferenceWatch watch = Watch();
  Differs(watch, 2);
  Differs(watch, 3);
  EXPECT_TRUE(watch.Due(kStart + 2s, 6).has_value());
  watch.NotBefore(kStart + 5s);
  EXPECT_EQ(watch.Due(kStart + 4999ms, 6), std::nullopt);
  EXPECT_EQ(watch.NextDeadline(), kStart + 5s);
  EXPECT_TRUE(watch.Due(kStart + 5s, 6).has_value());
}

}  // namespace
}  // namespace hs
