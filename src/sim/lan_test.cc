// Boxes whose addresses all changed, and the local network: who is lost asks, who is not is silent.
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/checkers.h"
#include "sim/world.h"

namespace hs::sim {
namespace {

class QuestionCounter : public Watcher {
 public:
  void OnOutput(Time, const Host&, const Output& output) override {
    if (std::holds_alternative<AskLan>(output)) ++questions;
  }
  int questions = 0;
};

class RenumberedTest : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  void Grow(std::size_t hosts) {
    WorldOptions options;
    options.seed = GetParam();
    options.hosts = hosts;
    world_ = std::make_unique<World>(options);
    world_->Watch(&counter_);
    for (HostIndex i = 0; i < hosts; ++i) {
      world_->StartAgent(i);
      world_->RunFor(20ms);
    }
    ASSERT_TRUE(world_->RunUntilTrue(60s, [&] { return Converged(*world_); }));
  }
  bool AllSeeAll() const {
    for (HostIndex i = 0; i < world_->size(); ++i) {
      const auto& members = world_->host(i).node->Members();
      const auto present =
          std::ranges::count_if(members, [](const auto& entry) { return IsPresent(entry.second.state); });
      if (static_cast<std::size_t>(present) != world_->size()) return false;
    }
    return Converged(*world_);
  }
  void MoveAll() {
    for (HostIndex i = 0; i < world_->size(); ++i) world_->PowerOff(i);
    for (HostIndex i = 0; i < world_->size(); ++i) world_->Renumber(i);
    for (HostIndex i = 0; i < world_->size(); ++i) {
      world_->PowerOn(i);
      world_->StartAgent(i);
    }
  }

  QuestionCounter counter_;
  std::unique_ptr<World> world_;
};

TEST_P(RenumberedTest, AllFindEachOtherAndThenAskNoMore) {
  Grow(9);
  EXPECT_EQ(counter_.questions, 0) << "who joins by an address that answers asks nothing";
  MoveAll();
  ASSERT_TRUE(world_->RunUntilTrue(30s, [&] { return AllSeeAll(); }));
  EXPECT_GT(counter_.questions, 0);
  counter_.questions = 0;
  world_->RunFor(1h);
  EXPECT_EQ(counter_.questions, 0) << "a whole cluster is silent";
}

TEST_P(RenumberedTest, HalvesThatMovedWhileCutApartFindEachOtherWhenItHeals) {
  Grow(4);
  std::vector<std::pair<HostIndex, HostIndex>> cut;
  for (const HostIndex a : {0, 1}) {
    for (const HostIndex b : {2, 3}) {
      cut.emplace_back(a, b);
      cut.emplace_back(b, a);
    }
  }
  world_->CutWires(cut);
  MoveAll();
  world_->RunFor(5min);
  EXPECT_FALSE(AllSeeAll());
  world_->MendWires(cut);
  EXPECT_TRUE(world_->RunUntilTrue(60s, [&] { return AllSeeAll(); }));
}

TEST_P(RenumberedTest, WhoAskedForTheLocalNetworkToBeLeftAloneDoesNotAsk) {
  Grow(3);
  for (HostIndex i = 0; i < 3; ++i) world_->host(i).asks_lan = false;
  MoveAll();
  world_->RunFor(1min);
  EXPECT_EQ(counter_.questions, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RenumberedTest, ::testing::Range<std::uint64_t>(1, 6));

}  // namespace
}  // namespace hs::sim
