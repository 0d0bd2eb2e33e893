// How much of what is put straight to each peer gets lost, and so how many missed answers in a row are no
// chance.
//
// Intuition: on a good road two letters in a row without an answer mean that it is blocked; on a road where
// every fifth letter gets lost they mean nothing yet. What was missed while later questions were answered was
// lost: a cut answers nothing. Invariants: only peers that lost something lately are kept; kMissesMin for all
// others; a road that loses more than kBadShare is as good as blocked, since a way round is most likely
// better.
#pragma once

#include <cstddef>

#include "base/flat_map.h"
#include "base/time.h"
#include "core/types.h"

namespace hs {

class LossBook {
 public:
  static constexpr int kMissesMin = 2;
  static constexpr int kMissesMax = 6;

  // A question was answered in time, after so many that were not.
  void Answered(Time now, NodeId peer, int missed_before = 0);
  void KeepPresent(const MemberTable& members);

  // So many misses in a row are taken for a cut.
  int MissesOfACut(Time now, NodeId peer) const;
  std::size_t size() const { return shares_.size(); }

 private:
  struct Lost {
    double share = 0;  // of questions
    Time at{};         // as of
    double At(Time now) const;
  };
  FlatMap<NodeId, Lost> shares_;
};

}  // namespace hs
