#include "base/lookup_map.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>

#include "base/ids.h"
#include "base/prng.h"

namespace hs {
namespace {

TEST(LookupMapTest, HoldsWhatATreeHoldsHoweverKeysCollide) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    LookupMap<ReplicaId, int> map;
    std::map<std::uint64_t, std::pair<int, int*>> tree;
    for (int i = 0; i < 2000; ++i) {
      // Few homes for many keys: chains that are long, wrap around the end and lose entries in their middle.
      const std::uint64_t key = prng.Below(6) + 64 * prng.Below(16) + 61 * prng.Below(2);
      if (prng.Chance(0.4)) {
        map.Erase(ReplicaId{key});
        tree.erase(key);
      } else {
        int& value = map[ReplicaId{key}];
        const auto known = tree.find(key);
        ASSERT_TRUE(known == tree.end() || &value == known->second.second) << "a value never moves";
        value = i;
        tree[key] = {i, &value};
      }
      ASSERT_EQ(map.size(), tree.size());
      for (std::uint64_t look = 0; look < 1100; look += 61) {
        const auto known = tree.find(look);
        const int* found = map.Find(ReplicaId{look});
        ASSERT_EQ(found == nullptr, known == tree.end()) << look;
        ASSERT_TRUE(found == nullptr || *found == known->second.first);
      }
      for (const auto& [look, known] : tree) ASSERT_EQ(map.Find(ReplicaId{look}), known.second);
    }
  }
}

}  // namespace
}  // namespace hs
