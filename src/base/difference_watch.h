// When replicas that should be equal say they are not: with whom to compare notes, and when.
//
// Like neighbours who hear different rumours: mostly the news is still on its way, so one waits a moment
// before walking over; and one does not knock at the same door every minute.
//
// Invariants: a difference is acted on only when the peer said so twice, at least `patience` apart, or once
// and was not heard since for three times that, and when our own side was quiet all that time and for
// `patience` before; or when it has lasted `pause_max` in spite of everything: where there is always news
// everybody always differs, so of these one is asked per quarter of `pause_max`. The same peer is asked at
// growing intervals up to `pause_max`; no two peers are asked within a quarter of `patience`. Does not know
// what differs, and sends nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "base/flat_map.h"
#include "base/ids.h"
#include "base/time.h"

namespace hs {

class DifferenceWatch {
 public:
  DifferenceWatch(Duration patience, Duration pause_max) : patience_(patience), pause_max_(pause_max) {}

  // Our own digest changed.
  void Changed(Time now) { changed_at_ = now; }
  // A peer said its digest; 0: it said nothing.
  void Heard(Time now, NodeId peer, std::uint64_t theirs, std::uint64_t ours);
  void Forget(NodeId peer);
  // The peer to compare notes with now, if any. Call until it has none.
  std::optional<NodeId> Due(Time now, std::uint64_t ours);
  // The last comparison was a large one: the next one not before.
  void NotBefore(Time at) { next_ask_ = std::max(next_ask_, at); }
  Time NextDeadline() const { return asks_.empty() ? kNever : std::max(asks_.begin()->first, next_ask_); }

 private:
  struct Peer {
    std::uint64_t theirs = 0;
    Time since{};           // of the difference, as far as it was heard
    Time said_at = kNever;  // first, while our own side is quiet
    Time ask_at = kNever;   // unless the difference goes away
    Time allowed_at{};
    Duration pause{};
  };
  bool Lasts(Time now, const Peer& entry) const { return now - entry.since >= pause_max_; }
  bool OvertakenByNews(Time now, const Peer& entry) const;
  void AskAt(NodeId peer, Peer& entry, Time at);

  Duration patience_;
  Duration pause_max_;
  FlatMap<NodeId, Peer> peers_;             // those that differ
  std::set<std::pair<Time, NodeId>> asks_;  // the same, of those with an ask_at: looked at after every step
  Time changed_at_{};
  Time next_ask_{};
  Time lasting_next_{};  // of those whose difference lasts
};

}  // namespace hs
