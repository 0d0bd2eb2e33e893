#include "core/latency.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hs {
namespace {

std::uint64_t Total(const LatencyCounts& counts) {
  std::uint64_t total = 0;
  for (const auto& [bucket, count] : counts) total += count;
  return total;
}

}  // namespace

std::uint16_t LatencyBucket(double seconds) {
  const double us = seconds * 1e6;
  if (!(us > 1)) return 0;
  const double bucket = std::ceil(std::log(us) / std::log(kLatencyBase) - 1e-9);
  return static_cast<std::uint16_t>(std::min<double>(bucket, kLatencyBucketMax));
}

double LatencyOf(std::uint16_t bucket) {
  if (bucket == 0) return 0.5e-6;
  // The point with the same relative error to both edges.
  return 2 * std::pow(kLatencyBase, bucket) / (1 + kLatencyBase) * 1e-6;
}

double LatencyMean(const LatencyCounts& counts) {
  HS_CHECK(!counts.empty());
  double sum = 0;
  for (const auto& [bucket, count] : counts) sum += LatencyOf(bucket) * count;
  return sum / static_cast<double>(Total(counts));
}

double LatencyQuantile(const LatencyCounts& counts, double q) {
  HS_CHECK(!counts.empty());
  const double rank = q * static_cast<double>(Total(counts) - 1);
  std::uint64_t seen = 0;
  for (const auto& [bucket, count] : counts) {
    seen += count;
    if (static_cast<double>(seen) > rank) return LatencyOf(bucket);
  }
  return LatencyOf(counts.back().first);
}

double LatencyAtMost(std::span<const double> counts, double seconds) {
  const std::size_t last = LatencyBucket(seconds);
  double sum = 0;
  for (std::size_t bucket = 0; bucket < std::min(last, counts.size()); ++bucket) sum += counts[bucket];
  if (last >= counts.size()) return sum;
  const double high = std::pow(kLatencyBase, static_cast<double>(last)) * 1e-6;
  const double low = last == 0 ? 0 : high / kLatencyBase;
  return sum + counts[last] * std::clamp((seconds - low) / (high - low), 0.0, 1.0);
}

}  // namespace hs
