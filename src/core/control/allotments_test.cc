#include "core/control/allotments.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/prng.h"

namespace hs {
namespace {

NodeId Id(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  return id;
}

// Nodes that follow one controller or another, whose words may be late.
struct Nodes {
  explicit Nodes(int count) {
    for (int n = 1; n <= count; ++n) held[Id(n)];
  }
  std::map<NodeId, std::vector<Allotment>> held;
  std::map<NodeId, std::uint64_t> reign;  // whose word it took last
  AllotmentTotals totals{{"service.web", 10}};

  // One look of a controller of that reign over `here`, all of whom hear it.
  bool Look(Allotments& dealer, std::uint64_t of, const std::vector<NodeId>& here, bool complete) {
    std::vector<Allotments::Carrier> carriers;
    for (const NodeId& id : here) carriers.push_back({id, held[id], reign[id] == of});
    const auto deal = dealer.Step({totals, carriers, complete});
    for (const auto& [id, parts] : deal.told) {
      held[id] = TakeAllotments(held[id], parts, reign[id] == of);
      reign[id] = of;
    }
    return deal.settled;
  }
  std::vector<NodeId> All() const {
    std::vector<NodeId> ids;
    for (const auto& [id, parts] : held) ids.push_back(id);
    return ids;
  }
  std::uint64_t Part(int n) const {
    const auto& parts = held.at(Id(n));
    return parts.empty() ? 0 : parts[0].amount;
  }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const auto& [id, parts] : held) sum += parts.empty() ? 0 : parts[0].amount;
    return sum;
  }
};

TEST(Allotments, AreDealtEvenlyOnceEverybodyFollows) {
  Nodes nodes(4);
  Allotments dealer;
  EXPECT_FALSE(nodes.Look(dealer, 1, nodes.All(), true)) << "who follows has to be known first";
  EXPECT_EQ(nodes.Sum(), 0u);
  bool settled = false;
  for (int i = 0; i < 5 && !settled; ++i) settled = nodes.Look(dealer, 1, nodes.All(), true);
  EXPECT_TRUE(settled);
  EXPECT_EQ(nodes.Sum(), 10u);
  for (int n = 1; n <= 4; ++n) EXPECT_GE(nodes.Part(n), 2u);
  const auto before = nodes.held;
  nodes.Look(dealer, 1, nodes.All(), true);
  EXPECT_EQ(nodes.held, before);
}

TEST(Allotments, ANewcomerGetsItsPartOnlyAfterOthersGaveUpTheirs) {
  Nodes nodes(2);
  Allotments dealer;
  for (int i = 0; i < 4; ++i) nodes.Look(dealer, 1, nodes.All(), true);
  nodes.held[Id(3)];
  std::vector<std::uint64_t> sums;
  for (int i = 0; i < 5; ++i) {
    nodes.Look(dealer, 1, nodes.All(), true);
    sums.push_back(nodes.Sum());
    EXPECT_LE(nodes.Sum(), 10u);
  }
  EXPECT_EQ(nodes.Part(3), 3u);
  EXPECT_EQ(sums.back(), 10u);
  EXPECT_NE(std::ranges::find(sums, 7u), sums.end()) << "in between the part was nobody's";
}

TEST(Allotments, NothingIsDealtWhileSomebodyIsSilentAndTheDeadPartIsDealtAnew) {
  Nodes nodes(3);
  Allotments dealer;
  for (int i = 0; i < 4; ++i) nodes.Look(dealer, 1, nodes.All(), true);
  const std::uint64_t lost = nodes.Part(3);
  const std::vector<NodeId> here{Id(1), Id(2)};
  for (int i = 0; i < 4; ++i) nodes.Look(dealer, 1, here, false);
  EXPECT_EQ(nodes.Part(1) + nodes.Part(2), 10 - lost);
  nodes.held.erase(Id(3));
  for (int i = 0; i < 4; ++i) nodes.Look(dealer, 1, here, true);
  EXPECT_EQ(nodes.Sum(), 10u);
}

TEST(Allotments, ANodeThatRestartedCarriesNoneUntilTheNextDeal) {
  Nodes nodes(3);
  Allotments dealer;
  for (int i = 0; i < 4; ++i) nodes.Look(dealer, 1, nodes.All(), true);
  nodes.held[Id(2)].clear();
  nodes.reign[Id(2)] = 0;
  nodes.Look(dealer, 1, nodes.All(), false);
  EXPECT_EQ(nodes.Part(2), 0u) << "what the plan says was another life's";
  for (int i = 0; i < 5; ++i) nodes.Look(dealer, 1, nodes.All(), true);
  EXPECT_EQ(nodes.Sum(), 10u);
}

TEST(Allotments, OfAControllerNotFollowedBeforeOnlyLessIsTaken) {
  const std::vector<Allotment> held{{"service.a", 3}, {"service.b", 2}};
  const std::vector<Allotment> told{{"service.a", 5}, {"service.b", 1}, {"service.c", 4}};
  EXPECT_EQ(TakeAllotments(held, told, true), told);
  EXPECT_EQ(TakeAllotments(held, told, false), (std::vector<Allotment>{{"service.a", 3}, {"service.b", 1}}));
}

// Any cuts, restarts, changes of control and of the total's half: never more than the total.
TEST(Allotments, AreConservedWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    Nodes nodes(2 + static_cast<int>(prng.Below(5)));
    nodes.totals["service.web"] = 1 + prng.Below(20);
    Allotments dealers[2];
    std::uint64_t reigns[2] = {1, 2};
    std::uint64_t next_reign = 3;
    std::vector<bool> side(nodes.held.size(), false);
    bool cut = false;
    for (int step = 0; step < 200; ++step) {
      const auto ids = nodes.All();
      switch (prng.Below(8)) {
        case 0:  // a cut, or it heals; each part elects somebody
          cut = !cut;
          for (std::size_t i = 0; i < side.size(); ++i) side[i] = cut && prng.Chance(0.5);
          break;
        case 1: {  // control passes on
          const std::size_t which = prng.Below(2);
          dealers[which].Close();
          reigns[which] = next_reign++;
          break;
        }
        case 2:  // an agent restarts
          nodes.held[ids[prng.Below(ids.size())]].clear();
          nodes.reign[ids[prng.Below(ids.size())]] = 0;
          break;
        default:
          for (const bool which : {false, true}) {
            std::vector<NodeId> here;
            for (std::size_t i = 0; i < ids.size(); ++i) {
              if (side[i] == which) here.push_back(ids[i]);
            }
            if (!here.empty()) nodes.Look(dealers[which], reigns[which], here, here.size() == ids.size());
          }
      }
      ASSERT_LE(nodes.Sum(), nodes.totals["service.web"]) << "step " << step;
    }
    const std::uint64_t last = next_reign;
    Allotments dealer;
    bool settled = false;
    for (int i = 0; i < 8 && !settled; ++i) settled = nodes.Look(dealer, last, nodes.All(), true);
    EXPECT_TRUE(settled);
    EXPECT_EQ(nodes.Sum(), nodes.totals["service.web"]);
  }
}

TEST(Allotments, LimitAPartToWhatItsNodesHoldButNotBelowTheMinimum) {
  const std::vector<std::vector<Allotment>> held{
      {{"quota.services.millicores", 500}, {"service.free", 3}, {"service.strict", 1}},
      {{"service.free", 1}}};
  std::vector<ShareRequest> requests{
      {.service = "big", .min = 4, .max = 9},     // nothing held: its minimum
      {.service = "fixed", .min = 5, .max = 5},   // no maximum above the minimum: as it is
      {.service = "free", .min = 2, .max = 9},    // 3 + 1 held
      {.service = "strict", .min = 2, .max = 9},  // 1 held
  };
  requests[0].cpu_millicores = 100;
  ClassQuotas quotas;
  quotas[0].cpu_millicores = 8000;
  auto changed = requests;
  ApplyAllotments(true, held, {"strict"}, changed, quotas);
  EXPECT_EQ(changed[0].max, 9) << "nobody is silent: all of it";
  ApplyAllotments(false, held, {"strict"}, changed, quotas);
  EXPECT_EQ(changed[0].max, 4);
  EXPECT_EQ(changed[1].max, 5);
  EXPECT_EQ(changed[2].max, 4);
  EXPECT_EQ(changed[3].max, 1);
  EXPECT_EQ(quotas[0].cpu_millicores, 500u);
  EXPECT_EQ(TotalsOf(requests, {"strict"}, quotas), (AllotmentTotals{{"quota.services.millicores", 500},
                                                                     {"service.big", 9},
                                                                     {"service.free", 9},
                                                                     {"service.strict", 9}}));
}

}  // namespace
}  // namespace hs
