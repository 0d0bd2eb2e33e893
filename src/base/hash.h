// A 64-bit hash that is the same on every box and release: it names specs and decides placement, so it is
// part of the protocol. XXH3-64 with seed 0. Not against adversaries.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/prng.h"

namespace hs {

std::uint64_t Hash64(std::string_view bytes);

inline std::uint64_t CombineHash(std::uint64_t a, std::uint64_t b) { return Mix64(a ^ Mix64(b)); }

}  // namespace hs
