// How long one suspicion lasts before it becomes 'unreachable'.
//
// Intuition: one person who says "he does not answer" may be deaf himself, so we wait long. When others who
// tried for themselves agree, we wait less each time, down to a floor that leaves the suspect one fair chance
// to refute.
//
// Whoever cannot be heard either will not agree: with nobody left to agree, the floor is all there is to wait
// for.
//
// Invariants: the deadline never moves later by a witness; a witness counts once.
// It does not decide who is a credible witness, and it does not know states.
// Source: Dadgar, Phillips, Currey, "Lifeguard: local health awareness for more accurate failure detection",
// 2018, 4.2.
#pragma once

#include <cstddef>
#include <vector>

#include "base/ids.h"
#include "base/shared_value.h"
#include "base/time.h"

namespace hs {

// As many as relays are asked in all but large clusters, where more of them say nothing more.
inline constexpr int kConfirmationsMax = 3;

// Shortest and longest life of a suspicion in a cluster of some size.
struct SuspicionBounds {
  Duration min;
  Duration max;
  // Witnesses beside the first that bring it down to `min`.
  int confirmations = 0;
};

// min = suspicion_min * max(1, log10(members)): news needs longer to reach everyone, so does a refutation.
// confirmations = kConfirmationsMax, fewer where there are fewer who could confirm.
SuspicionBounds BoundsFor(std::size_t members, Duration suspicion_min, std::int64_t max_factor);

class Suspicion {
 public:
  Suspicion(Time start, SuspicionBounds bounds) : start_(start), bounds_(bounds) {}

  // False when it was one already.
  bool AddWitness(NodeId witness);
  bool RemoveWitness(NodeId witness);
  bool HasWitness(NodeId witness) const;
  // Sorted; at most kWitnessesMax.
  const SharedValue<std::vector<NodeId>>& witnesses() const { return witnesses_; }
  // Keeps this list, if it says the same: one list for all who heard it.
  void Share(const SharedValue<std::vector<NodeId>>& heard) {
    if (*heard == *witnesses_) witnesses_ = heard;
  }
  // True when more witnesses change nothing.
  bool Full() const { return static_cast<int>(witnesses_->size()) > bounds_.confirmations; }

  // max - (max - min) * log(c + 1) / log(k + 1) after the start, for c witnesses beside the first, where k
  // could confirm: `confirmations`, or `others` where there are fewer.
  Time Deadline(int others) const;
  // The deadline for a node without evidence of its own: it trusts the witnesses to tell in time, and waits
  // longest.
  Time LongestDeadline() const { return start_ + bounds_.max; }

  Time start() const { return start_; }
  // Begin the wait anew, keeping the witnesses: this node was not listening meanwhile.
  void Restart(Time now) { start_ = now; }

  // For what its holder last set an alarm; the deadline is asked for far more often than it moves.
  Time armed = kNever;
  Time judged_at{};  // by its holder alone, who has asked the suspect once more for this; zero: not asked yet

  static constexpr std::size_t kWitnessesMax = 8;

 private:
  Time start_;
  SuspicionBounds bounds_;
  SharedValue<std::vector<NodeId>> witnesses_;
};

}  // namespace hs
