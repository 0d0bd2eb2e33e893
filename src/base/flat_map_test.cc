#include "base/flat_map.h"

#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"

namespace hs {
namespace {

TEST(FlatMap, DoesWhatStdMapDoesInTheSameOrder) {
  Prng prng(7);
  FlatMap<int, int> flat;
  std::map<int, int> tree;
  for (int step = 0; step < 4000; ++step) {
    const int key = static_cast<int>(prng.Below(60));
    const int value = static_cast<int>(prng.Below(1000));
    switch (prng.Below(4)) {
      case 0:
        EXPECT_EQ(flat.try_emplace(key, value).second, tree.try_emplace(key, value).second);
        break;
      case 1:
        EXPECT_EQ(flat.erase(key), tree.erase(key));
        break;
      case 2:
        flat[key] = tree[key] = value;
        break;
      default: {
        const auto above = flat.upper_bound(key);
        const auto expected = tree.upper_bound(key);
        ASSERT_EQ(above == flat.end(), expected == tree.end());
        if (expected != tree.end()) {
          EXPECT_EQ(above->first, expected->first);
        }
        ASSERT_EQ(flat.contains(key), tree.contains(key));
        if (tree.contains(key)) {
          EXPECT_EQ(flat.at(key), tree.at(key));
        }
      }
    }
    ASSERT_EQ(flat.size(), tree.size());
    ASSERT_TRUE(
        std::equal(flat.begin(), flat.end(), tree.begin(), tree.end(),
                   [](const auto& a, const auto& b) { return a.first == b.first && a.second == b.second; }));
  }
}

}  // namespace
}  // namespace hs
