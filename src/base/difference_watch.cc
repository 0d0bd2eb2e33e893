#include "base/difference_watch.h"

#include <algorithm>

namespace hs {
namespace {

// What was said once may be long over: it is acted on after so many times the patience.
constexpr std::int64_t kSaidOnce = 3;

}  // namespace

void DifferenceWatch::AskAt(NodeId peer, Peer& entry, Time at) {
  if (entry.ask_at != kNever) asks_.erase({entry.ask_at, peer});
  if (at != kNever) asks_.insert({at, peer});
  entry.ask_at = at;
}

// News since it was said may be all the difference.
bool DifferenceWatch::OvertakenByNews(Time now, const Peer& entry) const {
  return (entry.said_at == kNever || changed_at_ > entry.said_at) && !Lasts(now, entry);
}

void DifferenceWatch::Heard(Time now, NodeId peer, std::uint64_t theirs, std::uint64_t ours) {
  if (theirs == 0) return;
  if (theirs == ours) return Forget(peer);
  const auto [it, fresh] = peers_.try_emplace(peer);
  Peer& entry = it->second;
  if (fresh) {
    entry.since = now;
    entry.pause = std::min(2 * patience_, pause_max_);
  }
  entry.theirs = theirs;
  if (OvertakenByNews(now, entry)) {
    const bool quiet = now - changed_at_ >= patience_;
    entry.said_at = quiet ? now : kNever;
    AskAt(peer, entry, quiet ? std::max(now + kSaidOnce * patience_, entry.allowed_at) : kNever);
  } else if (Lasts(now, entry) || now - entry.said_at >= patience_) {
    AskAt(peer, entry, std::min(entry.ask_at, std::max(now, entry.allowed_at)));
  }
}

void DifferenceWatch::Forget(NodeId peer) {
  const auto it = peers_.find(peer);
  if (it == peers_.end()) return;
  AskAt(peer, it->second, kNever);
  peers_.erase(it);
}

std::optional<NodeId> DifferenceWatch::Due(Time now, std::uint64_t ours) {
  if (now < next_ask_) return std::nullopt;
  while (!asks_.empty() && asks_.begin()->first <= now) {
    const NodeId peer = asks_.begin()->second;
    const auto it = peers_.find(peer);
    Peer& entry = it->second;
    AskAt(peer, entry, kNever);
    if (entry.theirs == ours) {
      peers_.erase(it);
      continue;
    }
    if (OvertakenByNews(now, entry)) continue;
    if (Lasts(now, entry)) {
      if (now < lasting_next_) continue;
      lasting_next_ = now + pause_max_ / 4;
    }
    entry.said_at = kNever;
    entry.allowed_at = now + entry.pause;
    entry.pause = std::min(2 * entry.pause, pause_max_);
    next_ask_ = now + patience_ / 4;
    return peer;
  }
  return std::nullopt;
}

}  // namespace hs
