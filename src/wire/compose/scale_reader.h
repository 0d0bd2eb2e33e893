// x-scale of a service: how many replicas, and what that number follows. Internal to compose/.
#pragma once

#include <optional>

#include "core/types.h"
#include "wire/compose/reader.h"

namespace hs::compose {

// { min: 2, max: 20 } and, where not automatic, one target: { in-flight: 8 }, { cpu: 60% } or
// { metric: NAME, value: N, path: /metrics }. Nothing when there was a problem, which is noted.
std::optional<ScaleSpec> ReadScale(Reader& reader, const Spot& spot);

}  // namespace hs::compose
