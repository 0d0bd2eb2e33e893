// /metrics: what a node knows in Prometheus' text format, version 0.0.4.
#pragma once

#include <string>

#include "core/node/view.h"

namespace hs {

std::string MetricsText(const NodeView& view);

}  // namespace hs
