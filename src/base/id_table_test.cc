#include "base/id_table.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"

namespace hs {
namespace {

struct Entry {
  NodeId id;
  int number = 0;
};

NodeId Random(Prng& prng, std::uint64_t prefixes) {
  NodeId id;
  const std::uint64_t prefix = Mix64(prng.Below(prefixes));
  for (int b = 0; b < 8; ++b) id.bytes[b] = static_cast<std::uint8_t>(prefix >> (8 * b));
  id.bytes[15] = static_cast<std::uint8_t>(prng.Below(4));
  return id;
}

// The same in a tree, and the circle in another.
void ExpectSame(const IdTable<Entry>& table, const std::map<NodeId, int>& tree) {
  ASSERT_EQ(table.size(), tree.size());
  auto at = tree.begin();
  std::set<std::pair<std::uint64_t, NodeId>> circle;
  for (auto entered = table.begin(); entered != table.end(); ++entered) {
    const auto& [id, entry] = *entered;
    ASSERT_EQ(entered.slot(), table.SlotOf(id));
    ASSERT_EQ(id, at->first);
    ASSERT_EQ(entry.id, id);
    ASSERT_EQ(entry.number, at->second);
    circle.emplace(IdTable<Entry>::HashOf(id), id);
    ++at;
  }
  if (tree.empty()) return;
  std::size_t place = table.CircleFrom(0, NodeId{});
  for (const auto& [hash, id] : circle) {
    ASSERT_EQ(table.CircleAt(place).id, id);
    ASSERT_EQ(table.CircleFrom(hash, id), place);
    const std::size_t next = table.CircleNext(place);
    ASSERT_EQ(table.CircleBefore(next), place);
    place = next;
  }
  ASSERT_EQ(place, table.CircleFrom(0, NodeId{})) << "once round";
}

TEST(IdTableTest, HoldsWhatATreeHoldsInTheSameOrder) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Prng prng(seed);
    // Few prefixes: long runs of one hash.
    const std::uint64_t prefixes = seed % 3 == 0 ? 5 : 300;
    IdTable<Entry> table;
    std::map<NodeId, int> tree;
    std::map<NodeId, const Entry*> places;
    for (int i = 0; i < 1500; ++i) {
      const NodeId id = Random(prng, prefixes);
      if (prng.Chance(0.4)) {
        ASSERT_EQ(table.erase(id), tree.erase(id));
        places.erase(id);
      } else {
        Entry& entry = table[id];
        ASSERT_EQ(entry.id, id);
        ASSERT_TRUE(!places.contains(id) || places[id] == &entry) << "a value never moves";
        entry.number = i;
        tree[id] = i;
        places[id] = &entry;
      }
      const NodeId other = Random(prng, prefixes);
      const auto known = tree.find(other);
      ASSERT_EQ(table.contains(other), known != tree.end());
      ASSERT_EQ(table.find(other) == table.end(), known == tree.end());
      if (known != tree.end()) {
        ASSERT_EQ(table.find(other)->second.number, known->second);
        ASSERT_EQ(table.at(other).number, known->second);
        ASSERT_EQ(table.Of(table.SlotOf(other)).id, other);
        ASSERT_LT(table.SlotOf(other), table.slots());
      }
      if (i % 50 == 0) ExpectSame(table, tree);
    }
    ExpectSame(table, tree);
    for (const auto& [id, place] : places) ASSERT_EQ(table.Find(id), place);
  }
}

TEST(IdTableTest, ACopyIsOneOfItsOwn) {
  Prng prng(7);
  IdTable<Entry> table;
  std::map<NodeId, int> tree;
  for (int i = 0; i < 100; ++i) {
    const NodeId id = Random(prng, 1000);
    table[id].number = tree[id] = i;
  }
  IdTable<Entry> copy = table;
  for (const auto& [id, number] : tree) copy[id].number = -1;
  ExpectSame(table, tree);
  copy = table;
  ExpectSame(copy, tree);
  const IdTable<Entry> moved = std::move(copy);
  ExpectSame(moved, tree);
  copy = IdTable<Entry>();
  ExpectSame(copy, {});
  copy.emplace(tree.begin()->first, Entry{});
  EXPECT_EQ(copy.begin()->first, tree.begin()->first);
}

TEST(IdTableTest, ErasedSlotsServeAgainAndAreClean) {
  IdTable<Entry> table;
  Prng prng(3);
  std::vector<NodeId> ids;
  while (table.size() < 40) {
    ids.push_back(Random(prng, 1000));
    table[ids.back()].number = 5;
  }
  for (const NodeId& id : ids) table.erase(id);
  EXPECT_TRUE(table.empty());
  for (const NodeId& id : ids) EXPECT_EQ(table[id].number, 0);
  EXPECT_EQ(table.slots(), 40U);
}

}  // namespace
}  // namespace hs
