// Whether what this node is told can be kept: judged by itself from what its disk has room for and refuses.
//
// Intuition: a clerk whose ledger has no page left says so before he takes the chair, and not when he is
// asked to sign; he takes it again when he has written in the new ledger for a while, and waits longer each
// time that he was wrong.
//
// A refused write counts at once; so does less room than kDiskFloorBytes, or 1 % of the disk where that is
// less. It is well again when test writes have succeeded, and twice that room was there, all the time for
// kDiskRelief. Each relapse soon after doubles that, up to kDiskReliefMax: what is too large for a disk that
// is not full must not make its roles and its work come and go.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "core/node/contract.h"

namespace hs {

inline constexpr std::uint64_t kDiskFloorBytes = 64 << 20;
inline constexpr Duration kDiskRelief = 10s;
inline constexpr Duration kDiskReliefMax = 10min;

class DiskGauge {
 public:
  // True when the answer changed.
  bool Step(Time now, const DiskChecked& check);

  DiskFault fault() const { return fault_; }
  const std::string& cause() const { return cause_; }  // of the last change, with the numbers

 private:
  void Fail(Time now, DiskFault fault);

  DiskFault fault_ = DiskFault::kNone;
  std::string cause_;
  Duration relief_ = kDiskRelief;
  Time good_since_ = kNever;  // while there is a fault
  Time well_since_{};         // while there is none
};

}  // namespace hs
