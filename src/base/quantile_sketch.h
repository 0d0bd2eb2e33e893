// Quantiles of many numbers in little space, which can be added together.
//
// Like sorting coins into jars by size, each jar two per cent wider than the one before: nobody remembers the
// coins, but the jar in which the middle coin lies tells its size within one per cent. Two collections are
// joined jar by jar.
//
// DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
// guarantees", VLDB 2019), with its bounded store: beyond `kBucketsMax` the lowest buckets are joined, so
// high quantiles stay exact to the promise.
//
// Invariants:
//  1. A quantile is within `kAccuracy` of an added value of that rank, while fewer than kBucketsMax buckets
//     were needed or the quantile lies above the joined ones.
//  2. Merge is commutative and associative in what it counts; buckets rise by index and hold at least one.
// Made for positive numbers; 0 and what is below kLeast are counted apart and reported as 0.
#pragma once

#include <cstdint>
#include <vector>

namespace hs {

class QuantileSketch {
 public:
  static constexpr double kAccuracy = 0.01;
  static constexpr double kLeast = 1e-6;
  static constexpr std::size_t kBucketsMax = 512;

  // What goes on the wire. `index` i holds values in (g^(i-1), g^i] with g = (1 + a) / (1 - a), a =
  // kAccuracy.
  struct Bucket {
    std::int32_t index = 0;
    std::uint64_t count = 0;
    friend bool operator==(const Bucket&, const Bucket&) = default;
  };

  QuantileSketch() = default;
  // From the wire. Buckets out of order, empty or too many are put right; indexes that no finite value has
  // are dropped.
  QuantileSketch(std::uint64_t zeros, std::vector<Bucket> buckets);

  // Not finite or negative values are not counted.
  void Add(double value, std::uint64_t count = 1);
  void Merge(const QuantileSketch& other);

  // The value of rank share * (count - 1); 0 when empty. `share` in [0, 1].
  double Quantile(double share) const;
  std::uint64_t Count() const;

  std::uint64_t zeros() const { return zeros_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  friend bool operator==(const QuantileSketch&, const QuantileSketch&) = default;

 private:
  void Bound();

  std::uint64_t zeros_ = 0;
  std::vector<Bucket> buckets_;
};

}  // namespace hs
