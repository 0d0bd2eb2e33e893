// What a node keeps about other members for itself, by their slots in the member table; and whom it heard
// last.
//
// Intuition: a card for everyone one has met, and a folder for the few one has had trouble with. A cluster of
// ten thousand has a hundred million pairs, and of most pairs there is nothing to say but when one heard the
// other last. Invariants: a card that was never written on reads as zeros; a folder, once made, stays until
// the member is forgotten. References to cards and folders stay valid until then.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "base/time.h"
#include "core/membership/quarantine.h"
#include "core/membership/suspicion.h"
#include "core/types.h"

namespace hs {

class PeerBook {
 public:
  using Slot = MemberTable::Slot;

  struct Card {
    Time heard_at{};
    Time differs_since{};      // its members digest is not ours
    std::uint32_t folder = 0;  // its number, from 1; 0: none
    bool said_digest = false;  // it ever said one
  };
  struct Folder {
    std::unique_ptr<Suspicion> suspicion;
    SharedValue<std::vector<NodeId>> gone_witnesses;  // on whose word it is no longer present
    Time failed_at{};  // our own attempt to reach it failed last, without a word from it since
    Time corrected_at{};
    Time pushed_at{};
    Time connect_at{};
    Time next_retry{};
    Duration retry_wait{};
    Quarantine quarantine;
    // It refuted, in this boot, that this node's refusal showed its end: something between refuses in its
    // name, and does so until a connection comes about.
    std::optional<std::uint32_t> walled_boot;
    std::uint8_t claim_rounds = 0;
    bool end_told = false;  // others said too, since this node judged it gone, that it is
  };

  Card& CardOf(Slot slot) {
    if (slot >= cards_.size()) cards_.resize(slot + 1);
    return cards_[slot];
  }
  // Null: nothing to say.
  Folder* Find(Slot slot) {
    if (slot >= cards_.size() || cards_[slot].folder == 0) return nullptr;
    return &folders_[cards_[slot].folder - 1];
  }
  const Folder* Find(Slot slot) const { return const_cast<PeerBook*>(this)->Find(slot); }
  Folder& FolderOf(Slot slot) {
    Card& card = CardOf(slot);
    if (card.folder == 0) {
      if (free_.empty()) {
        folders_.emplace_back();
        card.folder = static_cast<std::uint32_t>(folders_.size());
      } else {
        card.folder = free_.back();
        free_.pop_back();
      }
    }
    return folders_[card.folder - 1];
  }
  // The slot is somebody else's from now on.
  void Forget(Slot slot) {
    if (slot >= cards_.size()) return;
    if (const std::uint32_t folder = cards_[slot].folder; folder != 0) {
      folders_[folder - 1] = Folder{};
      free_.push_back(folder);
    }
    cards_[slot] = Card{};
  }

 private:
  std::deque<Card> cards_;
  std::deque<Folder> folders_;
  std::vector<std::uint32_t> free_;  // folders of members forgotten
};

// Whom one heard last: as many as can matter to a suspicion.
class LastHeard {
 public:
  void Note(NodeId from, Time now) {
    auto at = std::ranges::find(heard_, from, &Heard::from);
    if (at == heard_.end()) --at;  // he whom one has not heard for the longest gives way
    *at = {from, now};
    std::rotate(heard_.begin(), at, std::next(at));
  }
  // How many of them were heard at `since` or later.
  int CountSince(Time since) const {
    return static_cast<int>(std::ranges::count_if(
        heard_, [since](const Heard& of) { return of.from != NodeId{} && of.at >= since; }));
  }

 private:
  struct Heard {
    NodeId from;
    Time at{};
  };
  std::array<Heard, kConfirmationsMax> heard_{};  // the latest first
};

}  // namespace hs
