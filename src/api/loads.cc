#include "api/loads.h"

#include <algorithm>

#include "core/latency.h"

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
  if (counts.empty()) return std::nullopt;
  return LatencyQuantile(counts, std::clamp(quantile, 0.0, 1.0)) * 1e3;
}

}  // namespace hs
