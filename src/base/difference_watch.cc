#include "base/difference_watch.h"

#include <algorithm>

namespace hs {

void DifferenceWatch::Heard(Time now, NodeId peer, std::uint64_t theirs, std::uint64_t ours) {
  if (theirs == 0) return;
  if (theirs == ours) {
    peers_.erase(peer);
    return;
  }
  const auto [it, fresh] = peers_.try_emplace(peer);
  Peer& entry = it->second;
  if (fresh) {
    entry.since = now;
    entry.pause = std::min(2 * patience_, pause_max_);
  }
  entry.theirs = theirs;
  if (entry.ask_at != kNever) return;
  const bool quiet = now - changed_at_ >= patience_;
  if (!quiet && now - entry.since < pause_max_) return;
  entry.decided_at = now;
  entry.ask_at = std::max(now + patience_ + prng_.Between(0s, patience_ / 2), entry.allowed_at);
}

void DifferenceWatch::KeepOnly(const std::set<NodeId>& peers) {
  std::erase_if(peers_, [&](const auto& entry) { return !peers.contains(entry.first); });
}

std::optional<NodeId> DifferenceWatch::Due(Time now, std::uint64_t ours) {
  if (now < next_ask_) return std::nullopt;
  for (auto it = peers_.begin(); it != peers_.end();) {
    auto& [peer, entry] = *it;
    if (entry.ask_at > now) {
      ++it;
      continue;
    }
    entry.ask_at = kNever;
    if (entry.theirs == ours) {
      it = peers_.erase(it);
      continue;
    }
    const bool outdated = changed_at_ > entry.decided_at && now - entry.since < pause_max_;
    if (outdated) {
      ++it;
      continue;
    }
    entry.allowed_at = now + entry.pause;
    entry.pause = std::min(2 * entry.pause, pause_max_);
    next_ask_ = now + patience_ / 4;
    return peer;
  }
  return std::nullopt;
}

Time DifferenceWatch::NextDeadline() const {
  Time next = kNever;
  for (const auto& [peer, entry] : peers_) next = std::min(next, entry.ask_at);
  return next == kNever ? kNever : std::max(next, next_ask_);
}

}  // namespace hs
