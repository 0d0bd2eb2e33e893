#include "runtime/net/gossip_seal.h"

#include "base/check.h"
#include "runtime/crypto/byte_io.h"

namespace hs {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kNameBytes = 16 + 8;
constexpr std::size_t kCounterBytes = 6;
constexpr std::size_t kHeaderBytes = 1 + kNameBytes + kCounterBytes;
constexpr std::size_t kTagBytes = 12;
static_assert(kHeaderBytes + kTagBytes == GossipSeal::kOverheadBytes);

std::string NameOf(NodeId node, BootId boot) {
  ByteWriter writer;
  writer.Id(node);
  writer.Number(boot.value, 8);
  return writer.Take();
}

std::array<char, AeadKey::kNonceBytes> NonceOf(std::string_view header) {
  std::array<char, AeadKey::kNonceBytes> nonce{};
  const std::string_view counter = header.substr(1 + kNameBytes, kCounterBytes);
  std::copy(counter.begin(), counter.end(), nonce.end() - kCounterBytes);
  return nonce;
}

}  // namespace

bool ReplayWindow::Fresh(std::uint64_t counter) const {
  if (counter == 0) return false;
  if (counter > greatest_) return true;
  if (greatest_ - counter >= kBits) return false;
  return (seen_[counter / 64 % seen_.size()] >> (counter % 64) & 1) == 0;
}

bool ReplayWindow::Accept(std::uint64_t counter) {
  if (!Fresh(counter)) return false;
  if (counter - greatest_ >= kBits && counter > greatest_) {
    seen_.fill(0);
    greatest_ = counter;
  }
  // Slots that the window moves over belonged to counters that fall out of it.
  for (; greatest_ < counter; ++greatest_) {
    const std::uint64_t next = greatest_ + 1;
    seen_[next / 64 % seen_.size()] &= ~(std::uint64_t{1} << (next % 64));
  }
  seen_[counter / 64 % seen_.size()] |= std::uint64_t{1} << (counter % 64);
  return true;
}

GossipSeal::GossipSeal(std::string secret, NodeId self, BootId boot, std::string purpose)
    : secret_(std::move(secret)),
      purpose_(std::move(purpose)),
      self_name_(NameOf(self, boot)),
      self_key_(KeyFor(self_name_)) {}

AeadKey GossipSeal::KeyFor(std::string_view sender_name) const {
  return AeadKey(HkdfSha256(secret_, sender_name, purpose_, AeadKey::kKeyBytes), kTagBytes);
}

void GossipSeal::Seal(std::string_view content, std::string& datagram) {
  HS_CHECK(content.size() <= kContentMax);
  ++counter_;  // 2^48 datagrams last 8,900 years at a thousand a second
  ByteWriter header;
  header.Number(kVersion, 1);
  header.Raw(self_name_);
  header.Number(counter_, kCounterBytes);
  datagram = header.Take();
  const std::string associated = datagram;
  const auto nonce = NonceOf(associated);
  self_key_.Seal({nonce.data(), nonce.size()}, associated, content, datagram);
}

std::optional<NodeId> GossipSeal::Open(std::string_view datagram, std::string& content) {
  content.clear();
  const auto drop = [](std::uint64_t& counter) {
    ++counter;
    return std::nullopt;
  };
  if (datagram.size() > kContentMax + kOverheadBytes) return drop(drops_.oversized);
  if (datagram.size() < kOverheadBytes) return drop(drops_.truncated);
  if (datagram[0] != kVersion) return drop(drops_.unknown_version);
  const std::string_view header = datagram.substr(0, kHeaderBytes);
  const std::string_view name = header.substr(1, kNameBytes);
  // Of another boot it is no echo: a copy of our data directory, or someone who replays our former life.
  if (name == self_name_) return drop(drops_.own);
  const std::uint64_t counter = ByteReader(header.substr(1 + kNameBytes)).Number(kCounterBytes);
  const auto known = by_name_.find(name);
  if (known != by_name_.end() && !known->second->window.Fresh(counter)) return drop(drops_.replayed);

  const auto nonce = NonceOf(header);
  const std::string_view nonce_view(nonce.data(), nonce.size());
  const std::string_view sealed = datagram.substr(kHeaderBytes);
  if (known != by_name_.end()) {
    if (!known->second->key.Open(nonce_view, header, sealed, content)) return drop(drops_.unauthentic);
    senders_.splice(senders_.begin(), senders_, known->second);
  } else {
    Sender sender{std::string(name), KeyFor(name), {}};
    if (!sender.key.Open(nonce_view, header, sealed, content)) return drop(drops_.unauthentic);
    // Only proven members get here, so nobody outside can push others out of the table.
    if (senders_.size() >= kSendersMax) {
      by_name_.erase(senders_.back().name);
      senders_.pop_back();
    }
    senders_.push_front(std::move(sender));
    by_name_.emplace(senders_.front().name, senders_.begin());
  }
  if (!senders_.front().window.Accept(counter)) return drop(drops_.replayed);
  return ByteReader(name).TakeId<NodeId>();
}

}  // namespace hs
