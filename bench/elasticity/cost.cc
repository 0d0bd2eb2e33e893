#include "bench/elasticity/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "base/prng.h"
#include "core/control/scaler.h"
#include "core/control/share_out.h"
#include "core/control/sizes.h"

namespace hs::elasticity {
namespace {

constexpr int kNodes = 64, kServices = 200, kReplicasEach = 25, kSeconds = 900;

double CpuMs() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

int PrintCost() {
  Prng prng(1);
  std::vector<Scaler> scalers(kServices, Scaler(Time{}, {.min = 1, .max = 100}, kReplicasEach));
  // Room for about nine tenths of what is wanted, so that the shortage is real.
  const std::vector<BoxRoom> boxes(kNodes, BoxRoom{70'000, std::uint64_t{1} << 40});
  std::vector<NamedBox> named;
  for (int i = 0; i < kNodes; ++i)
    named.push_back({fmt::format("box-{:02}", i), boxes[static_cast<std::size_t>(i)]});
  std::vector<double> decide, scale;
  std::vector<ShareRequest> requests;
  std::int64_t replicas = 0;
  for (int t = 1; t <= kSeconds; ++t) {
    requests.clear();
    std::vector<ScaleSample> samples(kServices);
    for (ScaleSample& sample : samples) {
      sample.arrivals = sample.completions = kReplicasEach * 93 * (0.8 + 0.4 * prng.Unit());
      sample.in_flight = sample.completions / 100;
      sample.cpu_share = sample.in_flight / kReplicasEach;
      sample.healthy = kReplicasEach;
    }
    const double start = CpuMs();
    for (int i = 0; i < kServices; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const auto decision = scalers[at].Step(Time{} + 1s * t, samples[at]);
      requests.push_back({fmt::format("service-{:03}", i), i % 10 * 100, 1, decision.level, 100,
                          WorkClass::kServices, 900, std::uint64_t{1} << 28});
    }
    scale.push_back(CpuMs() - start);
    replicas = 0;
    for (const ShareGrant& grant : ShareOut(requests, {}, boxes)) replicas += grant.level;
    decide.push_back(CpuMs() - start);
  }
  const double start = CpuMs();
  const Sizes sizes = ComputeSizes(requests, named);
  const double size = CpuMs() - start;
  std::sort(decide.begin(), decide.end());
  const double worst = decide[decide.size() * 99 / 100];
  fmt::print(
      "{} nodes, {} services, {} replicas granted: a decision costs {:.2f} ms of CPU (99 % below {:.2f} ms), "
      "{:.2f} ms "
      "of it the scalers; bar 10 ms\n",
      kNodes, kServices, replicas, Median(decide), worst, Median(scale));
  fmt::print("sizes: {:.2f} ms for one answer ({} boxes for what is wanted)\n", size, sizes.demand);
  return Median(decide) < 10 ? 0 : 1;
}

}  // namespace hs::elasticity
