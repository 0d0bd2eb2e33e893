// What was measured, for /metrics: of this box and its agent, of its replicas, and of services as far as they
// are added up here. Each node gives its own box only: Prometheus scrapes them all.
#pragma once

#include "api/exposition.h"
#include "core/node/view.h"

namespace hs {

// Nothing for what was not measured: an absent metric is not zero.
void LoadMetrics(const NodeView& view, Exposition& out);

}  // namespace hs
