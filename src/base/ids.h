// Ids are distinct types: a NodeId never compares with a ReplicaId.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace hs {

std::string HexOf(const std::uint8_t* bytes, std::size_t size);
// False when `hex` is not exactly 2*size hexadecimal digits; `bytes` is then unspecified.
bool ParseHex(std::string_view hex, std::uint8_t* bytes, std::size_t size);

// A fixed-size byte string with a meaning. Zero means "none".
template <typename Tag, std::size_t kSize>
struct BytesId {
  static constexpr std::size_t kBytes = kSize;
  std::array<std::uint8_t, kSize> bytes{};

  static_assert(kSize % 8 == 0);
  // Taken eight bytes at a time: tables are keyed by ids everywhere, and a call of memcmp for each comparison
  // was a fifth of a large simulation.
  friend bool operator==(const BytesId& a, const BytesId& b) {
    for (std::size_t i = 0; i < kSize; i += 8)
      if (a.WordAt(i) != b.WordAt(i)) return false;
    return true;
  }
  // The order of the bytes.
  friend std::strong_ordering operator<=>(const BytesId& a, const BytesId& b) {
    for (std::size_t i = 0; i < kSize; i += 8) {
      const std::uint64_t left = a.WordAt(i);
      const std::uint64_t right = b.WordAt(i);
      if (left != right) return left <=> right;
    }
    return std::strong_ordering::equal;
  }
  explicit operator bool() const { return *this != BytesId{}; }
  std::string Hex() const { return HexOf(bytes.data(), kSize); }
  // The first 8 hex digits: for logs and tables.
  std::string Short() const { return HexOf(bytes.data(), kSize < 4 ? kSize : 4); }
  // The first eight bytes as a number: well mixed, since ids are random or digests.
  std::uint64_t Prefix64() const { return WordAt(0); }
  static std::optional<BytesId> FromHex(std::string_view hex) {
    BytesId id;
    if (!ParseHex(hex, id.bytes.data(), kSize)) return std::nullopt;
    return id;
  }

 private:
  // Big-endian: numbers compare as their bytes do.
  std::uint64_t WordAt(std::size_t from) const {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + from, sizeof value);
    return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
  }
};

// A 64-bit number with a meaning. Zero means "none".
template <typename Tag>
struct NumberId {
  std::uint64_t value = 0;
  friend auto operator<=>(const NumberId&, const NumberId&) = default;
  explicit operator bool() const { return value != 0; }
};

using NodeId = BytesId<struct NodeTag, 16>;        // random, kept in the data directory
using ClusterId = BytesId<struct ClusterTag, 16>;  // random, drawn when a cluster is formed
using Digest = BytesId<struct DigestTag, 32>;      // SHA-256

using BootId = NumberId<struct BootTag>;        // random per start of the agent
using ReplicaId = NumberId<struct ReplicaTag>;  // random, drawn by the controller that asked for it
using SpecHash = NumberId<struct SpecTag>;      // what a service runs, without how many
using PersistId = NumberId<struct PersistTag>;
using RequestId = NumberId<struct RequestTag>;  // one API call that waits for an answer

}  // namespace hs

template <typename Tag, std::size_t kSize>
struct std::hash<hs::BytesId<Tag, kSize>> {
  std::size_t operator()(const hs::BytesId<Tag, kSize>& id) const { return id.Prefix64(); }
};
template <typename Tag>
struct std::hash<hs::NumberId<Tag>> {
  std::size_t operator()(const hs::NumberId<Tag>& id) const { return id.value; }
};
