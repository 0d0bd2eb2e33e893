#include "runtime/crypto/primitives.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstring>

#include "base/check.h"
#include "runtime/crypto/openssl_handles.h"

namespace hs {
namespace {

const unsigned char* Raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string HmacSha256(std::string_view key, std::string_view message) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  unsigned size = 0;
  HS_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Raw(message), message.size(),
                reinterpret_cast<unsigned char*>(out.data()), &size) != nullptr);
  return out;
}

template <typename Id>
Id RandomId() {
  Id id;
  HS_CHECK(RAND_bytes(id.bytes.data(), static_cast<int>(id.bytes.size())) == 1);
  return id;
}

}  // namespace

std::string RandomBytes(std::size_t size) {
  std::string out(size, '\0');
  HS_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(size)) == 1);
  return out;
}

NodeId RandomNodeId() { return RandomId<NodeId>(); }
ClusterId RandomClusterId() { return RandomId<ClusterId>(); }

std::uint64_t RandomU64() {
  std::uint64_t value = 0;
  HS_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof value) == 1);
  return value;
}

BootId RandomBootId() {
  for (;;) {
    if (const BootId id{RandomU64()}; id) return id;
  }
}

Digest Sha256(std::string_view bytes) {
  Digest digest;
  ::SHA256(Raw(bytes), bytes.size(), digest.bytes.data());
  return digest;
}

std::string HkdfSha256(std::string_view key, std::string_view salt, std::string_view info, std::size_t size) {
  HS_CHECK(size <= 255 * SHA256_DIGEST_LENGTH);
  const std::string extracted = HmacSha256(salt, key);
  std::string out;
  std::string block;
  for (unsigned char counter = 1; out.size() < size; ++counter) {
    block.append(info).push_back(static_cast<char>(counter));
    block = HmacSha256(extracted, block);
    out += block;
  }
  out.resize(size);
  return out;
}

bool SecretsEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string Base64UrlOf(std::string_view bytes) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<std::uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) out.push_back(kAlphabet[bits >> (count - 6) & 63]);
  }
  if (count > 0) out.push_back(kAlphabet[bits << (6 - count) & 63]);
  return out;
}

std::optional<std::string> ParseBase64Url(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count & 0xff));
    }
  }
  // What is left over must be less than one digit, and zero: otherwise two texts would mean the same bytes.
  if (count >= 6 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return out;
}

// One context per direction, so that neither expands its key again per message.
struct AeadKey::Contexts {
  CipherHandle seal{EVP_CIPHER_CTX_new()};
  CipherHandle open{EVP_CIPHER_CTX_new()};
  std::string key;
  bool seal_ready = false;
  bool open_ready = false;
  ~Contexts() { OPENSSL_cleanse(key.data(), key.size()); }
};

AeadKey::AeadKey(std::string_view key, std::size_t tag_bytes)
    : contexts_(std::make_unique<Contexts>()), tag_bytes_(tag_bytes) {
  HS_CHECK(key.size() == kKeyBytes);
  HS_CHECK(tag_bytes >= 12 && tag_bytes <= 16);
  contexts_->key = key;
}
AeadKey::~AeadKey() = default;
AeadKey::AeadKey(AeadKey&&) noexcept = default;
AeadKey& AeadKey::operator=(AeadKey&&) noexcept = default;

void AeadKey::Seal(std::string_view nonce, std::string_view associated, std::string_view plain,
                   std::string& out) {
  HS_CHECK(nonce.size() == kNonceBytes);
  EVP_CIPHER_CTX* context = contexts_->seal.get();
  const bool first = !contexts_->seal_ready;
  HS_CHECK(EVP_EncryptInit_ex(context, first ? EVP_aes_256_gcm() : nullptr, nullptr,
                              first ? Raw(contexts_->key) : nullptr, Raw(nonce)) == 1);
  contexts_->seal_ready = true;
  int written = 0;
  HS_CHECK(EVP_EncryptUpdate(context, nullptr, &written, Raw(associated),
                             static_cast<int>(associated.size())) == 1);
  const std::size_t start = out.size();
  out.resize(start + plain.size() + tag_bytes_);
  auto* to = reinterpret_cast<unsigned char*>(out.data() + start);
  HS_CHECK(EVP_EncryptUpdate(context, to, &written, Raw(plain), static_cast<int>(plain.size())) == 1);
  HS_CHECK(EVP_EncryptFinal_ex(context, to + written, &written) == 1);
  HS_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_bytes_),
                               to + plain.size()) == 1);
}

bool AeadKey::Open(std::string_view nonce, std::string_view associated, std::string_view sealed,
                   std::string& out) {
  HS_CHECK(nonce.size() == kNonceBytes);
  out.clear();
  if (sealed.size() < tag_bytes_) return false;
  EVP_CIPHER_CTX* context = contexts_->open.get();
  const bool first = !contexts_->open_ready;
  HS_CHECK(EVP_DecryptInit_ex(context, first ? EVP_aes_256_gcm() : nullptr, nullptr,
                              first ? Raw(contexts_->key) : nullptr, Raw(nonce)) == 1);
  contexts_->open_ready = true;
  const std::size_t size = sealed.size() - tag_bytes_;
  char tag[16];
  std::memcpy(tag, sealed.data() + size, tag_bytes_);
  HS_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag_bytes_), tag) == 1);
  int written = 0;
  HS_CHECK(EVP_DecryptUpdate(context, nullptr, &written, Raw(associated),
                             static_cast<int>(associated.size())) == 1);
  out.resize(size);
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  HS_CHECK(EVP_DecryptUpdate(context, to, &written, Raw(sealed), static_cast<int>(size)) == 1);
  if (EVP_DecryptFinal_ex(context, to + written, &written) == 1) return true;
  out.clear();
  return false;
}

}  // namespace hs
