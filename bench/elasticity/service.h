// The simulated service: how long a request takes, and how many replicas a rate needs.
//
// A replica serves one request at a time and 100 a second. The spread of service times is that of the API of
// examples/shop (measured: 20,000 requests to one process, one after the other), scaled to a mean of 10 ms.
#pragma once

#include <array>
#include <vector>

#include "base/prng.h"

namespace hs::elasticity {

inline constexpr double kServiceMean = 0.01;  // seconds
inline constexpr double kObjective = 0.25;    // seconds, of the 99th percentile of the response time
inline constexpr int kReplicasMax = 200;      // for every policy
inline constexpr int kPeakReplicas = 40;

class ServiceTime {
 public:
  ServiceTime();
  // Seconds; `bits` are random.
  double Draw(std::uint64_t bits) const { return table_[bits % kSlices]; }
  double Variability() const { return variability_; }  // squared coefficient of variation
  static constexpr std::size_t kSlices = 8192;
  const std::array<float, kSlices>& Slices() const { return table_; }  // equally likely, rising

 private:
  std::array<float, kSlices> table_;
  double variability_;
};

// Demand: the fewest replicas whose 99th percentile of response time stays within the objective at a rate.
class DemandTable {
 public:
  explicit DemandTable(const ServiceTime& service);
  int Replicas(double rate) const;
  double RateMax(int replicas) const { return rate_max_[static_cast<std::size_t>(replicas)]; }

 private:
  std::vector<double> rate_max_;  // by number of replicas
};

}  // namespace hs::elasticity
