// The join token: what a person copies from one box to the next.
//
// `hs1.` and base64url of: length, the first 16 bytes of the CA certificate's SHA-256, a token id, a secret,
// some addresses, a checksum. The fingerprint lets the joiner know the cluster before it says anything
// secret; the secret proves that the joiner was invited; keys are handed out afterwards, over TLS. The
// cluster keeps only SHA-256 of the secret (TokenDoc), and deleting that document revokes the token.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.h"
#include "base/result.h"
#include "core/types.h"

namespace hs {

using CaFingerprint = BytesId<struct CaFingerprintTag, 16>;

struct JoinToken {
  static constexpr std::size_t kIdBytes = 5;
  static constexpr std::size_t kSecretBytes = 16;
  static constexpr std::size_t kAddressesMax = 8;

  CaFingerprint ca;
  std::string id;      // 10 hex digits: TokenDoc::id
  std::string secret;  // 16 bytes
  std::vector<Endpoint> addresses;
  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};

CaFingerprint FingerprintOf(std::string_view ca_certificate_pem);

// A fresh id and secret.
JoinToken NewToken(CaFingerprint ca, std::vector<Endpoint> addresses);

std::string ToText(const JoinToken& token);
// Errors say what is wrong: not a token, cut short, mistyped.
Result<JoinToken> ParseToken(std::string_view text);

TokenDoc DocumentOf(const JoinToken& token, WallMs expires_ms, bool admin);
// nullopt document: no such token, or revoked. The error is for the one who tries to join.
Result<void> CheckToken(const std::optional<TokenDoc>& document, std::string_view secret, WallMs wall_ms);
// The same for one who calls the API. Only one that knows the secret hears more than that it is not known.
Result<void> CheckApiToken(const JoinToken& token, const CaFingerprint& ours,
                           const std::optional<TokenDoc>& document, WallMs wall_ms);

}  // namespace hs
