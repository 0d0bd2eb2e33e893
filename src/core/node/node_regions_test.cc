// What the nodes of several regions say to each other.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/intent/keys.h"
#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

class NodeRegionsTest : public NodeFixture {
 protected:
  void SetUp() override {
    tunables_.region_max = 4;
    tunables_.backoff_first = tunables_.backoff_max = 10ms;
    GrowTo(8);
    Deploy(0, {Service("web", 8)});
    ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 8 && AllSteady(); }, 30s));
    ASSERT_GT(ViewOf(0).regions.size(), 1U);
  }
  bool Leads(int i) { return ViewOf(i).controller == IdOf(i); }

  // When `i` put out its words on its region, each counted once however many heard it.
  std::vector<Time> WordsOf(int i) {
    std::map<RecordVersion, Time> words;
    for (const auto& [at, send] : SaidBy<SendLink>(i)) {
      const auto* push = std::get_if<RecordPush>(&send.message);
      if (push == nullptr) continue;
      for (const Record& record : push->records) {
        if (record.key.kind == RecordKind::kRegionReport && record.key.owner == IdOf(i))
          words.try_emplace(record.version, at);
      }
    }
    std::vector<Time> times;
    for (const auto& [version, at] : words) times.push_back(at);
    return times;
  }
  std::uint32_t HealthyBySummaries(int seen_by) {
    std::uint32_t healthy = 0;
    for (const RegionSeen& region : ViewOf(seen_by).regions) {
      if (region.summary == nullptr) continue;
      for (const ServiceInRegion& service : std::get<RegionReport>(*region.summary).services)
        healthy += service.healthy;
    }
    return healthy;
  }
};

TEST_F(NodeRegionsTest, UnderChurnARegionIsSummedUpTwiceASecondAndTheLastWordIsTold) {
  for (auto& [i, box] : boxes_) box.said.clear();
  for (int turn = 0; turn < 100; ++turn) {
    for (auto& [i, box] : boxes_) {
      if (box.running.empty()) continue;
      const ReplicaId id = box.running.begin()->first;
      box.running.erase(id);
      Hand(i, ReplicaExited{id, 1, 0});
    }
    Run(100ms);
  }
  for (const auto& [i, box] : boxes_) {
    if (!Leads(i)) continue;
    EXPECT_GE(WordsOf(i).size(), 10U) << "node " << i;
    EXPECT_LE(WordsOf(i).size(), 22U) << "in ten seconds, node " << i;
  }
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 8 && AllSteady(); }, 120s));
  Run(1s);
  for (const auto& [i, box] : boxes_) EXPECT_EQ(HealthyBySummaries(i), 8U) << "node " << i;
}

TEST_F(NodeRegionsTest, ADoorFollowsWhatTheSummaryOfAnotherRegionSaysOfItsBoxes) {
  const auto far = std::ranges::find_if(boxes_, [this](const auto& entry) {
    return ViewOf(entry.first).controller != ViewOf(0).controller && !entry.second.running.empty();
  });
  ASSERT_NE(far, boxes_.end());
  const auto offered = [&] {  // by the door of box 0
    const auto told = SaidBy<ApplyDoor>(0);
    if (told.empty() || told.back().second.table->services.empty()) return false;
    const auto& servers = told.back().second.table->services.front().servers;
    return std::ranges::any_of(servers, [&](const DoorServer& server) {
      return server.name == IdOf(far->first).Hex() && server.state == ServerState::kReady;
    });
  };
  EXPECT_TRUE(offered());
  Write(far->first, DrainKey(IdOf(far->first)), DrainOrder{IdOf(far->first)});
  EXPECT_TRUE(RunUntil([&] { return !offered(); }, 30s));
}

}  // namespace
}  // namespace hs
