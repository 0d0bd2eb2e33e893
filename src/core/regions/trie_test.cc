#include "core/regions/trie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/prng.h"

namespace hs {
namespace {

NodeId IdOf(std::uint64_t n) {
  NodeId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

std::vector<Inhabitant> Boxes(std::size_t count, RegionId claims = 0) {
  std::vector<Inhabitant> boxes;
  for (std::size_t i = 0; i < count; ++i) boxes.push_back({PlaceOf(IdOf(i + 1), {}), claims});
  return boxes;
}

// What everybody says once everybody has looked.
void Claim(std::vector<Inhabitant>& boxes, const std::vector<RegionId>& leaves) {
  for (Inhabitant& box : boxes) {
    box.claims = *std::ranges::find_if(leaves, [&](RegionId leaf) { return Contains(leaf, box.place); });
  }
}

TEST(Trie, RegionsAreNumberedLikeAHeap) {
  EXPECT_EQ(DepthOf(0), 0u);
  EXPECT_EQ(DepthOf(1), 1u);
  EXPECT_EQ(DepthOf(2), 1u);
  EXPECT_EQ(DepthOf(3), 2u);
  EXPECT_TRUE(IsWithin(4, 1));
  EXPECT_FALSE(IsWithin(5, 1));
  EXPECT_TRUE(IsWithin(5, 0));
  EXPECT_FALSE(IsWithin(0, 1));
  // A number from elsewhere may be anything.
  EXPECT_FALSE(Contains(~RegionId{0}, 0));
  EXPECT_EQ(DepthOf(~RegionId{0}), 32u);
}

TEST(Trie, ARackStandsTogetherWithinItsZone) {
  const Place a1 = PlaceOf(IdOf(1), {{"zone", "a"}, {"rack", "r1"}});
  const Place a2 = PlaceOf(IdOf(2), {{"zone", "a"}, {"rack", "r1"}});
  const Place a3 = PlaceOf(IdOf(3), {{"zone", "a"}, {"rack", "r2"}});
  const Place b1 = PlaceOf(IdOf(4), {{"zone", "b"}, {"rack", "r1"}});
  EXPECT_EQ(a1 >> 10, a2 >> 10);
  EXPECT_EQ(a1 >> 20, a3 >> 20);
  EXPECT_NE(a1 >> 10, a3 >> 10);
  EXPECT_NE(a1 >> 20, b1 >> 20);
  EXPECT_LT(a1, Place{1} << kPlaceBits);
}

TEST(Trie, OneRegionUpToItsLargestSize) {
  EXPECT_EQ(Leaves({}, 64), std::vector<RegionId>{0});
  EXPECT_EQ(Leaves(Boxes(64), 64), std::vector<RegionId>{0});
  EXPECT_GT(Leaves(Boxes(65), 64).size(), 1u);
}

TEST(Trie, BetweenItsBoundsARegionStaysWhatItIs) {
  auto boxes = Boxes(65);
  Claim(boxes, Leaves(boxes, 64));
  const auto split = Leaves(boxes, 64);
  ASSERT_GT(split.size(), 1u);
  while (boxes.size() > 41) boxes.pop_back();
  EXPECT_GT(Leaves(boxes, 64).size(), 1u) << "above the merge bound of 40";
  while (boxes.size() > 40) boxes.pop_back();
  EXPECT_EQ(Leaves(boxes, 64), std::vector<RegionId>{0});
  Claim(boxes, {0});
  auto more = Boxes(64);
  std::copy(boxes.begin(), boxes.end(), more.begin());
  EXPECT_EQ(Leaves(more, 64), std::vector<RegionId>{0}) << "whole until it is above 64";
}

TEST(Trie, WrongClaimsOfAFewChangeNothing) {
  auto boxes = Boxes(50);
  for (std::size_t i = 0; i < 20; ++i) boxes[i].claims = 77;
  EXPECT_EQ(Leaves(boxes, 64), std::vector<RegionId>{0});
}

// Joins and losses in any order: everybody is in one leaf, none is too large, siblings are not both small,
// and whoever looks again sees the same.
TEST(Trie, HoldsInAnyCourseOfJoinsAndLosses) {
  Prng prng(7);
  for (int run = 0; run < 50; ++run) {
    const std::size_t region_max = 2 + prng.Below(10);
    std::vector<Inhabitant> boxes;
    for (int step = 0; step < 60; ++step) {
      if (boxes.empty() || prng.Chance(0.6)) {
        const std::string zone(1, static_cast<char>('a' + prng.Below(3)));
        boxes.push_back(
            {PlaceOf(IdOf(prng.Next()), prng.Chance(0.5) ? Labels{{"zone", zone}} : Labels{}), 0});
        boxes.back().claims = static_cast<RegionId>(prng.Below(5));
      } else {
        boxes.erase(boxes.begin() + static_cast<std::ptrdiff_t>(prng.Below(boxes.size())));
      }
      const auto leaves = Leaves(boxes, region_max);
      std::map<RegionId, std::size_t> sizes;
      for (const Inhabitant& box : boxes) {
        const auto in =
            std::ranges::count_if(leaves, [&](RegionId leaf) { return Contains(leaf, box.place); });
        ASSERT_EQ(in, 1);
        for (RegionId region : leaves) sizes[region] += Contains(region, box.place) ? 1 : 0;
      }
      for (const auto& [leaf, size] : sizes) {
        ASSERT_LE(size, region_max);
        if (leaf == 0) continue;
        const RegionId above = (leaf - 1) / 2;
        const auto together =
            std::ranges::count_if(boxes, [&](const Inhabitant& box) { return Contains(above, box.place); });
        ASSERT_GT(static_cast<std::size_t>(together), MergeBound(region_max));
      }
      Claim(boxes, leaves);
      ASSERT_EQ(Leaves(boxes, region_max), leaves);
    }
  }
}

}  // namespace
}  // namespace hs
