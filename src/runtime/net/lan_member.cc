#include "runtime/net/lan_member.h"

#include "runtime/crypto/byte_io.h"
#include "runtime/crypto/primitives.h"
#include "runtime/net/lan_words.h"

namespace hs {
namespace {

constexpr std::size_t kNoncesMax = 1024;

}  // namespace

LanMember::LanMember(const Endpoint& advertised, const Identity& identity, LanService service)
    : advertised_(advertised),
      seal_(identity.gossip_secret, identity.node, identity.boot_id, "homeostat lan member 1"),
      service_(std::move(service)),
      gate_(Prng(RandomU64())) {}

Result<std::unique_ptr<LanMember>> LanMember::Open(boost::asio::io_context& loop, const Endpoint& listen,
                                                   const Endpoint& advertised, const Identity& identity,
                                                   LanService service) {
  std::unique_ptr<LanMember> member(new LanMember(advertised, identity, std::move(service)));
  auto socket = LanSocket::Open(
      loop, listen,
      [self = member.get()](const Endpoint& from, std::string_view datagram) { self->Hear(from, datagram); });
  if (!socket) return std::unexpected(socket.error());
  member->socket_ = std::move(*socket);
  return member;
}

void LanMember::Ask() {
  ByteWriter address;
  address.Address(advertised_);
  std::string sealed;
  seal_.Seal(address.Take(), sealed);
  socket_->Ask(LanHead(LanWord::kMemberQuestion) + sealed);
}

void LanMember::Hear(const Endpoint& from, std::string_view datagram) {
  const auto word = LanWordOf(datagram);
  if (word == LanWord::kMemberQuestion) OnMemberQuestion(LanBody(datagram));
  if (word == LanWord::kLanQuestion) OnJoinerQuestion(from, datagram);
}

void LanMember::OnMemberQuestion(std::string_view sealed) {
  const auto asker = seal_.Open(sealed, content_);
  if (!asker) return;
  ByteReader reader(content_);
  const Endpoint address = reader.Address();
  if (reader.AtEnd() && address && !address.ip.IsUnspecified()) service_.heard(*asker, address);
}

void LanMember::OnJoinerQuestion(const Endpoint& from, std::string_view datagram) {
  const auto question = ReadLanQuestion(datagram);
  const auto token = question ? service_.find_token(question->token_id) : std::nullopt;
  const Now now = service_.now();
  if (!token || token->admin || (token->expires_ms != 0 && token->expires_ms <= now.wall_ms)) return;
  if (!HasLanMac(datagram, token->secret_digest) || IsRepeated(question->nonce)) return;
  if (!gate_.Open(now.mono, service_.members())) return;
  socket_->Answer(from, EncodeLanAnswer(question->nonce, advertised_, token->secret_digest));
}

bool LanMember::IsRepeated(const std::string& nonce) {
  if (!nonces_.insert(nonce).second) return true;
  if (nonces_in_turn_.size() < kNoncesMax) {
    nonces_in_turn_.push_back(nonce);
    return false;
  }
  nonces_.erase(std::exchange(nonces_in_turn_[oldest_], nonce));
  oldest_ = (oldest_ + 1) % kNoncesMax;
  return false;
}

}  // namespace hs
