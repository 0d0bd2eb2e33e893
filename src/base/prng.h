// A seeded generator, the same on every platform and library: randomness is handed in, never asked for.
// The standard distributions differ by library and are not used. Source: xoshiro256** (Blackman, Vigna 2018),
// seeded by splitmix64. Not for keys or secrets.
#pragma once

#include <array>
#include <cstdint>

#include "base/check.h"
#include "base/time.h"

namespace hs {

// One step of splitmix64: a cheap, well-mixing function of 64 bits.
inline std::uint64_t Mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Prng {
 public:
  explicit Prng(std::uint64_t seed) {
    for (auto& word : state_) word = seed = Mix64(seed);
  }

  std::uint64_t Next() {
    const std::uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound); bound > 0.
  std::uint64_t Below(std::uint64_t bound) {
    HS_CHECK(bound > 0);
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }

  // Uniform in [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  bool Chance(double probability) { return Unit() < probability; }

  // Uniform in [low, high].
  Duration Between(Duration low, Duration high) {
    HS_CHECK(low <= high);
    return low +
           Duration(static_cast<std::int64_t>(Below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }

  template <typename Container>
  void Shuffle(Container& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[Below(i)]);
  }

  // A generator of its own for a part, so that one part drawing more does not change another.
  Prng Fork() { return Prng(Next()); }

 private:
  static std::uint64_t Rotate(std::uint64_t x, int k) { return x << k | x >> (64 - k); }
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace hs
