// The words of a scenario that take some reading, or writing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/types.h"

namespace hs::sim {

Result<std::uint64_t> ParseNumber(std::string_view text);

// 250ms, 5s, 2min, 1h; also us.
Result<long long> ParseNanoseconds(std::string_view text);

// web=3, web=3!, web=2..6, each with ~pause, ~run-both, ~stay or ~strict behind it.
Result<ServiceSpec> ParseService(const std::string& text);

// " monitor controller": the roles a present member has and not everyone, each with a blank before it.
std::string RolesText(const Member& member);

}  // namespace hs::sim
