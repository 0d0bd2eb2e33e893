// x-scale of a service: how many replicas, and what that number follows. Internal to compose/.
#pragma once

#include <optional>

#include "core/types.h"
#include "wire/compose/reader.h"

namespace hs::compose {

// { min: 2, max: 20 } and, where not automatic, one target: { in-flight: 8 }, { cpu: 60% } or
// { metric: NAME, value: N, path: /metrics }. Nothing when there was a problem, which is noted.
std::optional<ScaleSpec> ReadScale(Reader& reader, const Spot& spot);

// run-both or pause; kNone when that is not what it says, which has been told then.
Singleton ReadSingleton(Reader& reader, const Spot& spot);

// Notes what does not go with it.
void CheckSingleton(Reader& reader, const Spot& spot, const ServiceSpec& spec, bool replicas_given);

}  // namespace hs::compose
