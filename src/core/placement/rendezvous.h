// Weighted rendezvous hashing (highest random weight): every box draws a number for a key, and the highest
// wins.
//
// Intuition: a lottery in which each ticket's number depends on the box and the prize alone. A box that
// leaves takes only its own prizes with it, and one that comes wins only what it draws highest for: nothing
// else moves.
//
// Integers only, so that all boxes and releases agree to the bit. Source: Thaler and Ravishankar 1998;
// weights by the logarithm method (Schindelhauer and Schomaker 2005), here in fixed point.
#pragma once

#include <bit>
#include <cstdint>

#include "base/hash.h"
#include "base/ids.h"

namespace hs {

// This box's number for the key; well mixed.
inline std::uint64_t RendezvousDraw(std::uint64_t key, NodeId node) {
  return CombineHash(key, node.Prefix64());
}

// -log2(draw / 2^64) in 1/65536: the integer part from the leading zeros, the rest linear between powers of
// two. The error of the linear part is below 0.09, the same for every box, and monotone: it cannot change a
// ranking among equal weights, and shifts shares among unequal ones by some per cent.
inline std::uint64_t NegLog2Fixed(std::uint64_t draw) {
  if (draw == 0) return std::uint64_t{64} << 16;
  const int zeros = std::countl_zero(draw);
  const std::uint64_t mantissa =
      zeros == 63 ? 0 : (draw << (zeros + 1)) >> 48;  // 16 bits below the leading one
  return (static_cast<std::uint64_t>(zeros + 1) << 16) - mantissa;
}

// A box with twice the weight wins about twice as often. Smaller cost wins; weight 0 never wins.
inline std::uint64_t RendezvousCost(std::uint64_t key, NodeId node, std::uint32_t weight) {
  if (weight == 0) return ~std::uint64_t{0};
  return (NegLog2Fixed(RendezvousDraw(key, node)) << 32) / weight;
}

}  // namespace hs
