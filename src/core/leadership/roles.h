// The roles there are, one row each: how many are needed, how many there may be, who is fit, how it changes
// hands.
//
// Intuition: the muster roll of a small crew. Nobody signs on as a cook; the roll says how many cooks a crew
// of this size needs and who may not be one, and the first fit hand takes the ladle.
//
// Invariants:
//  1. No more hold a role than its quota, once all see the same members.
//  2. A member barred by a label never takes the role, whatever else is missing.
//  3. Where nobody is fit, the tests are dropped one after the other (first that it is not strained, then
//     that its disk takes writes, then that it is not in quarantine, then that it is not drained): a worse
//     holder beats none. Roles that are not `essential` stay empty instead.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/types.h"

namespace hs {

inline constexpr std::size_t kSubgraphMax = 16;  // members one monitor watches

// What makes a member unfit, as bits.
using Unfit = unsigned;
inline constexpr Unfit kUnfitStrained = 1;
inline constexpr Unfit kUnfitQuarantined = 2;
inline constexpr Unfit kUnfitDrained = 4;
inline constexpr Unfit kUnfitDisk = 8;

enum class HandOver : std::uint8_t {
  kAtOnce,         // dropped as soon as it is not this node's any more
  kWhenClaimed,    // kept, and acted upon, until the successor's own claim is seen
  kWhenPutDown,    // kept until what is held (a replica that drains) is with another or over
  kWithTheConfig,  // by how the node was started
};

struct RoleRow {
  Role role;
  bool RoleClaim::*claim;
  std::size_t (*demand)(std::size_t members);  // how many a region of this size needs
  std::size_t (*quota)(std::size_t members);   // hard: never more
  Unfit unfit;                                 // whoever is any of these takes it only if nobody else can
  bool essential;                              // somebody has to, fit or not
  HandOver hand_over;
};

std::span<const RoleRow> RoleTable();
const RoleRow& RowOf(Role role);

// By the label homeostat.ROLE=never. Who must not control does not stand by either.
bool IsBarred(const Labels& labels, Role role);

// What a member is now, of what may count against it.
struct Standing {
  bool strained = false;
  bool quarantined = false;
  bool drained = false;
  DiskFault disk = DiskFault::kNone;
  Unfit bits() const {
    return (strained ? kUnfitStrained : 0) | (quarantined ? kUnfitQuarantined : 0) |
           (drained ? kUnfitDrained : 0) | (disk != DiskFault::kNone ? kUnfitDisk : 0);
  }
};

// What goes between "NAME is " and a full stop: "overloaded and in quarantine"; empty when nothing counts
// against it.
std::string Describe(Standing standing);

}  // namespace hs
