// Loads as tables show them: of nodes and of services, with what this node measured itself where nothing else
// is known.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/node/view.h"

namespace hs {

// view.loads, and this node's own.
std::map<NodeId, NodeLoad> NodeLoadsOf(const NodeView& view);
// view.service_loads; where that is empty, what this node's own replicas use.
std::map<std::string, ServiceLoad> ServiceLoadsOf(const NodeView& view);

// The response time, in ms, that a share `quantile` (0 to 1) of the responses stayed within; absent when
// there were none. Exact to 5 %, as the buckets are: the answer is the middle of one (Masson et al. 2019,
// section 2.1).
std::optional<double> LatencyQuantileMs(const LatencyCounts& counts, double quantile);

}  // namespace hs
