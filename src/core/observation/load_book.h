// What was measured where in the last seconds: the latest load report of each sender, and their sum.
//
// Intuition: a night nurse's sheet. Every ward phones in once a second; the sheet keeps each ward's last
// word, and a word that is too old counts as silence, not as health.
//
// Invariants:
//  1. No node's second is counted twice: when two reports name the same node, only the newer one counts, even
//     if others in the older one are then missing for a second. Too little known never scales down; too much
//     would scale up.
//  2. A report counts for kLoadFresh, one that said its nodes were idle for kLoadFreshIdle, since idle nodes
//     report less often.
//
//  3. What a sender said of itself and what it said as a monitor are two words; neither replaces the other.
//     Two monitors that watch each other say both.
//
// It holds at most two reports a sender, and forgets those that are too old at each Take.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "base/time.h"
#include "core/messages.h"

namespace hs {

// Between two words of a node that is not idle.
inline constexpr Duration kLoadInterval = 1s;
inline constexpr Duration kLoadFresh = 3s;
inline constexpr Duration kLoadFreshIdle = 15s;
inline constexpr Duration kLoadIdleInterval = 5s;

// No service in it has traffic, a queue or a metric of its own.
bool IsIdle(const LoadReport& report);

// Adds the services' sums and takes the nodes over. Both and the result sorted as LoadReport has it.
void AddTo(LoadReport& sum, const LoadReport& part);

class LoadBook {
 public:
  void Take(Time now, NodeId from, LoadReport report);
  void Forget(NodeId from) {
    reports_.erase({from, false});
    reports_.erase({from, true});
  }

  // Whether what was just taken is the last of a second's words of those who are not idle, and the sum of all
  // is as young as it gets. Everybody speaks at a moment of his own, so the last is who a longer pause
  // follows than any other. `senders`, sorted: what these say of themselves; null: everything.
  bool EndsRound(Time now, const std::vector<NodeId>* senders = nullptr) const;
  bool AnyBusy(Time now, const std::vector<NodeId>* senders = nullptr) const {
    return !BusySince(now, senders).empty();
  }

  // The sum of what counts now.
  LoadReport Sum(Time now) const { return Sum(now, nullptr); }
  // Of what these senders, sorted, said of themselves.
  LoadReport SumOf(Time now, const std::vector<NodeId>& senders) const { return Sum(now, &senders); }

 private:
  struct Entry {
    Time at;
    LoadReport report;
  };
  bool Counts(Time now, const Entry& entry) const;
  std::vector<const Entry*> Counted(Time now, const std::vector<NodeId>* senders) const;
  std::vector<Duration> BusySince(Time now, const std::vector<NodeId>* senders) const;
  LoadReport Sum(Time now, const std::vector<NodeId>* senders) const;

  // By sender, and whether it speaks of itself alone.
  std::map<std::pair<NodeId, bool>, Entry> reports_;
};

}  // namespace hs
