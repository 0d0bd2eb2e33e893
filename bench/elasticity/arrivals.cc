#include <algorithm>
#include <cmath>

#include "bench/elasticity/world.h"

namespace hs::elasticity {
namespace {

// Poisson numbers with one mean, by inversion of a table around it.
class Poisson {
 public:
  explicit Poisson(double mean) {
    const double reach = 7 * std::sqrt(mean) + 8;
    first_ = static_cast<int>(std::max(0.0, std::floor(mean - reach)));
    const int last = static_cast<int>(std::ceil(mean + reach));
    double share = mean > 0 ? std::exp(first_ * std::log(mean) - mean - std::lgamma(first_ + 1)) : 1;
    double sum = 0;
    for (int n = first_; n <= last; ++n) {
      sum += share;
      sums_.push_back(sum);
      share *= mean / (n + 1);
    }
  }
  int Draw(double unit) const {
    const auto found = std::lower_bound(sums_.begin(), sums_.end() - 1, unit);
    return first_ + static_cast<int>(found - sums_.begin());
  }

 private:
  int first_;
  std::vector<double> sums_;
};

}  // namespace

Arrivals DrawArrivals(const Trace& trace, const ServiceTime& service, const DemandTable& table,
                      DemandOf demand, std::uint64_t seed) {
  std::vector<double> rate;
  const auto before = std::min<std::size_t>(kWarmUp, trace.rate.size());
  for (std::size_t i = kWarmUp; i > 0; --i) rate.push_back(trace.rate[std::min(i, before) - 1]);
  rate.insert(rate.end(), trace.rate.begin(), trace.rate.end());

  Prng prng(seed);
  Arrivals result;
  result.requests.reserve(rate.size() * kTicks);
  result.work.reserve(rate.size() * kTicks);
  for (const double each : rate) {
    const Poisson poisson(each / kTicks);
    double came = 0;
    for (int tick = 0; tick < kTicks; ++tick) {
      const int requests = poisson.Draw(prng.Unit());
      double work = 0;
      std::uint64_t bits = 0;
      for (int i = 0; i < requests; ++i) {
        if (i % 4 == 0) bits = prng.Next();
        work += service.Draw(bits);
        bits >>= 16;
      }
      came += requests;
      result.requests.push_back(static_cast<std::uint16_t>(requests));
      result.work.push_back(static_cast<float>(work));
    }
    result.demand.push_back(table.Replicas(demand == DemandOf::kRate ? each : came));
  }
  return result;
}

}  // namespace hs::elasticity
