#include "runtime/net/lan_words.h"

#include "runtime/crypto/byte_io.h"
#include "runtime/crypto/primitives.h"

namespace hs {
namespace {

constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kHeadBytes = 2;
constexpr std::size_t kTokenIdBytes = 10;
constexpr std::size_t kAddressBytes = 18;
constexpr std::size_t kMacBytes = 16;
constexpr std::size_t kQuestionBytes =
    kHeadBytes + kTokenIdBytes + kLanNonceBytes + kAddressBytes + kMacBytes;
constexpr std::size_t kAnswerBytes = kHeadBytes + kLanNonceBytes + kAddressBytes + kMacBytes;
static_assert(kAnswerBytes <= kQuestionBytes);

// HKDF's last step is HMAC-SHA-256 over the message with a key extracted from the digest.
std::string MacOf(std::string_view message, const Digest& secret_digest) {
  const std::string_view key(reinterpret_cast<const char*>(secret_digest.bytes.data()),
                             secret_digest.bytes.size());
  return HkdfSha256(key, "homeostat lan 1", message, kMacBytes);
}

std::string WithMac(std::string message, const Digest& secret_digest) {
  return message + MacOf(message, secret_digest);
}

}  // namespace

std::string LanHead(LanWord word) {
  ByteWriter writer;
  writer.Number(kVersion, 1);
  writer.Number(static_cast<std::uint64_t>(word), 1);
  return writer.Take();
}

std::optional<LanWord> LanWordOf(std::string_view datagram) {
  ByteReader reader(datagram);
  const std::uint64_t version = reader.Number(1), word = reader.Number(1);
  if (!reader.ok() || version != kVersion || word < 1 || word > 3) return std::nullopt;
  return static_cast<LanWord>(word);
}

std::string_view LanBody(std::string_view datagram) { return datagram.substr(kHeadBytes); }

std::string EncodeLanQuestion(const LanQuestion& question, const Digest& secret_digest) {
  ByteWriter writer;
  writer.Raw(LanHead(LanWord::kLanQuestion));
  writer.Raw(question.token_id);
  writer.Raw(question.nonce);
  writer.Raw(std::string(kAddressBytes, '\0'));
  return WithMac(writer.Take(), secret_digest);
}

std::optional<LanQuestion> ReadLanQuestion(std::string_view datagram) {
  if (LanWordOf(datagram) != LanWord::kLanQuestion || datagram.size() != kQuestionBytes) return std::nullopt;
  ByteReader reader(LanBody(datagram));
  LanQuestion question;
  question.token_id = reader.Raw(kTokenIdBytes);
  question.nonce = reader.Raw(kLanNonceBytes);
  return question;
}

bool HasLanMac(std::string_view datagram, const Digest& secret_digest) {
  if (datagram.size() < kMacBytes) return false;
  const std::string_view message = datagram.substr(0, datagram.size() - kMacBytes);
  return SecretsEqual(MacOf(message, secret_digest), datagram.substr(message.size()));
}

std::string EncodeLanAnswer(std::string_view nonce, const Endpoint& address, const Digest& secret_digest) {
  ByteWriter writer;
  writer.Raw(LanHead(LanWord::kLanAnswer));
  writer.Raw(nonce);
  writer.Address(address);
  return WithMac(writer.Take(), secret_digest);
}

std::optional<LanAnswer> OpenLanAnswer(std::string_view datagram, const Digest& secret_digest) {
  if (LanWordOf(datagram) != LanWord::kLanAnswer || datagram.size() != kAnswerBytes) return std::nullopt;
  if (!HasLanMac(datagram, secret_digest)) return std::nullopt;
  ByteReader reader(LanBody(datagram));
  LanAnswer answer;
  answer.nonce = reader.Raw(kLanNonceBytes);
  answer.address = reader.Address();
  return answer;
}

}  // namespace hs
