#include "core/latency.h"

#include <gtest/gtest.h>

#include <map>

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

}  // namespace
}  // namespace hs
