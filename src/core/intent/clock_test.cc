#include "core/intent/clock.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}
constexpr WallMs kNow = 1'800'000'000'000;

TEST(HybridClockTest, TheMedianOfTheMembersCountsAndOneWrongClockDoesNot) {
  struct Row {
    std::vector<std::int64_t> offsets;
    std::int64_t median;
    const char* why;
  };
  const Row rows[] = {
      {{}, 0, "alone: our own"},
      {{1'000'000, 10}, 10, "one far ahead of two"},
      {{-1'000'000, -10}, -10, "one far behind of two"},
      {{-1'000'000}, 0, "of two the later counts: lost clocks start in the past"},
      {{1'000'000}, 1'000'000, "of two the later counts, on both sides"},
      {{86'400'000, 86'400'000, 86'400'001}, 86'400'000, "ours is the wrong one"},
  };
  for (const Row& row : rows) {
    HybridClock clock(Node(1), 5min);
    std::uint8_t peer = 2;
    for (const std::int64_t offset : row.offsets) clock.Sample(Node(peer++), offset);
    EXPECT_EQ(clock.Median(kNow), kNow + row.median) << row.why;
  }
}

TEST(HybridClockTest, StampsGrowThoughTheClockStandsStillOrRunsBackwardsALittle) {
  HybridClock clock(Node(1), 5min);
  Stamp last;
  for (const WallMs now : {kNow, kNow, kNow - 240'000, kNow + 1}) {
    const Stamp next = clock.Next({}, now);
    EXPECT_GT(next, last);
    last = next;
  }
}

TEST(HybridClockTest, AStampIsGreaterThanAllSeenUnlessThoseAreTooFarAhead) {
  HybridClock clock(Node(1), 5min);
  clock.Saw({kNow + 60'000, 7, Node(2)}, kNow);
  EXPECT_EQ(clock.Next({}, kNow), (Stamp{kNow + 60'000, 8, Node(1)}));
  clock.Saw({kNow + 6 * 60'000, 0, Node(2)}, kNow);
  EXPECT_EQ(clock.Next({}, kNow), (Stamp{kNow + 60'000, 9, Node(1)}));
}

TEST(HybridClockTest, AWriteOverAStampFromTheFutureIsGreaterThanItButTheClockStays) {
  HybridClock clock(Node(1), 5min);
  const Stamp future{kNow + 3'600'000, 0, Node(2)};
  EXPECT_GT(clock.Next(future, kNow), future);
  EXPECT_EQ(clock.Next({}, kNow).wall_ms, kNow);
}

TEST(HybridClockTest, ACounterAtItsEndCarriesIntoTheMillisecond) {
  HybridClock clock(Node(1), 5min);
  clock.Saw({kNow, 0xffffffff, Node(9)}, kNow);
  EXPECT_EQ(clock.Next({}, kNow), (Stamp{kNow + 1, 0, Node(1)}));
}

TEST(HybridClockTest, AbsurdOffsetsAndStampsOverflowNothing) {
  HybridClock clock(Node(1), 5min);
  clock.Sample(Node(2), std::numeric_limits<std::int64_t>::max());
  clock.Sample(Node(3), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(clock.Median(kNow), kNow);
  EXPECT_GT(clock.UntilDue(std::numeric_limits<std::int64_t>::max(), kNow), 24h);
  EXPECT_EQ(clock.UntilDue(std::numeric_limits<std::int64_t>::min(), kNow), Duration::zero());
}

TEST(HybridClockTest, WhoIsNoMemberAnyMoreDoesNotCount) {
  HybridClock clock(Node(1), 5min);
  clock.Sample(Node(2), 500);
  clock.Sample(Node(3), 500);
  clock.Forget(Node(3));
  EXPECT_EQ(clock.Median(kNow), kNow + 500);
  clock.Forget(Node(2));
  EXPECT_EQ(clock.Median(kNow), kNow);
}

}  // namespace
}  // namespace hs
