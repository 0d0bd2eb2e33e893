#include "core/leadership/disk_gauge.h"

#include <algorithm>

namespace hs {
namespace {

std::string Room(const DiskChecked& check) {
  return std::to_string(check.free_bytes >> 20) + " of " + std::to_string(check.total_bytes >> 20) +
         " MiB are free";
}

}  // namespace

void DiskGauge::Fail(Time now, DiskFault fault) {
  if (fault_ == DiskFault::kNone) {
    const bool relapse = well_since_ != Time{} && now - well_since_ < 10 * relief_;
    relief_ = relapse ? std::min(2 * relief_, kDiskReliefMax) : kDiskRelief;
  }
  fault_ = fault;
}

bool DiskGauge::Step(Time now, const DiskChecked& check) {
  const std::uint64_t floor = std::min(kDiskFloorBytes, check.total_bytes / 100);
  const bool little = check.total_bytes > 0 && check.free_bytes < floor;
  DiskFault fault = check.fault;
  if (fault == DiskFault::kNone && little) fault = DiskFault::kFull;
  if (fault != DiskFault::kNone) {
    good_since_ = kNever;
    // A fault without a name adds nothing to one that has it.
    if (fault == fault_ || (fault == DiskFault::kFailing && fault_ != DiskFault::kNone)) return false;
    Fail(now, fault);
    cause_ = std::string("its disk is ") + ToString(fault) + ": " +
             (check.fault == DiskFault::kNone ? Room(check) : check.reason);
    return true;
  }
  if (fault_ == DiskFault::kNone) return false;
  if (!check.written || (check.total_bytes > 0 && check.free_bytes < 2 * floor)) {
    good_since_ = kNever;
    return false;
  }
  good_since_ = std::min(good_since_, now);
  if (now - good_since_ < relief_) return false;
  fault_ = DiskFault::kNone;
  good_since_ = kNever;
  well_since_ = now;
  cause_ = "its disk takes writes again" + (check.total_bytes > 0 ? ": " + Room(check) : std::string());
  return true;
}

}  // namespace hs
