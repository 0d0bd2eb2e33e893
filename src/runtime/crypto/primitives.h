// The few cryptographic building blocks everything else here is made of; OpenSSL does the work.
//
// Bytes travel as std::string / std::string_view, of any content. Nothing here throws: what can fail by its
// input answers with nullopt; what can fail only when the machine is broken (no entropy, no memory) aborts,
// since going on without would be worse.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace hs {

std::string RandomBytes(std::size_t size);
NodeId RandomNodeId();
ClusterId RandomClusterId();
BootId RandomBootId();  // never zero
std::uint64_t RandomU64();

Digest Sha256(std::string_view bytes);

// RFC 5869 with SHA-256; size <= 8160.
std::string HkdfSha256(std::string_view key, std::string_view salt, std::string_view info, std::size_t size);

// In constant time for equal sizes.
bool SecretsEqual(std::string_view a, std::string_view b);

// Unpadded base64url (RFC 4648 section 5).
std::string Base64UrlOf(std::string_view bytes);
std::optional<std::string> ParseBase64Url(std::string_view text);

// AES-256-GCM under one key. A nonce must never be used twice for sealing under the same key: the caller's
// duty. Not thread-safe; keeps its expanded key, so use one object per key for many messages.
class AeadKey {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  static constexpr std::size_t kNonceBytes = 12;

  // Tags shorter than 16 bytes trade forgery resistance for size (NIST SP 800-38D 5.2.1.2: at least 12 here).
  explicit AeadKey(std::string_view key, std::size_t tag_bytes = 16);
  ~AeadKey();
  AeadKey(AeadKey&&) noexcept;
  AeadKey& operator=(AeadKey&&) noexcept;

  // Appends ciphertext and tag to `out`.
  void Seal(std::string_view nonce, std::string_view associated, std::string_view plain, std::string& out);
  // Replaces `out` by the plain text; false, with `out` empty, when the bytes were not sealed under this key,
  // nonce and associated data.
  bool Open(std::string_view nonce, std::string_view associated, std::string_view sealed, std::string& out);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
  std::size_t tag_bytes_;
};

}  // namespace hs
