#include "base/endpoint.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace hs {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

bool IpAddress::IsV4() const { return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin()); }

bool IpAddress::IsUnspecified() const { return *this == IpAddress{} || *this == V4(0, 0, 0, 0); }

bool IpAddress::IsLoopback() const {
  if (IsV4()) return bytes[12] == 127;
  IpAddress loopback;
  loopback.bytes[15] = 1;
  return *this == loopback;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (IsV4()) {
    ::inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  }
  return text;
}

IpAddress IpAddress::V4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  IpAddress ip;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), ip.bytes.begin());
  ip.bytes[12] = a;
  ip.bytes[13] = b;
  ip.bytes[14] = c;
  ip.bytes[15] = d;
  return ip;
}

Result<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string copy(text);
  IpAddress ip;
  std::uint8_t v4[4];
  if (::inet_pton(AF_INET, copy.c_str(), v4) == 1) return V4(v4[0], v4[1], v4[2], v4[3]);
  if (::inet_pton(AF_INET6, copy.c_str(), ip.bytes.data()) == 1) return ip;
  return BadInput("'" + copy + "' is not an IP address");
}

std::string Endpoint::ToString() const {
  const std::string host = ip.IsV4() ? ip.ToString() : "[" + ip.ToString() + "]";
  return host + ":" + std::to_string(port);
}

Result<Endpoint> Endpoint::Parse(std::string_view text, std::uint16_t default_port) {
  const std::string whole(text);
  std::string_view host = text;
  std::string_view port_text;
  if (const auto close = text.find(']');
      !text.empty() && text.front() == '[' && close != std::string_view::npos) {
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return BadInput("'" + whole + "' is not [IP]:PORT");
    if (!rest.empty()) port_text = rest.substr(1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const auto colon = text.find(':');
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
  }
  auto ip = IpAddress::Parse(host);
  if (!ip) return BadInput("'" + whole + "' is not IP:PORT: " + ip.error().message);
  Endpoint endpoint{*ip, default_port};
  if (!port_text.empty()) {
    const auto [end, failure] =
        std::from_chars(port_text.data(), port_text.data() + port_text.size(), endpoint.port);
    if (failure != std::errc() || end != port_text.data() + port_text.size()) {
      return BadInput("'" + whole + "' has no port between 1 and 65535");
    }
  }
  if (endpoint.port == 0) return BadInput("'" + whole + "' has no port; write IP:PORT");
  return endpoint;
}

}  // namespace hs
