// Between nodes: floods, acknowledgements, and comparing notes.
#include <algorithm>

#include "base/hash.h"
#include "core/intent/store.h"

namespace hs {
namespace {

// Documents per message, and stacks among them: keeps a message below a megabyte with stacks of ordinary
// size, and below half of what a link takes with the largest there can be.
constexpr std::size_t kPushMax = 128;
constexpr std::size_t kPushStacksMax = 8;
// The moment of being in step is compared with floors that are weeks old, and costs a look at all clocks.
constexpr Duration kInStepPause = 10s;
// By so many of its links a node floods: in a burst of joins or losses it has many more, and each would bring
// everybody what he knows. Comparing notes finds whoever was left out by all others.
constexpr std::size_t kFloodLinks = 8;
// Longer than what is flooding at one time.
constexpr std::size_t kAcknowledgedKept = 64;

}  // namespace

Endpoint IntentStore::AddressOf(NodeId peer) const {
  const auto it = peers_.find(peer);
  return it == peers_.end() ? Endpoint{} : it->second.address;
}

void IntentStore::SendDocuments(NodeId to, const std::vector<Document>& documents, bool flood,
                                NodeId ack_to) {
  DocumentPush push{{}, flood, ack_to};
  std::size_t stacks = 0;
  const auto send = [&] {
    if (!push.documents.empty()) out_.push_back(SendLink{to, AddressOf(to), push});
    push.documents.clear();
    stacks = 0;
  };
  for (const Document& document : documents) {
    const bool stack = std::holds_alternative<StackSpec>(document.body);
    if (push.documents.size() == kPushMax || (stack && stacks == kPushStacksMax)) send();
    push.documents.push_back(document);
    stacks += stack;
  }
  send();
}

void IntentStore::Flood(const std::vector<Document>& documents, NodeId except, NodeId ack_to) {
  if (links_.empty() || documents.empty()) return;
  // Other links for another document and at another node, so that nobody is left out by all or always.
  const std::uint64_t draw = HashOfVersion(documents.front().key, documents.front().stamp) ^ self_.Prefix64();
  auto it = links_.begin();
  if (links_.size() > kFloodLinks) std::advance(it, static_cast<std::ptrdiff_t>(Mix64(draw) % links_.size()));
  std::size_t told = 0;
  for (std::size_t i = 0; i < links_.size() && told < kFloodLinks; ++i, ++it) {
    if (it == links_.end()) it = links_.begin();
    if (*it == except || *it == ack_to) continue;
    SendDocuments(*it, documents, true, ack_to);
    ++told;
  }
}

void IntentStore::Acknowledge(NodeId to, const Stamp& stamp) {
  out_.push_back(AckDocument{to, AddressOf(to), stamp});
  acknowledged_.emplace_back(to, stamp);
  if (acknowledged_.size() > kAcknowledgedKept) acknowledged_.pop_front();
}

void IntentStore::SendOffer(NodeId to, bool reply_wanted) {
  DocumentOffer offer{reply_wanted, floor_, {}};
  for (const auto& [key, document] : documents_) offer.held.emplace_back(key, document.stamp);
  out_.push_back(SendLink{to, AddressOf(to), std::move(offer)});
}

void IntentStore::On(Now now, const IntentPeers& peers) {
  std::map<NodeId, Endpoint> present(peers.present.begin(), peers.present.end());
  std::vector<NodeId> absent;
  for (const auto& [id, peer] : peers_) {
    if (!present.contains(id)) absent.push_back(id);
  }
  for (const NodeId& id : absent) On(now, IntentPeer{id, std::nullopt});
  for (const auto& [id, address] : present) On(now, IntentPeer{id, address});
}

void IntentStore::On(Now now, const IntentPeer& peer) {
  if (peer.id == self_) return;
  if (peer.address) {
    peers_[peer.id].address = *peer.address;
  } else if (peers_.erase(peer.id) != 0) {
    clock_.Forget(peer.id);
    differences_.Forget(peer.id);
  }
  SettleAll(now);
}

void IntentStore::On(Now, const LinkUp& link) {
  if (link.peer != self_) links_.insert(link.peer);
}
void IntentStore::On(Now, const LinkDown& link) { links_.erase(link.peer); }

void IntentStore::On(Now now, const IntentDigestHeard& heard) {
  const bool equal = heard.digest == digest_;
  if (equal) differences_.Forget(heard.peer);  // the rule: nothing more to look up
  if ((equal && now.mono < in_step_again_) || !peers_.contains(heard.peer)) return;
  if (!equal) return differences_.Heard(now.mono, heard.peer, heard.digest, digest_);
  in_step_again_ = now.mono + kInStepPause;
  in_step_ms_ = std::max(in_step_ms_, clock_.Median(now.wall_ms));
}

void IntentStore::On(Now now, const DocumentOfferReceived& received) {
  const DocumentOffer& offer = received.offer;
  // A floor that nobody can have reached yet comes from a wrong calendar.
  const WallMs floor_max = clock_.Median(now.wall_ms) - ToMs(tunables_.tombstone_keep);
  if (offer.floor > floor_ && offer.floor.wall_ms <= floor_max) YieldToFloor(now, offer);
  if (const auto peer = peers_.find(received.from); peer != peers_.end()) peer->second.floor = offer.floor;
  std::map<std::string_view, Stamp> theirs;
  bool lacking = offer.floor < floor_;  // they must learn of the floor
  for (const auto& [key, stamp] : offer.held) {
    theirs[key] = stamp;
    const Stamp ours = KnownStamp(key);
    const bool forgotten = ours == Stamp{} && stamp <= floor_ && offer.floor < floor_;
    lacking = lacking || (stamp > ours && !forgotten && !held_.contains({key, stamp}));
  }
  std::vector<Document> newer;
  for (const auto& [key, document] : documents_) {
    const auto it = theirs.find(key);
    if (it != theirs.end() && it->second >= document.stamp && !MayTakeBack(document, it->second)) continue;
    newer.push_back(document);
    if (document.stamp.node == self_) lacked_[key] = document.stamp;
  }
  Restamp(now);
  SendDocuments(received.from, newer, false, NodeId{});
  if (lacking && offer.reply_wanted) SendOffer(received.from, false);
}

// The peer's side has forgotten deletions we may never have heard of. If we were last in step before them,
// what we hold below its floor and it does not is taken for deleted, and stays visible as a conflict.
void IntentStore::YieldToFloor(Now now, const DocumentOffer& offer) {
  if (in_step_ms_ < offer.floor.wall_ms) {
    std::map<std::string_view, Stamp> theirs(offer.held.begin(), offer.held.end());
    std::vector<std::string> stale;
    for (const auto& [key, document] : documents_) {
      if (document.stamp > offer.floor) continue;
      const auto it = theirs.find(key);
      if (it == theirs.end() || it->second < document.stamp) stale.push_back(key);
    }
    for (const std::string& key : stale) Forget(now, key);
  }
  RaiseFloor(offer.floor);
}

}  // namespace hs
