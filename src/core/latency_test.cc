#include "core/latency.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace hs {
namespace {

TEST(Latency, ComesBackWithinFivePercent) {
  for (double seconds = 2e-6; seconds < 3600; seconds *= 1.37) {
    const double back = LatencyOf(LatencyBucket(seconds));
    EXPECT_NEAR(back / seconds, 1, 0.0501) << seconds;
  }
}

TEST(Latency, ExtremesAreCountedAndNotLost) {
  EXPECT_EQ(LatencyBucket(0), 0);
  EXPECT_EQ(LatencyBucket(-1), 0) << "a clock that ran backwards";
  EXPECT_EQ(LatencyBucket(1e9), kLatencyBucketMax);
}

TEST(Latency, ReadsQuantilesAndTheMean) {
  std::map<std::uint16_t, std::uint32_t> counts;
  for (int ms = 1; ms <= 1000; ++ms) ++counts[LatencyBucket(ms / 1000.0)];
  const LatencyCounts sorted(counts.begin(), counts.end());
  EXPECT_NEAR(LatencyQuantile(sorted, 0), 0.001, 0.0001);
  EXPECT_NEAR(LatencyQuantile(sorted, 0.5), 0.5, 0.03);
  EXPECT_NEAR(LatencyQuantile(sorted, 0.99), 0.99, 0.06);
  EXPECT_NEAR(LatencyQuantile(sorted, 1), 1.0, 0.06);
  EXPECT_NEAR(LatencyMean(sorted), 0.5, 0.03);
}

TEST(Latency, CountsUpToABound) {
  std::vector<double> counts(kLatencyBucketMax + 1);
  counts[LatencyBucket(0.004)] = 10;
  counts[LatencyBucket(0.2)] = 5;
  EXPECT_DOUBLE_EQ(LatencyAtMost(counts, 0.001), 0);
  EXPECT_DOUBLE_EQ(LatencyAtMost(counts, 0.01), 10);
  EXPECT_DOUBLE_EQ(LatencyAtMost(counts, 1), 15);
  EXPECT_DOUBLE_EQ(LatencyAtMost(counts, 1e9), 15);
  double before = 0;
  for (double bound = 0.0035; bound < 0.0045; bound += 1e-5) {
    const double now = LatencyAtMost(counts, bound);
    EXPECT_GE(now, before) << bound;
    EXPECT_LE(now - before, 1) << "the bucket a bound lies in counts in part";
    before = now;
  }
}

}  // namespace
}  // namespace hs
