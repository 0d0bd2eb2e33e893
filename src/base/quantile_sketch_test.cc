#include "base/quantile_sketch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/prng.h"

namespace hs {
namespace {

// Values over six decades, as response times are.
std::vector<double> Values(std::uint64_t seed, std::size_t count) {
  Prng prng(seed);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(std::pow(10.0, prng.Unit() * 4 - 3));
  return values;
}
QuantileSketch Of(const std::vector<double>& values) {
  QuantileSketch sketch;
  for (const double value : values) sketch.Add(value);
  return sketch;
}

TEST(QuantileSketch, QuantilesAreWithinOnePercentOfTheSortedValues) {
  auto values = Values(1, 20'000);
  const QuantileSketch sketch = Of(values);
  std::sort(values.begin(), values.end());
  for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
    EXPECT_NEAR(sketch.Quantile(share), exact, exact * QuantileSketch::kAccuracy * 1.0001) << share;
  }
}

TEST(QuantileSketch, MergedIsWhatOneSketchOfAllWouldBe) {
  const auto a = Values(2, 3'000), b = Values(3, 5'000);
  auto both = a;
  both.insert(both.end(), b.begin(), b.end());
  QuantileSketch left = Of(a), right = Of(b);
  left.Merge(Of(b));
  right.Merge(Of(a));
  EXPECT_EQ(left, Of(both));
  EXPECT_EQ(right, left);  // in either order
  EXPECT_EQ(left.Count(), 8'000u);
}

TEST(QuantileSketch, StaysBoundedAndKeepsTheHighQuantiles) {
  QuantileSketch sketch;
  // Far more decades than buckets can hold: the low end gives way.
  for (int i = 0; i < 6'000; ++i) sketch.Add(std::pow(1.005, i));
  EXPECT_LE(sketch.buckets().size(), QuantileSketch::kBucketsMax);
  EXPECT_EQ(sketch.Count(), 6'000u);
  const double exact = std::pow(1.005, 5'939);
  EXPECT_NEAR(sketch.Quantile(0.99), exact, exact * 0.011);
}

TEST(QuantileSketch, OddNumbersDoNoHarm) {
  QuantileSketch sketch;
  EXPECT_EQ(sketch.Quantile(0.5), 0);  // nothing added
  sketch.Add(std::numeric_limits<double>::quiet_NaN());
  sketch.Add(std::numeric_limits<double>::infinity());
  sketch.Add(-1);
  EXPECT_EQ(sketch.Count(), 0u);
  sketch.Add(0);
  sketch.Add(1e300);
  EXPECT_EQ(sketch.Quantile(0), 0);
  EXPECT_NEAR(sketch.Quantile(1), 1e300, 1e298 * 1.01);
}

TEST(QuantileSketch, WhatComesFromTheWireIsPutRight) {
  // Out of order, doubled, empty, and an index that no number has.
  const QuantileSketch sketch(2, {{5, 1}, {3, 2}, {5, 4}, {4, 0}, {2'000'000'000, 9}});
  EXPECT_EQ(sketch.zeros(), 2u);
  EXPECT_EQ(sketch.buckets(), (std::vector<QuantileSketch::Bucket>{{3, 2}, {5, 5}}));
  const QuantileSketch copy(sketch.zeros(), sketch.buckets());
  EXPECT_EQ(copy, sketch);  // what goes out comes in
}

}  // namespace
}  // namespace hs
