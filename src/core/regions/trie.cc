#include "core/regions/trie.h"

#include <algorithm>
#include <bit>
#include <span>

#include "base/hash.h"
#include "base/prng.h"

namespace hs {
namespace {

constexpr unsigned kNodeBits = kPlaceBits - kZoneBits - kRackBits;

// Boxes without the label stand together, and so do not scatter over the zones of others.
std::uint32_t Bits(const Labels& labels, const char* label, std::uint64_t salt, unsigned bits) {
  const auto found = labels.find(label);
  if (found == labels.end()) return 0;
  return static_cast<std::uint32_t>(Mix64(CombineHash(Hash64(found->second), salt)) >> (64 - bits));
}

std::uint64_t Numbered(RegionId region) { return std::uint64_t{region} + 1; }  // the root is 1

void Descend(RegionId region, std::span<const Inhabitant> here, std::size_t region_max,
             std::vector<RegionId>& leaves) {
  if (here.empty()) return;
  const unsigned depth = DepthOf(region);
  const auto split = [&] {
    if (depth >= kPlaceBits) return false;
    if (here.size() > region_max) return true;
    if (here.size() <= MergeBound(region_max)) return false;
    const auto deeper = std::ranges::count_if(here, [region](const Inhabitant& inhabitant) {
      return inhabitant.claims != region && IsWithin(inhabitant.claims, region);
    });
    return static_cast<std::size_t>(deeper) * 2 > here.size();
  };
  if (!split()) {
    leaves.push_back(region);
    return;
  }
  const RegionId left = LeftHalf(region);
  const auto middle = std::ranges::partition_point(
      here, [left](const Inhabitant& inhabitant) { return Contains(left, inhabitant.place); });
  const auto count = static_cast<std::size_t>(middle - here.begin());
  Descend(left, here.first(count), region_max, leaves);
  Descend(RightHalf(region), here.subspan(count), region_max, leaves);
}

}  // namespace

Place PlaceOf(NodeId id, const Labels& labels) {
  const std::uint32_t zone = Bits(labels, "zone", 0, kZoneBits);
  const std::uint32_t rack = Bits(labels, "rack", zone, kRackBits);
  const auto own = static_cast<std::uint32_t>(Mix64(id.Prefix64()) >> (64 - kNodeBits));
  return (zone << kRackBits | rack) << kNodeBits | own;
}

unsigned DepthOf(RegionId region) { return static_cast<unsigned>(std::bit_width(Numbered(region))) - 1; }

bool Contains(RegionId region, Place place) {
  const unsigned depth = DepthOf(region);
  if (depth > kPlaceBits) return false;  // the word of others
  return Numbered(region) == (std::uint64_t{1} << depth | place >> (kPlaceBits - depth));
}

bool IsWithin(RegionId inner, RegionId outer) {
  const unsigned inner_depth = DepthOf(inner);
  const unsigned outer_depth = DepthOf(outer);
  return inner_depth >= outer_depth && Numbered(inner) >> (inner_depth - outer_depth) == Numbered(outer);
}

std::vector<RegionId> Leaves(std::vector<Inhabitant> present, std::size_t region_max) {
  std::vector<RegionId> leaves;
  std::ranges::sort(present);
  Descend(0, present, region_max, leaves);
  if (leaves.size() <= 1) return {0};  // one is all there is
  return leaves;
}

}  // namespace hs
