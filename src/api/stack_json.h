// A stack as JSON: what `deploy` sends and /v1/stacks returns. Lossless both ways.
//
// Reading is strict: a wrong type, an unknown key or a value out of range is refused with the path of the
// place, such as services[2].health.interval_ms. Durations are whole milliseconds, bundles hex digests,
// environment an array of [name, value] pairs in order.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "core/types.h"

namespace hs {

std::string StackToJson(const StackSpec& stack);
std::string ServiceToJson(const ServiceSpec& service);
Result<StackSpec> StackFromJson(std::string_view text);

// 1732263371000-3-0123...: a stamp in one word.
std::string StampText(const Stamp& stamp);
Result<Stamp> ParseStamp(std::string_view text);

}  // namespace hs
