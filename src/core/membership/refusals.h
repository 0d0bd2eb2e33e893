// Who was refused by whom: the evidence that an agent is gone.
//
// Intuition: one witness may have knocked at the wrong door; two who knocked independently are believed. A
// statement is about one life (boot) of the agent and grows stale quickly. Invariants: one statement per
// witness and target, the newest; nothing older than kClaimLife counts.
#pragma once

#include <map>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace hs {

class RefusalBook {
 public:
  // Long enough for a second witness to be asked and to try; short enough that an agent which came back is
  // not condemned by an old statement and a new one together.
  static constexpr Duration kClaimLife = 3s;

  void Add(NodeId target, NodeId witness, std::uint32_t boot, Time now);
  void Withdraw(NodeId target, NodeId witness);
  void Forget(NodeId target) { claims_.erase(target); }

  // Those whose statement about this life still counts; sorted.
  std::vector<NodeId> Witnesses(NodeId target, std::uint32_t boot, Time now) const;
  bool Has(NodeId target, NodeId witness, std::uint32_t boot, Time now) const;

 private:
  struct Claim {
    std::uint32_t boot = 0;
    Time at;
  };
  std::map<NodeId, std::map<NodeId, Claim>> claims_;
};

}  // namespace hs
