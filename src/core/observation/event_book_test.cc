#include "core/observation/event_book.h"

#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"

namespace hs {
namespace {

NodeId Node(std::uint64_t n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}

Record Happened(std::uint64_t owner, std::uint32_t boot, std::uint64_t n, WallMs at) {
  return {{RecordKind::kEvent, Node(owner), std::uint64_t{boot} << 32 | n},
          {boot, n},
          std::make_shared<RecordBody>(Event{at, Node(owner), "test.event", "x", "because"})};
}

// What the header promises, in its plainest form: all events ever, in one map.
struct PlainBook {
  std::map<RecordKey, Record> events;
  std::size_t kept_max;

  bool IsLast(const Record& record) const {
    for (const auto& [key, other] : events) {
      if (key.owner == record.key.owner && record.version < other.version) return false;
    }
    return true;
  }
  std::vector<std::pair<WallMs, RecordKey>> Spare() const {
    std::vector<std::pair<WallMs, RecordKey>> spare;
    for (const auto& [key, record] : events) {
      if (!IsLast(record)) spare.emplace_back(std::get<Event>(*record.body).at_ms, key);
    }
    std::sort(spare.begin(), spare.end());
    return spare;
  }
  bool Put(const Record& record) {
    if (events.contains(record.key)) return false;
    const auto spare = Spare();
    const std::pair age{std::get<Event>(*record.body).at_ms, record.key};
    if (events.size() >= kept_max && !IsLast(record) && (spare.empty() || age < spare.front())) return false;
    events.emplace(record.key, record);
    for (const auto& [at, key] : Spare()) {
      if (events.size() > kept_max) events.erase(key);
    }
    return true;
  }
  std::uint64_t Digest() const {
    std::uint64_t digest = 0;
    for (const auto& [key, record] : events) {
      if (IsLast(record)) digest ^= HashOfVersion(key, record.version);
    }
    return digest;
  }
};

TEST(EventBookTest, KeepsAndForgetsAsThePlainBookDoesInWhateverOrderEventsCome) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    EventBook book(40);
    PlainBook plain{{}, 40};
    for (int i = 0; i < 600; ++i) {
      const auto boot = static_cast<std::uint32_t>(1 + prng.Below(2));
      const Record record =
          Happened(prng.Below(5), boot, prng.Below(30), static_cast<WallMs>(1000 * boot + prng.Below(60)));
      ASSERT_EQ(book.Put(record), plain.Put(record)) << "seed " << seed << ", event " << i;
      ASSERT_EQ(book.size(), plain.events.size());
      ASSERT_EQ(book.digest(), plain.Digest());
      ASSERT_EQ(book.WaitingOf(record) != nullptr, plain.events.contains(record.key));
    }
    std::vector<std::pair<WallMs, RecordKey>> ages;
    for (const auto& [key, record] : plain.events)
      ages.emplace_back(std::get<Event>(*record.body).at_ms, key);
    std::sort(ages.begin(), ages.end());
    const auto kept = book.OldestFirst();
    ASSERT_EQ(kept.size(), ages.size());
    for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i], plain.events.at(ages[i].second).body);
  }
}

TEST(EventBookTest, ANumberThatItsOwnerGivesAnewCountsOnce) {
  EventBook book(10);
  Record record = Happened(1, 1, 1, 5);
  EXPECT_TRUE(book.Put(record));
  EXPECT_TRUE(book.Put(Happened(1, 1, 2, 6)));
  const std::uint64_t digest = book.digest();
  for (const std::uint64_t sequence : {7u, 8u}) {
    record.version.sequence = sequence;
    EXPECT_TRUE(book.Put(record));
    EXPECT_FALSE(book.Put(record));
    EXPECT_EQ(book.size(), 2u);
    EXPECT_EQ(book.digest(), HashOfVersion(record.key, record.version)) << "now it is the last one";
  }
  EXPECT_NE(book.digest(), digest);
}

}  // namespace
}  // namespace hs
