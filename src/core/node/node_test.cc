// Whole nodes together. Doors, leaving and bundles are in files of their own beside this one.
#include "core/node/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using NodeTest = NodeFixture;

// ------------------------------------------------------------------------------------------------ steady

TEST_F(NodeTest, ANodeAloneLeadsItselfAndIsSteady) {
  Start(0);
  ASSERT_TRUE(RunUntil([&] { return ViewOf(0).steady.steady; }, 10s));
  EXPECT_EQ(ViewOf(0).controller, IdOf(0));
  Run(1s);  // it is judged with pauses
  const Time since = ViewOf(0).steady.since;
  Run(60s);
  EXPECT_TRUE(ViewOf(0).steady.steady);
  EXPECT_EQ(ViewOf(0).steady.since, since) << "it was steady all the time";
}

TEST_F(NodeTest, ASteadyClusterDecidesNothing) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3; }, 5s));
  ASSERT_TRUE(RunUntil([&] { return AllSteady(); }, 10s));
  for (auto& [i, box] : boxes_) box.said.clear();
  Run(60s);
  EXPECT_TRUE(AllSteady());
  for (const int i : {0, 1, 2}) {
    EXPECT_THAT(SaidBy<EmitEvent>(i), IsEmpty());
    EXPECT_THAT(SaidBy<ApplyDoor>(i), IsEmpty());
    EXPECT_THAT(SaidBy<Persist>(i), IsEmpty());
    EXPECT_THAT(SaidBy<StartReplica>(i), IsEmpty());
  }
}

// ------------------------------------------------------------------------------------------------ events

TEST_F(NodeTest, AnEventReachesEveryNodeAndIsToldOnceByTheOneWhereItHappened) {
  GrowTo(3);
  for (auto& [i, box] : boxes_) box.said.clear();
  Hand(1, DoorStatus{"haproxy is not installed"});
  Run(5s);
  for (const int i : {0, 1, 2}) {
    EXPECT_THAT(EventsOf(i, "door.failed"), SizeIs(i == 1 ? 1 : 0)) << "told where it happened";
    int seen = 0;
    for (const auto& body : ViewOf(i).events) seen += std::get<Event>(*body).kind == "door.failed";
    EXPECT_EQ(seen, 1) << "node " << i;
    EXPECT_EQ(std::get<NodeReport>(*ViewOf(i).reports.at(IdOf(1))).door_error, "haproxy is not installed");
  }
  Hand(1, DoorStatus{"haproxy is not installed"});
  Run(1s);
  EXPECT_THAT(EventsOf(1, "door.failed"), SizeIs(1)) << "the same again is no news";
}

TEST_F(NodeTest, WhoKnowsNobodyDoesNotSayThatOthersAreMissing) {
  Start(0, 5);  // by an address where nobody is
  Run(5s);
  std::vector<std::string> causes;
  for (const auto& event : EventsOf(0, "lan.search")) causes.push_back(event.cause);
  EXPECT_THAT(causes, ElementsAre("nobody answers at the addresses it was given: it asks the local network "
                                  "for them"));
}

// ------------------------------------------------------------------------------------------------ roles

TEST_F(NodeTest, AnOverloadedControllerIsRelievedAndItsWorkIsNotTouched) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 10s));
  int old = 0;
  while (IdOf(old) != ViewOf(0).controller) ++old;
  const auto started =
      SaidBy<StartReplica>(0).size() + SaidBy<StartReplica>(1).size() + SaidBy<StartReplica>(2).size();
  for (int second = 0; second < 10; ++second) {
    Hand(old, LoadMeasured{{{{.node = IdOf(old), .lag_ms = 400}}, {}}});
    Run(1s);
  }
  const NodeId next = ViewOf(0).controller;
  EXPECT_NE(next, IdOf(old));
  for (const int i : {0, 1, 2}) EXPECT_EQ(ViewOf(i).controller, next);
  EXPECT_THAT(EventsOf(old, "node.strained"), SizeIs(1));
  EXPECT_THAT(EventsOf(old, "role.controller-ended"), Not(IsEmpty()));
  ASSERT_TRUE(RunUntil([&] { return AllSteady(); }, 10s));
  EXPECT_EQ(RunningInAll(), 3);
  EXPECT_EQ(SaidBy<StartReplica>(0).size() + SaidBy<StartReplica>(1).size() + SaidBy<StartReplica>(2).size(),
            started);
  const auto& roles = std::get<NodeReport>(*ViewOf(old).reports.at(next)).roles;
  const auto held = std::ranges::find(roles, Role::kController, &RoleHeld::role);
  ASSERT_NE(held, roles.end()) << "every node can say why";
  EXPECT_THAT(held->cause, HasSubstr("is overloaded"));
}

TEST_F(NodeTest, AControllerWithAFullDiskIsRelievedSaysSoAndGetsNoNewWork) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 10s));
  int old = 0;
  while (IdOf(old) != ViewOf(0).controller) ++old;
  const DiskChecked full{.fault = DiskFault::kFull, .reason = "No space left on device"};
  Hand(old, full);
  Run(1s);
  const NodeId next = ViewOf(old).controller;
  EXPECT_NE(next, IdOf(old));
  for (const int i : {0, 1, 2}) EXPECT_EQ(ViewOf(i).controller, next);
  EXPECT_EQ(RunningOn(old), 1U) << "what runs there stays";
  ASSERT_THAT(EventsOf(old, "disk.failed"), SizeIs(1));
  EXPECT_THAT(EventsOf(old, "disk.failed")[0].cause, HasSubstr("its disk is full: No space left on device"));
  EXPECT_THAT(EventsOf(old, "role.controller-ended").back().cause, HasSubstr("out of disk space"));
  const auto& report = std::get<NodeReport>(*ViewOf(old).reports.at(IdOf(old)));
  ASSERT_THAT(report.troubles, SizeIs(1));
  EXPECT_THAT(report.troubles[0], HasSubstr("free space"));

  Deploy(0, {Service("api", 4), Service("web", 3)}, 2);
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 7 && AllSteady(); }, 10s));
  EXPECT_EQ(RunningOn(old), 1U);
  for (int second = 0; second < 12; ++second) {
    Hand(old, DiskChecked{.free_bytes = 1 << 30, .total_bytes = 4ULL << 30, .reason = {}, .written = true});
    Run(1s);
  }
  EXPECT_THAT(EventsOf(old, "disk.ok"), SizeIs(1));
  ASSERT_TRUE(RunUntil([&] { return RunningOn(old) > 1 && AllSteady(); }, 60s)) << "work moves there again";
  EXPECT_TRUE(std::get<NodeReport>(*ViewOf(old).reports.at(IdOf(old))).troubles.empty());
}

TEST_F(NodeTest, OfDocumentsThatCannotBeWrittenOneEventIsTold) {
  GrowTo(1);
  for (std::uint64_t i = 0; i < 5; ++i) {
    Hand(0, PersistFailed{PersistId{1000 + i}, "disk full", DiskFault::kFull});
    Run(1s);
  }
  ASSERT_THAT(EventsOf(0, "disk.failed"), SizeIs(1));
  EXPECT_THAT(EventsOf(0, "disk.failed")[0].cause, HasSubstr("documents could not be written: disk full"));
}

TEST_F(NodeTest, ANodeBarredFromWorkGetsNone) {
  Start(0);
  Start(1, 0, [](BootState& boot) { boot.meta.labels["homeostat.worker"] = "never"; });
  ASSERT_TRUE(RunUntil([&] { return AllSteady(); }, 10s));
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 3 && AllSteady(); }, 10s));
  EXPECT_EQ(RunningOn(0), 3);
}

// ------------------------------------------------------------------------------------------------ plans

TEST_F(NodeTest, ABurstOfNewsIsPlannedOnceAfter15Ms) {
  GrowTo(1);
  Run(200ms);
  for (auto& [i, box] : boxes_) box.said.clear();
  const Time began = now_;
  for (std::uint64_t revision = 1; revision <= 5; ++revision) {
    Deploy(0, {Service("web", static_cast<std::uint32_t>(revision))}, revision);
    Run(1ms);
  }
  ASSERT_TRUE(RunUntil([&] { return RunningOn(0) == 5; }, 2s));
  // The first look at the news is 15 ms after the plan before, hence at once; the four that follow are one.
  std::set<std::uint64_t> plans;
  for (const auto& [at, start] : SaidBy<StartReplica>(0))
    plans.insert(static_cast<std::uint64_t>(ToMs(at - began)));
  EXPECT_LE(plans.size(), 2U) << ::testing::PrintToString(plans);
  EXPECT_LE(*plans.rbegin(), 30U);
  EXPECT_GE(*plans.rbegin(), 15U) << "the second look came without a pause";
}

// ------------------------------------------------------------------------------------------------ writes

TEST_F(NodeTest, AWriteBeforeTheOthersAreFoundWaitsForThem) {
  GrowTo(2);
  Start(2, 0);
  Deploy(2, {Service("web", 1)});
  EXPECT_THAT(SaidBy<Persist>(2), IsEmpty());
  ASSERT_TRUE(RunUntil([&] { return !SaidBy<Reply>(2).empty(); }, 5s));
  EXPECT_TRUE(SaidBy<Reply>(2).front().second.result) << "acknowledged by all three";
  EXPECT_NE(node(0).FindDocument(StackKey("shop", 1)), nullptr);
}

TEST_F(NodeTest, AnEarlyWriteGoesOnAloneAfterStartPatience) {
  Start(0, 5);
  Deploy(0, {Service("web", 1)});
  Run(tunables_.start_patience - 10ms);
  EXPECT_THAT(SaidBy<Persist>(0), IsEmpty());
  Run(20ms);
  EXPECT_THAT(SaidBy<Persist>(0), SizeIs(1));
}

// ------------------------------------------------------------------------------------------------ names

TEST_F(NodeTest, OfTwoNodesWithOneNameTheNewcomerTakesAnother) {
  GrowTo(2);
  const auto name_it = [](BootState& boot) { boot.meta.name = "n1"; };
  Start(2, 0, name_it);
  ASSERT_TRUE(RunUntil([&] { return ViewOf(0).members.size() == 3 && AllSteady(); }, 10s));
  Run(10s);
  EXPECT_EQ(ViewOf(0).members.at(1).meta->name, "n1");
  EXPECT_EQ(ViewOf(0).members.at(2).meta->name, "n1-03000000");
  EXPECT_THAT(EventsOf(2, "member.renamed"), SizeIs(1));
  EXPECT_THAT(EventsOf(1, "member.renamed"), IsEmpty());
}

TEST_F(NodeTest, ANewcomerWithTheSmallerIdYieldsToo) {
  const auto name_it = [](BootState& boot) { boot.meta.name = "box"; };
  Start(1, -1, name_it);
  Run(1s);
  Start(0, 1, name_it);
  ASSERT_TRUE(RunUntil([&] { return ViewOf(1).members.size() == 2; }, 10s));
  Run(10s);
  EXPECT_EQ(ViewOf(1).members.at(0).meta->name, "box-01000000");
  EXPECT_EQ(ViewOf(1).members.at(1).meta->name, "box");
}

// ------------------------------------------------------------------------------------------ apps' numbers

TEST_F(NodeTest, AnAppsNumberThatIsMissingIsSaidOnceAndSoIsItsReturn) {
  ServiceSpec mail = Service("mail", 1);
  mail.scale = ScaleSpec{.min = 1, .max = 5, .target = ScaleTarget::kMetric, .value = 10, .metric = "queue"};
  Start(0);
  Run(5s);
  EXPECT_THAT(node(0).MetricTargets(), IsEmpty());
  Deploy(0, {mail, Service("web", 1)});
  ASSERT_TRUE(RunUntil([&] { return node(0).MetricTargets().size() == 1; }, 30s));
  const MetricTarget target = node(0).MetricTargets().front();
  EXPECT_EQ(target.service, "mail");
  EXPECT_EQ(target.metric, "queue");
  EXPECT_EQ(target.path, "/metrics");
  EXPECT_NE(target.address.port, 0);
  const auto measure = [&](int seconds, bool missing) {
    for (int i = 0; i < seconds; ++i) {
      LoadMeasured measured;
      measured.report.nodes.push_back({.node = IdOf(0)});
      if (missing) measured.metric_problems = {{"mail", target.replica, "there is no metric queue"}};
      Hand(0, measured);
      Run(1s);
    }
  };
  measure(2, true);
  measure(2, false);
  EXPECT_THAT(EventsOf(0, "metric.missing"), IsEmpty()) << "a hiccup";
  measure(20, true);
  ASSERT_THAT(EventsOf(0, "metric.missing"), SizeIs(1));
  EXPECT_EQ(EventsOf(0, "metric.missing")[0].subject, "mail");
  EXPECT_THAT(EventsOf(0, "metric.missing")[0].cause, ::testing::HasSubstr("there is no metric queue"));
  measure(8, false);
  measure(1, true);
  measure(8, false);
  EXPECT_THAT(EventsOf(0, "metric.back"), IsEmpty()) << "not for certain yet";
  measure(5, false);
  EXPECT_THAT(EventsOf(0, "metric.back"), SizeIs(1));
  EXPECT_THAT(EventsOf(0, "metric.missing"), SizeIs(1));
}

// ------------------------------------------------------------------------------------------ lost, and old

TEST_F(NodeTest, AnOldCopyOfADiskThatIsPutBackIsHeardAgain) {
  GrowTo(3);
  Deploy(0, {Service("web", 3)});
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && RunningInAll() == 3; }, 30s));
  boxes_.at(1).gone = true;
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && RunningInAll() == 3; }, 60s)) << "its work is replaced";
  Start(1, 0, [](BootState& boot) { boot.boot_counter = 1; });
  Run(5s);
  Deploy(0, {Service("web", 6)}, 2);
  EXPECT_TRUE(RunUntil([&] { return AllSteady() && RunningInAll() == 6; }, 60s));
  EXPECT_GT(RunningOn(1), 0U);
  EXPECT_THAT(EventsOf(1, "member.reborn"), SizeIs(1));
}

// A replica of "web" survived the former agent.
void FoundRunning(BootState& boot) {
  AdoptedReplica replica;
  replica.id = ReplicaId{77};
  replica.spec.name = "web";
  replica.spec.command = {"/bin/web"};
  replica.address = {boot.meta.address.ip, 20000};
  replica.pid = 4000;
  replica.alive = true;
  boot.replicas = {replica};
}

TEST_F(NodeTest, WorkThatNoDocumentAsksForAnyMoreRunsOnUntilSomebodyKnows) {
  Start(0, -1, FoundRunning);
  boxes_.at(0).running[ReplicaId{77}] = {};
  Run(120s);
  EXPECT_THAT(EventsOf(0, "plan.stop"), IsEmpty());
  EXPECT_THAT(SaidBy<SignalReplica>(0), IsEmpty());
  EXPECT_THAT(EventsOf(0, "intent.lost"), SizeIs(1));
  EXPECT_FALSE(ViewOf(0).steady.steady);
  // Something is asked for again: that is all there is.
  Deploy(0, {Service("api", 1)});
  EXPECT_TRUE(RunUntil([&] { return AllSteady(); }, 30s));
  EXPECT_THAT(SaidBy<SignalReplica>(0), SizeIs(1));
}

TEST_F(NodeTest, WorkWithoutDocumentsStopsWhenTheOthersDoNotAskForItEither) {
  GrowTo(2);
  Deploy(0, {Service("api", 1)});
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && RunningInAll() == 1; }, 30s));
  Start(2, 0, FoundRunning);
  boxes_.at(2).running[ReplicaId{77}] = {};
  EXPECT_TRUE(RunUntil([&] { return AllSteady() && SaidBy<SignalReplica>(2).size() == 1; }, 60s));
  EXPECT_EQ(RunningInAll(), 1U);
}

TEST_F(NodeTest, EventsOfABoxAYearAheadAreStampedByTheClocksOfAll) {
  skew_[3] = ToMs(365 * 24h);
  ASSERT_NO_FATAL_FAILURE(GrowTo(4));
  Run(10s);  // it has asked everybody what time it is
  Hand(3, LeaveRequested{});
  const auto events = EventsOf(3, "member.leaving");
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_LT(events.back().at_ms, TrueWall() + ToMs(1min)) << "or they outlive everybody's in all books";
}

// ------------------------------------------------------------------------------------------------ poison

TEST_F(NodeTest, WhatCannotBeUnderstoodIsToldForAWhileAndStopsNothing) {
  ASSERT_NO_FATAL_FAILURE(GrowTo(2));
  const auto troubles = [&] {
    const auto body = ViewOf(1).reports.at(IdOf(0));
    return std::get<NodeReport>(*body).troubles;
  };
  Hand(0, Unreadable{IdOf(1), "documents[0].body: of a kind this release does not know"});
  Run(1s);
  EXPECT_THAT(troubles(), ElementsAre(HasSubstr("n1 holds what it cannot read: documents[0].body")));
  EXPECT_TRUE(AllSteady());
  // Met again by anti-entropy: told longer, and once.
  Run(5min);
  Hand(0, Unreadable{IdOf(1), "documents[0].body: of a kind this release does not know"});
  Run(8min);
  EXPECT_THAT(troubles(), SizeIs(1));
  Run(3min);
  EXPECT_THAT(troubles(), IsEmpty());
}

TEST_F(NodeTest, ADelugeOfPoisonIsNamedUpToABound) {
  Start(0);
  for (int i = 0; i < 1000; ++i) Hand(0, Unreadable{IdOf(1), std::to_string(i)});
  Run(1s);
  EXPECT_THAT(std::get<NodeReport>(*ViewOf(0).reports.at(IdOf(0))).troubles, SizeIs(8));
}

}  // namespace
}  // namespace hs
