// What a node tells its door, when, and on whose word.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

using NodeDoorTest = NodeFixture;

TEST_F(NodeDoorTest, TheDoorIsBuiltAtMostOnceIn5Ms) {
  GrowTo(1);
  Run(100ms);
  boxes_.at(0).said.clear();
  for (std::uint64_t revision = 1; revision <= 20; ++revision) {
    Deploy(0, {Service("web" + std::to_string(revision), 0)}, revision);
    Run(1ms);
  }
  Run(100ms);
  const auto doors = SaidBy<ApplyDoor>(0);
  ASSERT_GE(doors.size(), 2U);
  for (std::size_t i = 1; i < doors.size(); ++i) EXPECT_GE(doors[i].first - doors[i - 1].first, 5ms);
  EXPECT_EQ(doors.back().second.table->services.at(0).name, "web20") << "the last state is told";
}

TEST_F(NodeDoorTest, OnlyWhoHasADoorLooksAfterThePathsToOthersReplicas) {
  Start(0);
  Start(1, 0, [](BootState& boot) { boot.meta.door = {}; });
  Run(2s);
  Deploy(0, {Service("web", 2)});
  const auto serves = [&] {
    const DoorTable door = DoorOf(1);
    return !door.services.empty() && door.services.at(0).servers.size() == 2;
  };
  ASSERT_TRUE(RunUntil(serves, 10s));
  for (auto& [i, box] : boxes_) box.said.clear();
  Run(3s);
  const auto looks = [&](int i) {
    return std::ranges::count_if(SaidBy<SendDatagram>(i), [](const auto& said) {
      return std::holds_alternative<PathPing>(said.second.message.body);
    });
  };
  EXPECT_GE(looks(0), 5);
  EXPECT_EQ(looks(1), 0);
}

TEST_F(NodeDoorTest, ARestartedAgentTouchesItsDoorOnlyWhenItKnowsWhatTheOthersServe) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 10s));
  const auto documents = ViewOf(1).documents;
  Start(1, 0, [&](BootState& boot) { boot.documents = documents; });
  EXPECT_THAT(SaidBy<ApplyDoor>(1), IsEmpty()) << "its own table would name nobody";
  ASSERT_TRUE(RunUntil([&] { return !SaidBy<ApplyDoor>(1).empty(); }, 5s));
  EXPECT_THAT(SaidBy<ApplyDoor>(1).front().second.table->services.at(0).servers, SizeIs(2))
      << "both other boxes serve";
}

TEST_F(NodeDoorTest, ABoxThatFellHasNoDoorThatServesAndWaitsForNobody) {
  for (const bool alive : {true, false}) {
    SCOPED_TRACE(alive);
    Start(7, 6, [&](BootState& boot) {  // nobody answers there
      AdoptedReplica replica;
      replica.id = ReplicaId{1};
      replica.spec = Service("web", 1);
      replica.alive = alive;
      boot.replicas.push_back(replica);
    });
    Run(100ms);
    EXPECT_EQ(SaidBy<ApplyDoor>(7).size(), alive ? 0U : 1U);
  }
}

TEST_F(NodeDoorTest, ADoorDoesNotWaitLongerThanStartPatienceForOthers) {
  const StackSpec stack{"shop", {Service("web", 0)}};
  Start(0, 5, [&](BootState& boot) {  // nobody is at that address
    boot.documents = {{StackKey("shop", 1), Stamp{1'700'000'000'000, 0, IdOf(0)}, stack, {}}};
  });
  Run(tunables_.start_patience - 10ms);
  EXPECT_THAT(SaidBy<ApplyDoor>(0), IsEmpty());
  Run(20ms);
  EXPECT_THAT(SaidBy<ApplyDoor>(0), SizeIs(1));
}

TEST_F(NodeDoorTest, ASilentMemberIsDownAtTheDoorsUntilItsReportGoes) {
  GrowTo(4);
  Deploy(0, {Service("web", 4)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 4 && AllSteady(); }, 10s));
  Run(1s);
  boxes_.at(3).gone = true;  // silent: what is sent to it is lost
  const auto state = [&] {
    const DoorTable door = DoorOf(0);
    for (const DoorServer& server : door.services.at(0).servers) {
      if (server.name == IdOf(3).Hex()) return std::string(ToString(server.state));
    }
    return std::string("absent");
  };
  EXPECT_EQ(state(), ToString(ServerState::kReady));
  ASSERT_TRUE(RunUntil([&] { return state() != ToString(ServerState::kReady); }, 10s));
  EXPECT_EQ(state(), ToString(ServerState::kDown));
}

}  // namespace
}  // namespace hs
