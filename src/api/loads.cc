#include "api/loads.h"

#include <algorithm>
#include <cmath>

namespace hs {

std::map<NodeId, NodeLoad> NodeLoadsOf(const NodeView& view) {
  auto loads = view.loads;
  if (view.local_load != nullptr && view.local_load->interval_s > 0)
    loads[view.self] = ToNodeLoad(view.self, *view.local_load);
  return loads;
}

std::map<std::string, ServiceLoad> ServiceLoadsOf(const NodeView& view) {
  if (!view.service_loads.empty() || view.local_load == nullptr) return view.service_loads;
  std::map<std::string, ServiceLoad> loads;
  for (auto& load : ToServiceLoads(*view.local_load)) loads.emplace(load.service, load);
  return loads;
}

std::optional<double> LatencyQuantileMs(const LatencyCounts& counts, double quantile) {
  constexpr double kGrowth = 1.1;
  std::uint64_t total = 0;
  for (const auto& [bucket, count] : counts) total += count;
  if (total == 0) return std::nullopt;
  const double rank = std::clamp(quantile, 0.0, 1.0) * static_cast<double>(total - 1);
  std::uint64_t below = 0;
  for (const auto& [bucket, count] : counts) {
    below += count;
    if (static_cast<double>(below) > rank) return 2 * std::pow(kGrowth, bucket) / (kGrowth + 1) / 1e3;
  }
  return std::nullopt;
}

}  // namespace hs
