// Moves for balance: a box that comes is used, nothing is lost on the way, and then there is peace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

// Rounds of a second until nothing has moved for ten; every move is looked at on the way.
void SettleWithMoves(World& w) {
  int quiet = 0;
  for (int i = 0; i < 600 && quiet < 10; ++i) {
    w.Round();
    quiet = w.update.changed.empty() ? quiet + 1 : 0;
  }
  EXPECT_EQ(quiet, 10) << "no peace";
}

int Spread(const World& w, int boxes, const std::string& service = "web") {
  int least = 1 << 20, most = 0;
  for (int n = 1; n <= boxes; ++n) {
    least = std::min(least, w.On(n, service));
    most = std::max(most, w.On(n, service));
  }
  return most - least;
}

TEST(Move, ABoxThatJoinsIsUsedStartFirstOneMoveAtATime) {
  World w(3);
  w.Want(w.Spec("web", "1"), 8);
  w.Settle();
  w.AddBox(4);
  w.healthy_min = 1 << 20;
  int moves = 0;
  for (int i = 0; i < 60; ++i) {
    w.Round();
    moves += w.Decided("plan.move");
    EXPECT_LE(w.Decided("plan.move"), 1);
    EXPECT_EQ(w.Decided("plan.start"), 0);
    EXPECT_LE(w.Healthy("web"), 9) << "one beside the wanted number, no more";
  }
  EXPECT_EQ(moves, 2);
  EXPECT_EQ(w.healthy_min, 8) << "never fewer than wanted";
  EXPECT_EQ(w.Healthy("web"), 8);
  EXPECT_LE(Spread(w, 4), 1);
}

TEST(Move, SaysWhatItReadAndWhomItReplaces) {
  World w(1);
  w.Want(w.Spec("web", "1"), 4);
  w.Settle();
  w.AddBox(2);
  for (int i = 0; i < 10 && w.Decided("plan.move") == 0; ++i) w.Round();
  ASSERT_EQ(w.Decided("plan.move"), 1);
  const auto move = std::ranges::find(w.update.decisions, "plan.move", &Decision::kind);
  EXPECT_THAT(move->cause,
              HasSubstr("moved here from n1 to spread the work: 4 of web on the box of n1, 0 on that of n2"));
  const auto& assignments = w.book.slices().at(Box(2)).assignments;
  ASSERT_EQ(assignments.size(), 1u);
  EXPECT_TRUE(assignments[0].replaces);
  for (int i = 0; i < 10 && w.Decided("plan.stop") == 0; ++i) w.Round();
  const auto stop = std::ranges::find(w.update.decisions, "plan.stop", &Decision::kind);
  ASSERT_NE(stop, w.update.decisions.end());
  EXPECT_THAT(stop->cause, HasSubstr("moved to n2, where web-"));
}

TEST(Move, ASteadyClusterMovesNothingInAnHour) {
  World w(5);
  for (int n = 1; n <= 5; ++n) w.members[Box(n)].meta.Edit().labels["zone"] = n < 4 ? "a" : "b";
  for (int service = 0; service < 7; ++service) {
    ServiceSpec spec = w.Spec("s" + std::to_string(service), "1");
    spec.reserve = {static_cast<std::uint32_t>(service % 3) * 200, 0};
    w.Want(spec, static_cast<std::uint32_t>(1 + service));
  }
  SettleWithMoves(w);
  const auto where = w.Where();
  for (int second = 0; second < 3600; ++second) {
    w.Round();
    ASSERT_TRUE(w.update.changed.empty()) << second;
  }
  EXPECT_EQ(w.Where(), where);
}

TEST(Move, WhatForbidsIt) {
  struct Row {
    const char* why;
    void (*change)(World&, ServiceSpec&);
  };
  const Row rows[] = {
      {"x-move: never", [](World&, ServiceSpec& spec) { spec.movable = false; }},
      {"a constraint that the new box does not meet",
       [](World&, ServiceSpec& spec) {
         spec.constraints = {{"node.labels.disk", "ssd", true}};
       }},
      {"no room there",
       [](World& w, ServiceSpec& spec) {
         spec.reserve.memory_bytes = 1 << 20;
         w.members[Box(3)].meta.Edit().capacity.memory_bytes = 1 << 19;
       }},
      {"the new box is drained", [](World& w, ServiceSpec&) { w.drained.insert(Box(3)); }},
      {"the new box came and went too often",
       [](World& w, ServiceSpec&) { w.members[Box(3)].quarantined_until = w.now + 1h; }},
      {"nothing may move at all", [](World& w, ServiceSpec&) { w.tunables.moves_at_once = 0; }},
      {"within one of even",
       [](World& w, ServiceSpec&) { w.members[Box(3)].state = MemberState::kUnreachable; }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(2);
    for (int n : {1, 2}) w.members[Box(n)].meta.Edit().labels["disk"] = "ssd";
    ServiceSpec spec = w.Spec("web", "1");
    w.AddBox(3);
    row.change(w, spec);
    w.members[Box(3)].state = MemberState::kDead;  // not there while the service is placed
    w.Want(spec, 6);
    w.Settle();
    const bool away = std::string_view(row.why) == "within one of even";
    w.members[Box(3)].state = away ? MemberState::kDead : MemberState::kAlive;
    w.members[Box(3)].alive_since = w.now;
    for (int i = 0; i < 30; ++i) {
      w.Round();
      EXPECT_EQ(w.Decided("plan.move"), 0);
    }
  }
}

TEST(Move, ANewZoneGetsItsShare) {
  World w(4);
  for (int n = 1; n <= 4; ++n) w.members[Box(n)].meta.Edit().labels["zone"] = "a";
  w.Want(w.Spec("web", "1"), 8);
  w.Settle();
  w.AddBox(5);
  w.members[Box(5)].meta.Edit().labels["zone"] = "b";
  SettleWithMoves(w);
  EXPECT_EQ(w.On(5), 4);
  EXPECT_LE(Spread(w, 4), 0) << "one each is left in the old zone";
}

TEST(Move, ServicesOfOneReplicaAreSpreadByTheBoxesTotals) {
  World w(1);
  for (int i = 0; i < 10; ++i) w.Want(w.Spec("s" + std::to_string(i), "1"), 1);
  w.Settle();
  w.AddBox(2);
  int moves = 0;
  for (int i = 0; i < 60; ++i) {
    w.Round();
    moves += w.Decided("plan.move");
  }
  EXPECT_EQ(w.reports[Box(1)].replicas.size(), 5u);
  EXPECT_EQ(w.reports[Box(2)].replicas.size(), 5u);
  EXPECT_EQ(moves, 5) << "no more than needed: moves under way count as done";
}

TEST(Move, OneThatFailsIsUndoneAndNotTriedAgainSoon) {
  World w(2);
  w.Want(w.Spec("web", "1"), 6);
  w.Settle();
  w.AddBox(3);
  w.broken_boxes.insert(Box(3));
  int moves = 0, failed = 0;
  const auto run = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      w.Round();
      moves += w.Decided("plan.move");
      failed += w.Decided("plan.move-failed");
    }
  };
  run(120);
  EXPECT_EQ(moves, 1);
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(w.Healthy("web"), 6);
  EXPECT_EQ(w.On(3), 0);
  EXPECT_TRUE(w.update.report.pending.empty()) << w.update.report.pending.front();
  run(400);
  EXPECT_EQ(moves, 1);
  w.broken_boxes.clear();
  run(200);
  EXPECT_GE(moves, 3) << "ten minutes later it is tried again";
  EXPECT_EQ(w.On(3), 2);
}

TEST(Move, MovesUnderWayInTheRegionAreLimited) {
  World w(1);
  w.tunables.moves_at_once = 2;
  for (int i = 0; i < 10; ++i) w.Want(w.Spec("s" + std::to_string(i), "1"), 1);
  w.Settle();
  w.AddBox(2);
  w.broken_boxes.insert(Box(2));
  for (int i = 0; i < 30; ++i) w.Round();
  EXPECT_EQ(w.reports[Box(2)].replicas.size(), 2u);
}

TEST(Move, ASuccessorThatIsLostLeavesEverythingAsItWas) {
  World w(2);
  w.Want(w.Spec("web", "1"), 6);
  w.Settle();
  w.AddBox(3);
  w.broken_boxes.insert(Box(3));
  for (int i = 0; i < 6; ++i) w.Round();
  ASSERT_EQ(w.On(3), 1);
  w.SetState(3, MemberState::kUnreachable);
  w.healthy_min = 1 << 20;
  w.Settle();
  EXPECT_EQ(w.healthy_min, 6);
  EXPECT_EQ(w.Healthy("web"), 6);
}

TEST(Move, AScaleDownInTheMiddleOfAMoveStopsTheNewcomerFirst) {
  World w(2);
  ServiceSpec spec = w.Spec("web", "1");
  w.Want(spec, 6);
  w.Settle();
  w.AddBox(3);
  w.broken_boxes.insert(Box(3));
  for (int i = 0; i < 6; ++i) w.Round();
  ASSERT_EQ(w.On(3), 1);
  w.Want(spec, 5);
  w.healthy_min = 1 << 20;
  for (int i = 0; i < 5; ++i) w.Round();
  EXPECT_EQ(w.healthy_min, 5);
}

TEST(Move, WhatABoxBringsBackIsLeftToStartInsteadOfBeingStoppedAndMovedThere) {
  World w(3);
  w.Want(w.Spec("web", "1"), 6);
  w.Settle();
  const auto before = w.Where();
  for (int n : {2, 3}) w.SetState(n, MemberState::kUnreachable);
  w.Settle();
  EXPECT_EQ(w.On(1), 6);
  for (int n : {2, 3}) {
    w.SetState(n, MemberState::kAlive);
    for (ReplicaStatus& status : w.reports[Box(n)].replicas) status.state = ReplicaState::kBackoff;
  }
  int moves = 0;
  w.healthy_min = 1 << 20;
  for (int i = 0; i < 20; ++i) {
    w.Round();
    moves += w.Decided("plan.move");
  }
  EXPECT_EQ(moves, 0);
  EXPECT_EQ(w.healthy_min, 6);
  EXPECT_EQ(w.Healthy("web"), 6);
  EXPECT_LE(Spread(w, 3), 0);
  for (const auto& [replica, box] : before) {
    if (box == Box(1)) continue;
    EXPECT_EQ(w.Where().count(replica), 1u) << "it serves again where it was";
  }
}

TEST(Move, OneWhoseStopIsTakenBackMayMoveInTheSameLook) {
  int moves = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World w(1);
    w.prng = Prng(seed);
    const ServiceSpec spec = w.Spec("web", "1");
    w.Want(spec, 2);
    w.Settle();
    w.boxes_act = false;
    w.Want(spec, 1);
    w.Plan();
    EXPECT_EQ(w.Decided("plan.stop"), 1);
    w.AddBox(2);
    w.members[Box(2)].alive_since = w.now - 1h;
    w.Want(spec, 2);
    w.Plan();
    EXPECT_EQ(w.Decided("plan.keep"), 1);
    moves += w.Decided("plan.move");
  }
  EXPECT_EQ(moves, 20);
}

TEST(Move, AScaleUpInTheMiddleOfAMoveKeepsBoth) {
  World w(1);
  const ServiceSpec spec = w.Spec("web", "1");
  w.Want(spec, 4);
  w.Settle();
  w.AddBox(2);
  w.broken_boxes.insert(Box(2));
  for (int i = 0; i < 6; ++i) w.Round();
  ASSERT_EQ(w.On(2), 1);
  w.broken_boxes.clear();
  w.Want(spec, 5);
  SettleWithMoves(w);
  EXPECT_EQ(w.Healthy("web"), 5);
  EXPECT_LE(Spread(w, 2), 1);
}

// Any fleet, any services: peace comes, and nothing that could be moved to a more even place is left.
TEST(Move, RandomFleetsComeToPeaceWithinOneOfEven) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const int boxes = 2 + static_cast<int>(prng.Below(6));
    World w(boxes);
    w.prng = Prng(seed);
    const int services = 1 + static_cast<int>(prng.Below(5));
    for (int i = 0; i < services; ++i) {
      w.Want(w.Spec("s" + std::to_string(i), "1"), static_cast<std::uint32_t>(1 + prng.Below(9)));
    }
    std::set<int> away;
    for (int n = 2; n <= boxes; ++n) {
      if (!prng.Chance(0.5)) continue;
      away.insert(n);
      w.SetState(n, MemberState::kDead);
      w.reports.erase(Box(n));
    }
    w.Settle();
    for (const int n : away) {
      w.AddBox(n);
      w.book = PlanBook{Box(1)};  // somebody else controls by now, who looks at what runs
    }
    SettleWithMoves(w);
    for (int i = 0; i < services; ++i) EXPECT_LE(Spread(w, boxes, "s" + std::to_string(i)), 1);
    std::size_t least = 1000, most = 0;
    for (const auto& [node, report] : w.reports) {
      least = std::min(least, report.replicas.size());
      most = std::max(most, report.replicas.size());
    }
    EXPECT_LE(most - least, 1u);
    for (const DesiredService& service : w.services)
      EXPECT_EQ(w.Healthy(service.spec.name), static_cast<int>(service.replicas));
  }
}

}  // namespace
}  // namespace hs
