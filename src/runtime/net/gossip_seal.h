// Sealing and opening gossip datagrams: who said it is proven, and each is taken at most once.
//
// Layout, 43 bytes more than the content:
//   version 1 | sender's node id 16 | sender's boot id 8 | counter 6 | AES-256-GCM content | tag 12
// Everything before the content is authenticated with it. The key is HKDF(gossip secret, node id || boot id):
// every start of every node has one of its own, so the counter alone can be the nonce, and nothing about it
// is kept on disk.
//
// A receiver keeps, per sender and boot, which of the last 1024 counters it has seen (RFC 6479's window). It
// forgets the senders least recently heard when there are too many, and everything at its own restart: a
// datagram replayed then gets through once more, which gossip bears, since its news is ordered by
// incarnation.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ids.h"
#include "runtime/crypto/primitives.h"

namespace hs {

// The last kBits counters of one sender. Counters start at 1.
class ReplayWindow {
 public:
  static constexpr std::uint64_t kBits = 1024;
  // True the first time a counter is seen, false for repeats and for what is older than the window.
  bool Accept(std::uint64_t counter);
  // What Accept would say.
  bool Fresh(std::uint64_t counter) const;

 private:
  std::uint64_t greatest_ = 0;
  std::array<std::uint64_t, kBits / 64> seen_{};
};

// Every datagram that was not handed on, by reason.
struct GossipDrops {
  std::uint64_t truncated = 0;        // too short to be one of ours
  std::uint64_t oversized = 0;        // longer than any of ours
  std::uint64_t unknown_version = 0;  // another program, or a later one
  std::uint64_t unauthentic = 0;      // not sealed with this cluster's secret, or changed on the way
  std::uint64_t replayed = 0;         // seen before, or too old to tell
  std::uint64_t own = 0;              // of this boot of ours, come back to us
  friend bool operator==(const GossipDrops&, const GossipDrops&) = default;
};

class GossipSeal {
 public:
  static constexpr std::size_t kOverheadBytes = 1 + 16 + 8 + 6 + 12;
  static constexpr std::size_t kContentMax = 4096;
  static constexpr std::size_t kSendersMax = 4096;

  // Each purpose has keys, and so counters, of its own.
  GossipSeal(std::string secret, NodeId self, BootId boot, std::string purpose = "homeostat gossip 1");

  // Replaces `datagram`. Content up to kContentMax.
  void Seal(std::string_view content, std::string& datagram);

  // Replaces `content` and answers who sent it; nullopt, counted, for everything else. Our own id: from
  // another boot than this one.
  std::optional<NodeId> Open(std::string_view datagram, std::string& content);

  const GossipDrops& drops() const { return drops_; }
  void CountOversized() { ++drops_.oversized; }

 private:
  struct Sender {
    std::string name;  // node id and boot id as in the header
    AeadKey key;
    ReplayWindow window;
  };
  AeadKey KeyFor(std::string_view sender_name) const;

  std::string secret_;
  std::string purpose_;
  std::string self_name_;
  AeadKey self_key_;
  std::uint64_t counter_ = 0;
  std::list<Sender> senders_;  // most recently heard first
  std::unordered_map<std::string_view, std::list<Sender>::iterator> by_name_;
  GossipDrops drops_;
};

}  // namespace hs
