// The small languages inside a compose file's text: durations, sizes, words, signals, variables. Pure
// functions; an error says what is wrong, without a place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace hs::compose {

// 1m30s, 1.5s, 250ms, 0s. Units: us, ms, s, m, h.
Result<Duration> ParseDuration(std::string_view text);

// 64m, 1.5gb, 1048576: powers of 1024, as Compose has it.
Result<std::uint64_t> ParseBytes(std::string_view text);

// 0.5 -> 500. At least one millicore.
Result<std::uint32_t> ParseMillicores(std::string_view text);

// Splits like a shell without expansions: quotes and backslashes group.
Result<std::vector<std::string>> SplitWords(std::string_view text);

// SIGUSR1, USR1 or 10 -> SIGUSR1.
Result<std::string> ParseSignal(std::string_view text);

// Left alone by Interpolate: every replica has its own.
bool IsRuntimeVariable(std::string_view name);

// Compose's interpolation. `unset` gets the names that had no value and became nothing.
Result<std::string> Interpolate(std::string_view text, const std::map<std::string, std::string>& variables,
                                std::vector<std::string>& unset);

}  // namespace hs::compose
