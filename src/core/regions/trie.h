// Where a node stands, and into which regions a large cluster falls: computed by every node from its own
// member table.
//
// Intuition: a postal code. Its first digits say the zone, the next the rack, the rest the house; a district
// that has grown too large for one post office is split by the next digit, and two that have shrunk share
// one. Nobody decides this: everybody counts, and where the count alone leaves it open the present state is
// kept, which each member says of itself.
//
// Invariants:
//  1. Every present member is in exactly one leaf, and all nodes that see the same members and claims compute
//     the same leaves.
//  2. Above `region_max` members a region is split, at MergeBound or below it is whole; between, it is what
//     more than half of its members say. So no count makes it go to and fro.
//  3. Members of one zone, and of one rack in it, have their places side by side: a region is some whole
//     zones, or a part of one zone (but for zones whose hashes meet).
//
// It knows nothing of roles and plans.
#pragma once

#include <cstddef>
#include <vector>

#include "core/types.h"

namespace hs {

inline constexpr unsigned kZoneBits = 10;
inline constexpr unsigned kRackBits = 10;
inline constexpr unsigned kPlaceBits = 30;  // the rest is the node's own

// The lowest kPlaceBits bits, first digit highest.
using Place = std::uint32_t;
Place PlaceOf(NodeId id, const Labels& labels);

// Regions are numbered like a heap: the root is 0, the halves of r are 2r + 1 and 2r + 2.
inline RegionId LeftHalf(RegionId region) { return 2 * region + 1; }
inline RegionId RightHalf(RegionId region) { return 2 * region + 2; }
unsigned DepthOf(RegionId region);
bool Contains(RegionId region, Place place);
// The same or a part of it.
bool IsWithin(RegionId inner, RegionId outer);

// One present member.
struct Inhabitant {
  Place place = 0;
  RegionId claims = 0;  // the region that it says it is in
  friend auto operator<=>(const Inhabitant&, const Inhabitant&) = default;
};

// Two halves with so many members together, or fewer, are one region.
inline std::size_t MergeBound(std::size_t region_max) { return region_max * 5 / 8; }

// The regions there are, in order of place; those without members are left out. Where that leaves one, or
// none, it is the root.
std::vector<RegionId> Leaves(std::vector<Inhabitant> present, std::size_t region_max);

}  // namespace hs
