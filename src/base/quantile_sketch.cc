#include "base/quantile_sketch.h"

#include <algorithm>
#include <cmath>

namespace hs {
namespace {

constexpr double kGrowth = (1 + QuantileSketch::kAccuracy) / (1 - QuantileSketch::kAccuracy);
// Far outside every finite double: ln(1.8e308) / ln(kGrowth) is about 35,500.
constexpr std::int32_t kIndexMax = 40'000;

std::int32_t IndexOf(double value) {
  static const double scale = 1 / std::log(kGrowth);
  return static_cast<std::int32_t>(std::ceil(std::log(value) * scale));
}

// The value whose relative distance to both ends of the bucket is the same.
double Middle(std::int32_t index) { return 2 * std::pow(kGrowth, index) / (kGrowth + 1); }

}  // namespace

QuantileSketch::QuantileSketch(std::uint64_t zeros, std::vector<Bucket> buckets) : zeros_(zeros) {
  std::erase_if(buckets,
                [](const Bucket& b) { return b.count == 0 || b.index > kIndexMax || b.index < -kIndexMax; });
  std::stable_sort(buckets.begin(), buckets.end(),
                   [](const Bucket& a, const Bucket& b) { return a.index < b.index; });
  for (const Bucket& bucket : buckets) {
    if (!buckets_.empty() && buckets_.back().index == bucket.index) {
      buckets_.back().count += bucket.count;
    } else {
      buckets_.push_back(bucket);
    }
  }
  Bound();
}

void QuantileSketch::Add(double value, std::uint64_t count) {
  if (!(value >= 0) || std::isinf(value) || count == 0) return;
  if (value < kLeast) {
    zeros_ += count;
    return;
  }
  const std::int32_t index = IndexOf(value);
  const auto at = std::lower_bound(buckets_.begin(), buckets_.end(), index,
                                   [](const Bucket& b, std::int32_t i) { return b.index < i; });
  if (at != buckets_.end() && at->index == index) {
    at->count += count;
    return;
  }
  buckets_.insert(at, {index, count});
  Bound();
}

void QuantileSketch::Merge(const QuantileSketch& other) {
  zeros_ += other.zeros_;
  std::vector<Bucket> sum;
  sum.reserve(buckets_.size() + other.buckets_.size());
  auto a = buckets_.begin();
  auto b = other.buckets_.begin();
  while (a != buckets_.end() || b != other.buckets_.end()) {
    if (b == other.buckets_.end() || (a != buckets_.end() && a->index < b->index)) {
      sum.push_back(*a++);
    } else if (a == buckets_.end() || b->index < a->index) {
      sum.push_back(*b++);
    } else {
      sum.push_back({a->index, a->count + b->count});
      ++a;
      ++b;
    }
  }
  buckets_ = std::move(sum);
  Bound();
}

void QuantileSketch::Bound() {
  if (buckets_.size() <= kBucketsMax) return;
  const std::size_t surplus = buckets_.size() - kBucketsMax;
  for (std::size_t i = 0; i < surplus; ++i) buckets_[surplus].count += buckets_[i].count;
  buckets_.erase(buckets_.begin(), buckets_.begin() + static_cast<std::ptrdiff_t>(surplus));
}

std::uint64_t QuantileSketch::Count() const {
  std::uint64_t count = zeros_;
  for (const Bucket& bucket : buckets_) count += bucket.count;
  return count;
}

double QuantileSketch::Quantile(double share) const {
  const std::uint64_t count = Count();
  if (count == 0) return 0;
  const auto rank = static_cast<std::uint64_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(count - 1));
  std::uint64_t below = zeros_;
  if (rank < below) return 0;
  for (const Bucket& bucket : buckets_) {
    below += bucket.count;
    if (rank < below) return Middle(bucket.index);
  }
  return buckets_.empty() ? 0 : Middle(buckets_.back().index);
}

}  // namespace hs
