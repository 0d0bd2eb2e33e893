#include "core/observation/load_book.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}

LoadReport Of(std::vector<std::uint8_t> nodes, float arrivals) {
  LoadReport report;
  for (const auto n : nodes) report.nodes.push_back({.node = Node(n), .cpu = 1});
  report.services.push_back({.service = "web", .arrivals_s = arrivals, .replicas = 1});
  report.services.back().latency = {{10, 1}, {20, 2}};
  return report;
}

TEST(LoadBook, SumsWhatCameFromDifferentNodes) {
  LoadBook book;
  book.Take(Time(0s), Node(1), Of({1}, 5));
  book.Take(Time(1s), Node(2), Of({2, 3}, 7));
  const LoadReport sum = book.Sum(Time(1s));
  ASSERT_EQ(sum.nodes.size(), 3u);
  EXPECT_EQ(sum.nodes[0].node, Node(1));
  ASSERT_EQ(sum.services.size(), 1u);
  EXPECT_EQ(sum.services[0].arrivals_s, 12);
  EXPECT_EQ(sum.services[0].replicas, 2u);
  EXPECT_EQ(sum.services[0].latency, (LatencyCounts{{10, 2}, {20, 4}}));
}

TEST(LoadBook, ReplacesASendersLastWord) {
  LoadBook book;
  book.Take(Time(0s), Node(1), Of({1}, 5));
  book.Take(Time(1s), Node(1), Of({1}, 6));
  EXPECT_EQ(book.Sum(Time(1s)).services[0].arrivals_s, 6);
}

TEST(LoadBook, AMonitorsSumDoesNotReplaceWhatItSaidOfItself) {
  LoadBook book;  // of a monitor that is watched by node 1 and watches it
  book.Take(Time(0s), Node(1), Of({1}, 5));
  book.Take(Time(0s), Node(1), Of({2}, 7));
  EXPECT_EQ(book.Sum(Time(1s)).services[0].arrivals_s, 12);
  EXPECT_EQ(book.SumOf(Time(1s), {Node(1)}).services[0].arrivals_s, 5);
  book.Take(Time(1s), Node(1), Of({2, 3}, 8));
  EXPECT_EQ(book.Sum(Time(1s)).services[0].arrivals_s, 13);
  book.Forget(Node(1));
  EXPECT_TRUE(book.Sum(Time(1s)).nodes.empty());
}

TEST(LoadBook, CountsNoNodeTwiceWhenItsMonitorChanges) {
  LoadBook book;
  book.Take(Time(0s), Node(1), Of({1, 3}, 5));
  book.Take(Time(1s), Node(2), Of({2, 3}, 7));
  const LoadReport sum = book.Sum(Time(1s));
  EXPECT_EQ(sum.services[0].arrivals_s, 7) << "the newer word counts alone";
  EXPECT_EQ(sum.nodes.size(), 2u) << "and the rest of the older one is missing, not assumed";
}

TEST(LoadBook, OldWordsAreSilence) {
  LoadBook book;
  book.Take(Time(0s), Node(1), Of({1}, 5));
  EXPECT_EQ(book.Sum(Time(kLoadFresh)).nodes.size(), 1u);
  EXPECT_TRUE(book.Sum(Time(kLoadFresh) + 1ms).nodes.empty());
}

TEST(LoadBook, IdleNodesMaySpeakLessOften) {
  LoadBook book;
  book.Take(Time(0s), Node(1), Of({1}, 0));
  ASSERT_TRUE(IsIdle(Of({1}, 0)));
  EXPECT_EQ(book.Sum(Time(kLoadFreshIdle)).nodes.size(), 1u);
  EXPECT_TRUE(book.Sum(Time(kLoadFreshIdle) + 1ms).nodes.empty());
}

// At these moments of every second somebody speaks; a round ends with one of them.
TEST(LoadBook, ARoundEndsWithWhoTheLongestPauseFollows) {
  struct Case {
    std::vector<int> at_ms;
    int end_ms;
  };
  for (const auto& [at_ms, end_ms] : {Case{{300}, 300}, Case{{0, 300, 450}, 450}, Case{{100, 150, 900}, 150},
                                      Case{{0, 1, 2}, 2}, Case{{50, 940}, 50}}) {
    LoadBook book;
    for (int ms = 0; ms < 5000; ++ms) {
      const Time now = Time(1h) + ms * 1ms;
      for (std::size_t i = 0; i < at_ms.size(); ++i) {
        if (ms % 1000 != at_ms[i]) continue;
        const auto node = static_cast<std::uint8_t>(i + 1);
        book.Take(now, Node(node), Of({node}, 5));
        if (ms < 1000) continue;
        EXPECT_EQ(book.EndsRound(now), at_ms[i] == end_ms) << ms << " ms";
      }
    }
    EXPECT_FALSE(book.EndsRound(Time(1h) + 5001ms)) << "nobody spoke just now";
  }
}

TEST(LoadBook, TheIdleAndTheLateAreNotWaitedFor) {
  LoadBook book;
  book.Take(Time(1h), Node(1), Of({1}, 0));
  EXPECT_FALSE(book.AnyBusy(Time(1h)));
  book.Take(Time(1h) + 600ms, Node(2), Of({2}, 5));
  EXPECT_TRUE(book.EndsRound(Time(1h) + 600ms));
  book.Take(Time(1h) + 700ms, Node(3), Of({3}, 5));
  book.Take(Time(1h) + 1700ms, Node(3), Of({3}, 5));
  EXPECT_FALSE(book.EndsRound(Time(1h) + 1700ms)) << "the second may still come";
  book.Take(Time(1h) + 2700ms, Node(3), Of({3}, 5));
  EXPECT_TRUE(book.EndsRound(Time(1h) + 2700ms));
  const std::vector<NodeId> others{Node(2)};
  EXPECT_FALSE(book.EndsRound(Time(1h) + 2700ms, &others));
}

TEST(LoadBook, AQueueWithoutArrivalsIsNotIdle) {
  LoadReport report = Of({1}, 0);
  report.services[0].queued = 1;
  EXPECT_FALSE(IsIdle(report));
}

}  // namespace
}  // namespace hs
