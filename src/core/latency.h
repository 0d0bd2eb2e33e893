// Response times as counts by bucket: how doors count them and how quantiles are read back.
//
// A logarithmic histogram as in DDSketch (Masson, Rim, Lee 2019): bucket i holds (1.1^(i-1), 1.1^i]
// microseconds, bucket 0 everything up to 1 microsecond. So any quantile read back is within 5 % of the true
// one, and two histograms add up bucket by bucket without loss.
#pragma once

#include <cstdint>
#include <span>

#include "core/load.h"

namespace hs {

inline constexpr double kLatencyBase = 1.1;
inline constexpr std::uint16_t kLatencyBucketMax = 240;  // 2.4 hours; what is longer is counted there

std::uint16_t LatencyBucket(double seconds);
// The middle of a bucket.
double LatencyOf(std::uint16_t bucket);

// Counts must not be empty. Seconds; q from 0 to 1.
double LatencyMean(const LatencyCounts& counts);
double LatencyQuantile(const LatencyCounts& counts, double q);

// How many of the counts, by bucket from 0 on, are at most `seconds`. The bucket that the bound lies in
// counts in part, evenly.
double LatencyAtMost(std::span<const double> counts, double seconds);

}  // namespace hs
