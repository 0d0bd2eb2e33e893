// An IP address and port. IPv4 is kept as its IPv6-mapped form, so that one type serves both.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hs {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  bool IsV4() const;
  bool IsUnspecified() const;  // 0.0.0.0 or ::
  bool IsLoopback() const;     // 127.0.0.0/8 or ::1
  std::string ToString() const;
  static IpAddress V4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d);
  static Result<IpAddress> Parse(std::string_view text);
};

struct Endpoint {
  IpAddress ip;
  std::uint16_t port = 0;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
  explicit operator bool() const { return port != 0; }
  std::string ToString() const;  // 10.0.0.1:7700, [fe80::1]:7700
  // Accepts IP:PORT and [IPV6]:PORT, and a bare IP when default_port is not 0.
  static Result<Endpoint> Parse(std::string_view text, std::uint16_t default_port = 0);
};

}  // namespace hs
