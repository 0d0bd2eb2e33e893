#include "bench/elasticity/service.h"

#include <algorithm>
#include <cmath>

#include "core/control/staffing.h"

namespace hs::elasticity {
namespace {

// Quantiles of the measured service times over their mean (0.20 ms, squared coefficient of variation 0.31).
struct Knot {
  double share, times;
};
constexpr Knot kMeasured[] = {{0, 0.569},     {0.05, 0.679},  {0.1, 0.714},   {0.25, 0.802},
                              {0.5, 0.963},   {0.75, 1.095},  {0.9, 1.198},   {0.95, 1.331},
                              {0.975, 1.51},  {0.99, 2.16},   {0.995, 2.953}, {0.998, 5.229},
                              {0.999, 8.779}, {0.9995, 14.2}, {0.9999, 22.5}, {1, 25.2}};

double Quantile(double share) {
  const auto* above = std::find_if(std::begin(kMeasured) + 1, std::end(kMeasured) - 1,
                                   [&](const Knot& knot) { return knot.share >= share; });
  const Knot& low = above[-1];
  return low.times + (above->times - low.times) * (share - low.share) / (above->share - low.share);
}

}  // namespace

ServiceTime::ServiceTime() {
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < kSlices; ++i) {
    table_[i] = static_cast<float>(Quantile((static_cast<double>(i) + 0.5) / kSlices));
    sum += table_[i];
    squares += double{table_[i]} * table_[i];
  }
  const double mean = sum / kSlices;
  variability_ = squares / kSlices / (mean * mean) - 1;
  for (float& time : table_) time = static_cast<float>(time * kServiceMean / mean);
}

DemandTable::DemandTable(const ServiceTime& service) : rate_max_(kReplicasMax + 1, 0) {
  // P(wait + service > objective), with the wait by Kingman's bound behind Erlang C (see staffing.h).
  const auto late = [&](int replicas, double load) {
    const double chance = ErlangC(replicas, load);
    const double decay = 2 * (replicas - load) / (kServiceMean * (1 + service.Variability()));
    double sum = 0;
    const auto& slices = service.Slices();
    for (std::size_t i = 0; i < slices.size(); i += 8) {
      const double left = kObjective - slices[i];
      sum += left <= 0 ? 1 : chance * std::exp(-decay * left);
    }
    return sum * 8 / static_cast<double>(slices.size());
  };
  for (int replicas = 1; replicas <= kReplicasMax; ++replicas) {
    double low = 0, high = replicas;
    for (int i = 0; i < 30; ++i) {
      const double load = (low + high) / 2;
      (late(replicas, load) <= 0.01 ? low : high) = load;
    }
    rate_max_[static_cast<std::size_t>(replicas)] = low / kServiceMean;
  }
}

int DemandTable::Replicas(double rate) const {
  const auto found = std::lower_bound(rate_max_.begin() + 1, rate_max_.end(), rate);
  return std::min(kReplicasMax, static_cast<int>(found - rate_max_.begin()));
}

}  // namespace hs::elasticity
