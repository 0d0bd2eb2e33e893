// Fixed little layouts (tokens, the join exchange, datagram headers): big-endian numbers and length-prefixed
// strings. The reader never reads past its end: after the first failure everything it gives is zero or empty
// and ok() is false.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/endpoint.h"
#include "base/ids.h"

namespace hs {

class ByteWriter {
 public:
  void Number(std::uint64_t value, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
      bytes_.push_back(static_cast<char>(value >> shift & 0xff));
  }
  void Raw(std::string_view bytes) { bytes_.append(bytes); }
  template <typename Tag, std::size_t kSize>
  void Id(const BytesId<Tag, kSize>& id) {
    bytes_.append(reinterpret_cast<const char*>(id.bytes.data()), kSize);
  }
  void String(std::string_view text) {
    Number(text.size(), 4);
    Raw(text);
  }
  void Address(const Endpoint& endpoint) {
    Raw({reinterpret_cast<const char*>(endpoint.ip.bytes.data()), endpoint.ip.bytes.size()});
    Number(endpoint.port, 2);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && rest_.empty(); }

  std::string_view Raw(std::size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::uint64_t Number(int size) {
    std::uint64_t value = 0;
    for (const char c : Raw(static_cast<std::size_t>(size)))
      value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
  }
  template <typename Id>
  Id TakeId() {
    Id id;
    const std::string_view raw = Raw(Id::kBytes);
    for (std::size_t i = 0; i < raw.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(raw[i]);
    return id;
  }
  std::string String(std::size_t size_max) {
    const std::uint64_t size = Number(4);
    if (size > size_max) ok_ = false;
    return std::string(Raw(size));
  }
  Endpoint Address() {
    Endpoint endpoint;
    const std::string_view raw = Raw(16);
    for (std::size_t i = 0; i < raw.size(); ++i) endpoint.ip.bytes[i] = static_cast<std::uint8_t>(raw[i]);
    endpoint.port = static_cast<std::uint16_t>(Number(2));
    return endpoint;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace hs
