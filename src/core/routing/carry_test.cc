#include "core/routing/carry.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[15] = n;
  return id;
}

MemberTable Members(std::initializer_list<int> ids) {
  MemberTable members;
  for (const int n : ids) {
    const NodeId id = Node(static_cast<std::uint8_t>(n));
    members[id].id = id;
  }
  return members;
}

Relayed Letter(int source, std::vector<int> ahead, std::vector<int> behind) {
  const auto ids = [](const std::vector<int>& numbers) {
    std::vector<NodeId> way;
    for (const int n : numbers) way.push_back(Node(static_cast<std::uint8_t>(n)));
    return way;
  };
  return {Node(static_cast<std::uint8_t>(source)), ids(ahead), ids(behind),
          std::make_shared<const GossipMessage>(GossipMessage{.body = News{}})};
}

TEST(CarrierTest, WhatBecomesOfALetter) {
  // This node is 5; members are 1 to 6.
  struct Row {
    const char* why;
    int from;
    Relayed letter;
    const char* becomes;
  };
  const Row rows[] = {
      {"for 2, who comes next", 1, Letter(1, {2}, {}), "carried"},
      {"over 3 to 2", 1, Letter(1, {3, 2}, {}), "carried"},
      {"it came over 3", 3, Letter(1, {2}, {3}), "carried"},
      {"it ends here", 3, Letter(1, {}, {3}), "delivered"},
      {"it ends here after two relays", 4, Letter(1, {}, {3, 4}), "delivered"},
      {"nobody relayed it: it should have come plainly", 1, Letter(1, {}, {}), "refused"},
      {"3 brings what 1 should bring", 3, Letter(1, {2}, {}), "refused"},
      {"3 brings what 4 should bring", 3, Letter(1, {2}, {4}), "refused"},
      {"it was here before", 3, Letter(1, {2}, {5, 3}), "refused"},
      {"it would come here again", 1, Letter(1, {2, 5}, {}), "refused"},
      {"it says that we wrote it", 3, Letter(5, {}, {3}), "refused"},
      {"from a stranger", 9, Letter(9, {2}, {}), "refused"},
      {"to a stranger", 1, Letter(1, {9}, {}), "refused"},
      {"of a stranger", 3, Letter(9, {2}, {3}), "refused"},
  };
  for (const Row& row : rows) {
    Carrier carrier(Node(5));
    const auto members = Members({1, 2, 3, 4, 5, 6});
    const auto decision =
        carrier.Step(Time{}, members, Node(static_cast<std::uint8_t>(row.from)), row.letter);
    const char* became = std::holds_alternative<CarryOn>(decision)       ? "carried"
                         : std::holds_alternative<DeliverHere>(decision) ? "delivered"
                                                                         : "refused";
    EXPECT_STREQ(became, row.becomes) << row.why;
    EXPECT_EQ(carrier.counts().refused, std::string(row.becomes) == "refused" ? 1u : 0u) << row.why;
  }
}

TEST(CarrierTest, ARelayMovesItselfBehindAndTheWayBackIsTheOtherWayRound) {
  Carrier carrier(Node(5));
  const auto members = Members({1, 2, 3, 5});
  const auto on = std::get<CarryOn>(carrier.Step(Time{}, members, Node(1), Letter(1, {3, 2}, {})));
  EXPECT_EQ(on.next, Node(3));
  EXPECT_EQ(on.message.ahead, std::vector{Node(2)});
  EXPECT_EQ(on.message.behind, std::vector{Node(5)});
  const auto here = std::get<DeliverHere>(carrier.Step(Time{}, members, Node(3), Letter(1, {}, {2, 3})));
  EXPECT_EQ(here.way_back, (std::vector{Node(3), Node(2)}));
}

TEST(CarrierTest, ItCarriesSoMuchAndNoMore) {
  Carrier carrier(Node(5));
  const auto members = Members({1, 2, 5});
  const Time start = Time{} + 1h;
  for (int i = 0; i < 5000; ++i) carrier.Step(start, members, Node(1), Letter(1, {2}, {}));
  EXPECT_EQ(carrier.counts().carried, static_cast<std::uint64_t>(Carrier::kCarriedBurst));
  EXPECT_EQ(carrier.counts().dropped, 5000 - carrier.counts().carried);
  for (int i = 0; i < 5000; ++i) carrier.Step(start + 250ms, members, Node(1), Letter(1, {2}, {}));
  EXPECT_EQ(carrier.counts().carried,
            static_cast<std::uint64_t>(Carrier::kCarriedBurst + Carrier::kCarriedPerSecond / 4));
}

}  // namespace
}  // namespace hs
