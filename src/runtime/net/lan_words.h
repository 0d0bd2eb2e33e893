// What is said on the local network to find a cluster there, byte for byte.
//
//   member's question   version 1 | type 1 | a gossip datagram under keys of its own, content: address 18
//   joiner's question   version 1 | type 2 | token id 10 | nonce 16 | zeros 18 | mac 16
//   answer to a joiner  version 1 | type 3 | nonce 16 | address 18 | mac 16
//
// A member is not answered here: who hears it pings it (core/membership/lan_search.h), and ping and ack are
// sealed and numbered already. A joiner has no keys, only the token: its MAC is keyed by the SHA-256 of the
// token's secret, which is what the cluster keeps of it. The nonce binds an answer to its question. No answer
// is longer than its question.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/endpoint.h"
#include "base/ids.h"

namespace hs {

enum class LanWord : std::uint8_t { kMemberQuestion = 1, kLanQuestion = 2, kLanAnswer = 3 };

inline constexpr std::size_t kLanNonceBytes = 16;
inline constexpr std::size_t kLanWordMax = 128;  // of any type

// The head that all have; nullopt: of another version or type.
std::optional<LanWord> LanWordOf(std::string_view datagram);
std::string_view LanBody(std::string_view datagram);  // what follows the head
std::string LanHead(LanWord word);

struct LanQuestion {
  std::string token_id;  // 10 characters
  std::string nonce;     // kLanNonceBytes
};
std::string EncodeLanQuestion(const LanQuestion& question, const Digest& secret_digest);
// Says only what it claims: the key to check it with (HasLanMac) depends on the token id.
std::optional<LanQuestion> ReadLanQuestion(std::string_view datagram);
bool HasLanMac(std::string_view datagram, const Digest& secret_digest);

std::string EncodeLanAnswer(std::string_view nonce, const Endpoint& address, const Digest& secret_digest);
struct LanAnswer {
  std::string nonce;
  Endpoint address;
};
// nullopt: not said by somebody who knows the secret.
std::optional<LanAnswer> OpenLanAnswer(std::string_view datagram, const Digest& secret_digest);

}  // namespace hs
