// By whose health the orders to stop that a node gets are weighed.
#include <gtest/gtest.h>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

class NodeKeepersTest : public NodeFixture, public testing::WithParamInterface<std::pair<bool, bool>> {
 protected:
  // What the controller, or another node, tells node `at_`, before anybody else says anything.
  Record RecordOf(NodeId owner, RecordKind kind, std::uint64_t sub, RecordBody body) {
    std::uint32_t boot = 0;
    for (const Member& member : ViewOf(at_).members) {
      if (member.id == owner) boot = member.incarnation.boot;
    }
    return {{kind, owner, sub}, {boot, ++version_}, std::make_shared<const RecordBody>(std::move(body))};
  }
  // A slice for node `at_` that has `stopped` stop once `keeper` is healthy.
  Record Order(ReplicaId stopped, ReplicaId keeper) {
    PlanSlice slice = std::get<PlanSlice>(*ViewOf(at_).slices.at(IdOf(at_)));
    slice.stamp.sequence += 1000;
    std::erase_if(slice.assignments, [](const Assignment& a) { return a.stop_keeper != ReplicaId{}; });
    if (stopped) {
      std::erase_if(slice.assignments, [&](const Assignment& a) { return a.replica == stopped; });
      slice.assignments.push_back({stopped, "web", {}, keeper, "test"});
    }
    std::ranges::sort(slice.assignments, {}, &Assignment::replica);
    return RecordOf(slice.stamp.controller, RecordKind::kPlanSlice, IdOf(at_).Prefix64(), slice);
  }
  void Tell(const std::vector<Record>& records) {
    RecordPush push;
    push.records = records;
    Hand(at_, LinkReceived{ViewOf(at_).controller, push});
  }
  bool Signalled(ReplicaId id) {
    return std::ranges::any_of(SaidBy<SignalReplica>(at_),
                               [&](const auto& said) { return said.second.id == id; });
  }

  int at_ = 0;
  std::uint64_t version_ = 100'000;
};

TEST_P(NodeKeepersTest, AStopIsWeighedByTheHealthOfItsKeeperAsItIsKnownNow) {
  const ReplicaId nobody{4711};  // not here: an order about it only names its keeper
  const auto [named_throughout, well] = GetParam();
  tunables_.drain_wait = 0s;
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && RunningInAll() == 3; }, 30s));
  const NodeId elsewhere = ViewOf(0).controller;
  at_ = elsewhere == IdOf(1) ? 2 : 1;
  NodeReport theirs = std::get<NodeReport>(*ViewOf(at_).reports.at(elsewhere));
  const ReplicaId keeper = theirs.replicas.at(0).id;
  const ReplicaId own = boxes_.at(at_).running.begin()->first;
  Tell({Order(nobody, keeper)});
  if (!named_throughout) Tell({Order({}, {})});
  if (!well) theirs.replicas.at(0).health = Health::kUnhealthy;
  const Record news = RecordOf(elsewhere, RecordKind::kNodeReport, 0, theirs);
  if (named_throughout) {
    Tell({news, Order(own, keeper)});
  } else {
    Tell({news});
    Tell({Order(own, keeper)});
  }
  EXPECT_EQ(Signalled(own), well);
}

INSTANTIATE_TEST_SUITE_P(NamedThroughoutAndWell, NodeKeepersTest,
                         testing::Values(std::pair{true, true}, std::pair{true, false},
                                         std::pair{false, true}, std::pair{false, false}));

}  // namespace
}  // namespace hs
