// Partial cuts in the simulated world: while somebody reaches both sides nobody is lost, nothing is replaced,
// and what is asked for reaches everyone.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "core/intent/keys.h"
#include "sim/checkers.h"
#include "sim/world.h"

namespace hs::sim {
namespace {

// Counts what must not happen during a partial cut.
class LossWatcher : public Watcher {
 public:
  void OnOutput(Time, const Host& host, const Output& output) override {
    if (std::holds_alternative<StartReplica>(output) || std::holds_alternative<SignalReplica>(output))
      ++moves;
    const auto* event = std::get_if<EmitEvent>(&output);
    if (event == nullptr || !event->event.kind.starts_with("member.")) return;
    losses += host.meta.name + " says " + event->event.kind + " of " + event->event.subject + ": " +
              event->event.cause + "\n";
  }
  std::string losses;
  int moves = 0;
};

using Directions = std::vector<std::pair<HostIndex, HostIndex>>;

void CutBothWays(Directions& cuts, HostIndex a, HostIndex b) {
  cuts.emplace_back(a, b);
  cuts.emplace_back(b, a);
}

struct Row {
  const char* why;
  std::size_t hosts;
  Directions cuts;
};

std::vector<Row> Rows() {
  std::vector<Row> rows;
  rows.push_back({"one pair of three", 3, {{0, 1}, {1, 0}}});
  rows.push_back({"one direction of one pair", 3, {{1, 0}}});
  rows.push_back({"one direction of two pairs", 4, {{0, 1}, {2, 3}}});
  Row star{"only the last reaches all", 6, {}};
  for (HostIndex a = 0; a < 5; ++a) {
    for (HostIndex b = a + 1; b < 5; ++b) CutBothWays(star.cuts, a, b);
  }
  rows.push_back(star);
  Row groups{"two groups of eight and two between them", 18, {}};
  for (HostIndex a = 0; a < 8; ++a) {
    for (HostIndex b = 8; b < 16; ++b) CutBothWays(groups.cuts, a, b);
  }
  rows.push_back(groups);
  return rows;
}

class PartialCutTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(PartialCutTest, LosesNobodyAndMovesNothing) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.why);
    WorldOptions options;
    options.seed = GetParam();
    options.hosts = row.hosts;
    World world(options);
    SafetyChecker safety(world);
    world.Watch(&safety);
    for (HostIndex i = 0; i < row.hosts; ++i) {
      world.StartAgent(i);
      world.RunFor(20ms);
    }
    ServiceSpec web{.name = "web", .command = {"web"}, .replicas = static_cast<std::uint32_t>(row.hosts)};
    world.Write(0, {{StackKey("shop", 1), StackSpec{"shop", {web}}}}, [](Result<Stamp>) {});
    ASSERT_TRUE(world.RunUntilTrue(60s, [&] { return Converged(world); }));
    world.RunFor(3s);

    LossWatcher watcher;
    world.Watch(&watcher);
    world.CutWires(row.cuts);
    // Everybody finds a way to everybody; who pings whom when is chance, so the last pairs of many take a
    // while.
    EXPECT_TRUE(world.RunUntilTrue(60s, [&] {
      return std::ranges::all_of(row.cuts, [&](const auto& cut) {
        return world.host(cut.first).detours.contains(world.host(cut.second).disk.node);
      });
    }));
    EXPECT_EQ(watcher.losses, "");
    EXPECT_EQ(watcher.moves, 0);

    // A wish told to the first reaches the disk of all within a second.
    bool acknowledged = false;
    world.Write(0, {{ScaleKey("web"), ScaleOverride{"web", static_cast<std::uint32_t>(row.hosts)}}},
                [&](Result<Stamp> result) { acknowledged = result.has_value(); });
    EXPECT_TRUE(world.RunUntilTrue(
        1s,
        [&] {
          for (HostIndex i = 0; i < row.hosts; ++i) {
            if (!world.host(i).disk.documents.contains(ScaleKey("web"))) return false;
          }
          return acknowledged;
        },
        20ms));
    world.MendWires(row.cuts);
    EXPECT_TRUE(world.RunUntilTrue(5s, [&] {
      for (HostIndex i = 0; i < row.hosts; ++i) {
        if (!world.host(i).detours.empty()) return false;
      }
      return true;
    })) << "the direct paths are taken again";
    EXPECT_TRUE(world.RunUntilTrue(60s, [&] { return Converged(world); }));
    EXPECT_EQ(watcher.losses, "");
    EXPECT_EQ(watcher.moves, 0);
    for (const std::string& violation : safety.violations()) ADD_FAILURE() << violation;
  }
}

// Boxes behind NAT are members like the others, also when those over whom they are reached vanish.
TEST_P(PartialCutTest, BoxesBehindNatAreFullMembers) {
  WorldOptions options;
  options.seed = GetParam();
  options.hosts = 9;
  options.behind_nat = 2;
  World world(options);
  SafetyChecker safety(world);
  world.Watch(&safety);
  for (HostIndex i = 0; i < options.hosts; ++i) {
    world.StartAgent(i);
    world.RunFor(20ms);
  }
  ServiceSpec web{.name = "web", .command = {"web"}, .replicas = 9};
  world.Write(8, {{StackKey("shop", 1), StackSpec{"shop", {web}}}}, [](Result<Stamp>) {});
  ASSERT_TRUE(world.RunUntilTrue(60s, [&] { return Converged(world); }));
  world.RunFor(3s);
  for (HostIndex hidden : {7, 8}) {
    EXPECT_EQ(world.host(hidden).processes.size(), 1u);
    EXPECT_EQ(world.host(hidden).lines.size(), 3u);
  }
  LossWatcher steady;
  world.Watch(&steady);
  world.RunFor(120s);
  EXPECT_EQ(steady.losses, "");
  EXPECT_EQ(steady.moves, 0);

  std::deque<LossWatcher> rounds(3);
  for (LossWatcher& watcher : rounds) {
    const HostIndex relay = *world.host(7).lines.begin();
    world.Watch(&watcher);
    world.PowerOff(relay);
    EXPECT_TRUE(world.RunUntilTrue(
        10s, [&] { return !world.host(7).lines.contains(relay) && world.host(7).lines.size() == 3; }));
    world.RunFor(20s);
    for (const char* hidden : {"of n7", "of n8"})
      EXPECT_EQ(watcher.losses.find(hidden), std::string::npos) << watcher.losses;
    world.PowerOn(relay);
    world.StartAgent(relay);
    EXPECT_TRUE(world.RunUntilTrue(60s, [&] { return Converged(world); }));
  }
  for (const std::string& violation : safety.violations()) ADD_FAILURE() << violation;
}

INSTANTIATE_TEST_SUITE_P(Seeds, PartialCutTest, ::testing::Range<std::uint64_t>(1, 6));

}  // namespace
}  // namespace hs::sim
