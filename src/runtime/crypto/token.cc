#include "runtime/crypto/token.h"

#include <algorithm>

#include "runtime/crypto/byte_io.h"
#include "runtime/crypto/certificates.h"
#include "runtime/crypto/primitives.h"

namespace hs {
namespace {

constexpr std::string_view kPrefix = "hs1.";
constexpr std::size_t kChecksumBytes = 4;

std::string ChecksumOf(std::string_view body) {
  const Digest digest = Sha256(body);
  return std::string(reinterpret_cast<const char*>(digest.bytes.data()), kChecksumBytes);
}

// IPv4 addresses take 7 bytes instead of 19: tokens are copied by hand at times.
void WriteAddress(ByteWriter& writer, const Endpoint& endpoint) {
  const std::string_view ip(reinterpret_cast<const char*>(endpoint.ip.bytes.data()), 16);
  writer.Number(endpoint.ip.IsV4() ? 4 : 6, 1);
  writer.Raw(endpoint.ip.IsV4() ? ip.substr(12) : ip);
  writer.Number(endpoint.port, 2);
}

bool ReadAddress(ByteReader& reader, Endpoint& endpoint) {
  const auto family = reader.Number(1);
  if (family == 4) endpoint.ip = IpAddress::V4(0, 0, 0, 0);
  if (family != 4 && family != 6) return false;
  const std::string_view raw = reader.Raw(family == 4 ? 4 : 16);
  std::copy(raw.begin(), raw.end(), endpoint.ip.bytes.end() - static_cast<std::ptrdiff_t>(raw.size()));
  endpoint.port = static_cast<std::uint16_t>(reader.Number(2));
  return reader.ok() && endpoint.port != 0;
}

bool IsSecretOf(const TokenDoc& document, std::string_view secret) {
  const auto view = [](const Digest& digest) {
    return std::string_view(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  };
  return SecretsEqual(view(Sha256(secret)), view(document.secret_digest));
}

bool HasExpired(const TokenDoc& document, WallMs wall_ms) {
  return document.expires_ms != 0 && document.expires_ms <= wall_ms;
}

}  // namespace

CaFingerprint FingerprintOf(std::string_view ca_certificate_pem) {
  const Digest digest = CertificateDigest(ca_certificate_pem);
  CaFingerprint fingerprint;
  std::copy_n(digest.bytes.begin(), fingerprint.bytes.size(), fingerprint.bytes.begin());
  return fingerprint;
}

JoinToken NewToken(CaFingerprint ca, std::vector<Endpoint> addresses) {
  const std::string id = RandomBytes(JoinToken::kIdBytes);
  if (addresses.size() > JoinToken::kAddressesMax) addresses.resize(JoinToken::kAddressesMax);
  return {ca, HexOf(reinterpret_cast<const std::uint8_t*>(id.data()), id.size()),
          RandomBytes(JoinToken::kSecretBytes), std::move(addresses)};
}

std::string ToText(const JoinToken& token) {
  ByteWriter writer;
  writer.Id(token.ca);
  std::array<std::uint8_t, JoinToken::kIdBytes> id{};
  ParseHex(token.id, id.data(), id.size());
  writer.Raw({reinterpret_cast<const char*>(id.data()), id.size()});
  writer.Raw(token.secret);
  for (const Endpoint& address : token.addresses) WriteAddress(writer, address);
  std::string body = writer.Take();
  body.insert(body.begin(), static_cast<char>(body.size()));
  return std::string(kPrefix) + Base64UrlOf(body + ChecksumOf(body));
}

Result<JoinToken> ParseToken(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r'))
    text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  if (!text.starts_with(kPrefix)) {
    return BadInput(
        "this is no token: it should begin with 'hs1.'; 'homeostat token show' prints one to join with");
  }
  const std::string_view encoded = text.substr(kPrefix.size());
  const auto strange =
      encoded.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
  if (strange != std::string_view::npos) {
    return BadInput("the token is damaged: character " + std::to_string(kPrefix.size() + strange + 1) +
                    " does not belong in a token");
  }
  // The first byte says how long the rest is, and one byte is the first 8 of 12 bits of two characters.
  const auto head = ParseBase64Url(encoded.size() >= 4 ? encoded.substr(0, 4) : std::string_view());
  const std::size_t body_bytes = head && !head->empty() ? 1 + static_cast<std::uint8_t>(head->front()) : 1;
  const std::size_t want = kPrefix.size() + ((body_bytes + kChecksumBytes) * 8 + 5) / 6;
  if (encoded.size() < 4 || text.size() < want) {
    return BadInput("the token is cut short: " + std::to_string(text.size()) + " characters of " +
                    (encoded.size() < 4 ? "at least 60" : std::to_string(want)));
  }
  if (text.size() > want) {
    return BadInput("the token is damaged: " + std::to_string(text.size()) + " characters instead of " +
                    std::to_string(want));
  }
  const auto bytes = ParseBase64Url(encoded);
  if (!bytes || ChecksumOf(std::string_view(*bytes).substr(0, body_bytes)) != bytes->substr(body_bytes)) {
    return BadInput("the token is damaged: its checksum does not match; copy it again");
  }
  ByteReader reader(std::string_view(*bytes).substr(1, body_bytes - 1));
  JoinToken token;
  token.ca = reader.TakeId<CaFingerprint>();
  const std::string_view id = reader.Raw(JoinToken::kIdBytes);
  token.id = HexOf(reinterpret_cast<const std::uint8_t*>(id.data()), id.size());
  token.secret = reader.Raw(JoinToken::kSecretBytes);
  while (reader.ok() && !reader.AtEnd()) {
    if (!ReadAddress(reader, token.addresses.emplace_back()))
      return BadInput("the token holds a bad address");
  }
  if (!reader.ok()) return BadInput("the token is damaged: it is too small");
  return token;
}

TokenDoc DocumentOf(const JoinToken& token, WallMs expires_ms, bool admin) {
  return {token.id, Sha256(token.secret), expires_ms, admin};
}

Result<void> CheckToken(const std::optional<TokenDoc>& document, std::string_view secret, WallMs wall_ms) {
  if (!document)
    return Fail(Reaction::kRefuse, "the join token is not known to the cluster: wrong, or revoked");
  if (!IsSecretOf(*document, secret))
    return Fail(Reaction::kRefuse, "the join token is wrong: its secret does not match");
  if (HasExpired(*document, wall_ms)) return Fail(Reaction::kRefuse, "the join token has expired");
  return {};
}

Result<void> CheckApiToken(const JoinToken& token, const CaFingerprint& ours,
                           const std::optional<TokenDoc>& document, WallMs wall_ms) {
  if (token.ca != ours) return Fail(Reaction::kRefuse, "this token is of another cluster");
  if (!document || !IsSecretOf(*document, token.secret))
    return Fail(Reaction::kRefuse, "this token is not known here: wrong, revoked, or not heard of yet");
  if (!document->admin) {
    return Fail(Reaction::kRefuse,
                "this is a token for joining, not for the API; homeostat token create --api makes one");
  }
  if (HasExpired(*document, wall_ms))
    return Fail(Reaction::kRefuse, "this token has expired; homeostat token create --api makes another");
  return {};
}

}  // namespace hs
