#include "api/why.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "api/find.h"
#include "api/json.h"
#include "api/progress.h"
#include "api/view_fixture_test.h"

namespace hs {
namespace {

std::string CauseOf(const NodeView& view, std::string_view subject) {
  const auto why = Explain(view, subject);
  return why ? why->cause : "error: " + why.error().message;
}

struct NodeRow {
  MemberState state;
  const char* says;
  const char* why;
};

TEST(Why, AScaledServiceSaysWhatMovedItLast) {
  auto view = TestView();
  view.services[1].fixed = false;
  view.services[1].spec.scale = ScaleSpec{.min = 1, .max = 9};
  view.services[1].replicas = 2;
  const auto words = [&] { return Explain(view, "web")->advice.back(); };
  EXPECT_EQ(words(), "the level of 2 is set by what is measured, from 1 to 9");
  view.events.push_back(TestEvent("scale.up", "web", "1 to 2: need 1.4"));
  EXPECT_EQ(words(), "the level of 2 is set by what is measured, from 1 to 9; last: 1 to 2: need 1.4");
}

TEST(Why, ANodesCauseFollowsItsStateAndQuotesWhatWasSeen) {
  const NodeRow table[] = {
      {MemberState::kAlive, "n2 has been alive for 90 s", "nothing is wrong"},
      {MemberState::kSuspect, "n2 did not answer and is suspected since 50 s: n1 got no ack", "ambiguous"},
      {MemberState::kAgentDown, "the agent on n2 is down since 50 s, its work may still run: n1 got no ack",
       "evidence of a refusal"},
      {MemberState::kUnreachable, "n2 is silent since 50 s: the box is dead or cut off: n1 got no ack",
       "suspicion ran out"},
      {MemberState::kDead, "n2 is dead since 50 s: n1 got no ack", "its work refused too"},
      {MemberState::kLeft, "n2 said goodbye 50 s ago: n1 got no ack", "left on purpose"},
  };
  for (const auto& row : table) {
    auto view = TestView();
    view.members[1].state = row.state;
    view.events.push_back(TestEvent("member.changed", "n2", "n1 got no ack"));
    EXPECT_EQ(CauseOf(view, "n2"), row.says) << row.why;
  }
}

TEST(Why, ADrainedNodeSaysSoAndHowToUndoIt) {
  auto view = TestView();
  view.documents.push_back({DrainKey(TestNode(2)), {}, DrainOrder{TestNode(2)}});
  const auto why = Explain(view, "n2");
  EXPECT_NE(why->cause.find("drained by request"), std::string::npos);
  EXPECT_NE(why->cause.find("still runs 2 replicas"), std::string::npos) << why->cause;
  EXPECT_NE(why->advice.at(0).find("drain --undo n2"), std::string::npos);
}

TEST(Why, AControllerSaysSinceWhenAndWhyItIsOneAlsoWhenTheEventIsForgotten) {
  auto view = TestView();
  SetReport(view, 1, {},
            {{Role::kWorker, 1'700'000'000'000, "it is neither drained nor barred"},
             {Role::kController, 1'700'000'000'000, "n3 is gone: the stand-by takes over"}});
  EXPECT_NE(CauseOf(view, "n1").find("controller since 2023-11-14 22:13:20 UTC: n3 is gone: the stand-by"),
            std::string::npos)
      << CauseOf(view, "n1");
}

TEST(Why, ANodeWithoutARoleSaysWhatKeepsItFromOne) {
  auto view = TestView();
  view.members[2].meta.Edit().labels["homeostat.controller"] = "never";
  EXPECT_NE(CauseOf(view, "n3").find("its labels bar it from being standby, controller"), std::string::npos)
      << CauseOf(view, "n3");
  view.members[2].meta.Edit().roles.strained = true;
  EXPECT_NE(CauseOf(view, "n3").find("overloaded and takes no role"), std::string::npos);
}

TEST(Why, ANodeWithAFullDiskSaysSoAndWhatToDo) {
  auto view = TestView();
  view.members[2].meta.Edit().roles.disk = DiskFault::kFull;
  view.members[2].meta.Edit().roles.strained = true;
  NodeReport report;
  report.troubles = {"its disk is full: 3 of 4000 MiB are free"};
  view.reports[TestNode(3)] = std::make_shared<const RecordBody>(report);
  const auto why = Explain(view, "n3");
  EXPECT_NE(why->cause.find("its disk is full: 3 of 4000 MiB are free"), std::string::npos) << why->cause;
  EXPECT_NE(why->cause.find("takes no role and no new work"), std::string::npos) << why->cause;
  ASSERT_FALSE(why->advice.empty());
  EXPECT_NE(why->advice.front().find("free space"), std::string::npos);
}

TEST(Why, ADoorThatDoesNotWorkIsSaidBeforeTheRole) {
  auto view = TestView();
  NodeReport report;
  report.door_error = "the port is taken";
  report.roles = {{Role::kController, 1'700'000'000'000, "n3 is gone"}};
  view.reports[TestNode(1)] = std::make_shared<const RecordBody>(report);
  EXPECT_EQ(
      CauseOf(view, "n1"),
      "n1 is alive, but its door does not work: the port is taken; controller since 2023-11-14 22:13:20 "
      "UTC: n3 is gone");
}

TEST(Why, AHealthyServiceIsAsAskedSinceATime) {
  EXPECT_EQ(CauseOf(TestView(), "web"),
            "web is as asked: all 2 replicas are healthy, since 2023-11-14 22:13:20 UTC");
}

TEST(Why, AServiceBelowItsLevelNamesItsWorstReplicaAndTheError) {
  const auto why = Explain(TestView(), "api");
  EXPECT_EQ(
      why->cause,
      "1 of 2 replicas of api are healthy: api-000000a2 on n2 ended after 4 restarts and waits to be started "
      "again: exit code 1");
  EXPECT_NE(why->advice.at(0).find("homeostat logs api-000000a2"), std::string::npos);
  EXPECT_EQ(why->events.at(0).cause, "exit code 1");
}

TEST(Why, AShortageBeatsARestartingReplica) {
  auto view = TestView();
  view.steady.shortages = {{"api", 1, "no box has 64 GiB free"}};
  EXPECT_EQ(CauseOf(view, "api"), "1 of 2 replicas of api cannot be placed: no box has 64 GiB free");
}

TEST(Why, AShortageSaysWhatItIsAShortageOf) {
  auto view = TestView();
  view.documents.push_back({"quota/service.api", {}, QuotaDoc{"service.api", 1, 0, 0}, {}});
  view.documents.push_back({"quota/services", {}, QuotaDoc{"services", 3, 0, 0}, {}});
  view.services[0].spec.constraints = {{"node.labels.disk", "ssd", true}};
  const struct {
    ShortOf of;
    const char* advice;
  } kRows[] = {
      {ShortOf::kRoom, "add a box"},
      {ShortOf::kFitting,
       "its stack asks for node.labels.disk == ssd: a box's labels are given to homeostat up"},
      {ShortOf::kQuota, "raise the quota (now 3 replicas): homeostat quota set services"},
      {ShortOf::kMaximum, "raise its quota (now 1 replicas): homeostat quota set service.api --replicas 2"},
      {ShortOf::kVersion, "homeostat logs api  shows what the new version wrote"},
  };
  for (const auto& row : kRows) {
    view.steady.shortages = {{"api", 1, "for a reason", row.of}};
    const auto why = Explain(view, "api");
    EXPECT_EQ(why->advice.at(0).find(row.advice), 0u) << why->advice.at(0);
    const bool scale = std::ranges::any_of(why->advice, [](const std::string& advice) {
      return advice.find("homeostat scale") != std::string::npos;
    });
    EXPECT_EQ(scale, row.of == ShortOf::kRoom) << "no number helps against " << ToString(row.of);
  }
  std::erase_if(view.documents, [](const Document& each) { return each.key == "quota/service.api"; });
  view.steady.shortages = {{"api", 1, "for a reason", ShortOf::kMaximum}};
  EXPECT_EQ(Explain(view, "api")->advice.at(0), "raise the maximum in its stack");
}

TEST(Why, AMetricThatDoesNotComeIsNamedAsTheReasonOfALevelThatHolds) {
  auto view = TestView();
  auto& api = view.services[0];
  api.fixed = false;
  api.spec.scale =
      ScaleSpec{.min = 1, .max = 9, .target = ScaleTarget::kMetric, .value = 5, .metric = "queue"};
  const auto told = [&](const std::string& words) {
    const auto why = Explain(view, "api");
    return std::ranges::any_of(
        why->advice, [&](const std::string& advice) { return advice.find(words) != std::string::npos; });
  };
  EXPECT_FALSE(told("the level holds"));
  view.events.push_back(TestEvent("metric.missing", "api", "GET http://127.0.0.1:1/metrics: answered 404"));
  EXPECT_TRUE(told("the level holds, since queue is not told: GET http://127.0.0.1:1/metrics: answered 404"));
  view.events.push_back(TestEvent("metric.back", "api", "all replicas on n1 tell it again"));
  EXPECT_FALSE(told("the level holds"));
  view.service_loads["api"].metric_replicas = 0;
  EXPECT_TRUE(told("the level holds, since queue is not told by 1 of 1 replicas"));
}

TEST(Why, AStoppedRolloutIsToldWhileTheVersionIsWantedThatDoesNotGetHealthy) {
  auto view = TestView();
  view.steady.shortages = {{"api", 1, "no box fits"},
                           {"api", 2, "the redeploy stopped: v2 ended", ShortOf::kVersion}};
  EXPECT_EQ(CauseOf(view, "api"), "api: the redeploy stopped: v2 ended");
  EXPECT_EQ(CauseOf(view, "shop"), "api: the redeploy stopped: v2 ended");
  EXPECT_EQ(CauseOf(view, "web").find("web is as asked"), 0u);
  // None of the wanted version ails: the controller still speaks of the one before it.
  SetReport(view, 2, {});
  EXPECT_EQ(CauseOf(view, "api"), "1 of 2 replicas of api cannot be placed: no box fits");
}

TEST(Why, AStoppedRolloutIsToldByItsEventUntilANewControllerSeesItFail) {
  auto view = TestView();
  view.events.push_back(TestEvent("rollout.stopped", "api", "v2 was not healthy within 60 s"));
  EXPECT_EQ(CauseOf(view, "api"),
            "api: the redeploy stopped: v2 was not healthy within 60 s; the old version keeps running");
  view.events.push_back(TestEvent("rollout.stopped", "web", "an old story"));
  EXPECT_EQ(CauseOf(view, "web").find("web is as asked"), 0u)
      << "all of web's replicas are of the wanted version";
}

TEST(Why, ARolloutThatStoppedBeforeThePresentRevisionIsAnOldStory) {
  auto view = TestView();
  view.events.push_back(TestEvent("rollout.stopped", "api", "v0", view.services[0].revision.wall_ms - 1));
  EXPECT_EQ(CauseOf(view, "api").find("1 of 2 replicas of api are healthy"), 0u);
}

TEST(Why, AHealthyServiceThatADoorDoesNotServeSaysSo) {
  auto view = TestView();
  view.services[1].spec.ports = {{9100, true}};
  NodeReport report = *ReportOf(view, TestNode(1));
  const auto told = [&](const std::string& error) {
    report.door_error = error;
    view.reports[TestNode(1)] = std::make_shared<const RecordBody>(report);
    return CauseOf(view, "web");
  };
  EXPECT_NE(
      told("service web cannot listen on 127.0.0.11:9100: x has it").find(", but the door of n1 does not"),
      std::string::npos);
  EXPECT_NE(told("service api cannot listen on :9101: x; HAProxy does not answer").find("does not answer"),
            std::string::npos);
  EXPECT_EQ(told("service api cannot listen on 127.0.0.11:9101: service web has it").find("but"),
            std::string::npos);
  EXPECT_EQ(told("").find("but"), std::string::npos);
}

TEST(Why, WhatNoStackAsksForAndWhatDoorsLackIsNotHidden) {
  auto view = TestView();
  view.services.pop_back();
  EXPECT_EQ(CauseOf(view, "web"),
            "2 replicas of web are left running, though no stack that is known here asks for them");
  view = TestView();
  NodeReport report = *ReportOf(view, TestNode(1));
  report.door_error = "haproxy is not installed";
  view.reports[TestNode(1)] = std::make_shared<const RecordBody>(report);
  EXPECT_EQ(CauseOf(view, "cluster"),
            "the cluster is steady for 34 s, but n1: the door does not work: haproxy is not installed");
}

TEST(Why, WithoutAControllerNothingIsPlanned) {
  auto view = TestView();
  view.controller = {};
  view.reports.clear();
  EXPECT_EQ(CauseOf(view, "web"),
            "0 of 2 replicas of web are healthy: no controller is known, so nothing is planned");
}

TEST(Why, AReplicaThatIsGoneIsExplainedByItsLastEvent) {
  auto view = TestView();
  view.events.push_back(TestEvent("replica.stopped", "web-00000099", "web was scaled down to 2"));
  EXPECT_EQ(CauseOf(view, "web-00000099"), "web-00000099 is gone: web was scaled down to 2");
}

TEST(Why, APlannedReplicaThatNobodyReportedYetNamesItsNodeAndThePlansReason) {
  auto view = TestView();
  PlanSlice slice;
  slice.node = TestNode(3);
  slice.assignments = {{ReplicaId{0x77ull << 32}, "web", {}, {}, "n3 has the fewest replicas of web"}};
  view.slices[TestNode(3)] = std::make_shared<const RecordBody>(slice);
  EXPECT_EQ(
      CauseOf(view, "web-00000077"),
      "web-00000077 is planned on n3, which has not reported it yet: n3 has the fewest replicas of web");
}

TEST(Why, AStackIsAsItsWorstServiceAndTheClusterAsItsSteadyState) {
  auto view = TestView();
  EXPECT_EQ(CauseOf(view, "shop").find("1 of 2 replicas of api"), 0u);
  EXPECT_EQ(CauseOf(view, "cluster"), "the cluster is steady for 34 s: everything asked for is there");
  view.steady.steady = false;
  view.steady.pending = {"api-000000a2 starts on n2"};
  EXPECT_EQ(CauseOf(view, ""), "the cluster is not steady for 34 s: api-000000a2 starts on n2");
}

TEST(Why, AnUnknownNameIsAnError) { EXPECT_FALSE(Explain(TestView(), "nobody")); }

// ------------------------------------------------------------------------------------------------------
// progress

const Stamp kRevision{1'600'000'000'000, 0, TestNode(1)};

TEST(Progress, IsDoneWhenEveryServiceHasItsReplicasOfTheRevision) {
  auto view = TestView();
  auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_FALSE(progress.done);
  EXPECT_FALSE(progress.failed);
  EXPECT_EQ(progress.lines.at(0), "api  1/2 healthy, 1 starting (exit code 1)");
  EXPECT_EQ(progress.lines.at(1), "web  2/2 healthy");
  const auto& api = view.services[0];
  const auto& web = view.services[1];
  SetReport(view, 2,
            {TestReplica(web, 0xb2, ReplicaState::kRunning, Health::kHealthy),
             TestReplica(api, 0xa2, ReplicaState::kRunning, Health::kHealthy)});
  EXPECT_TRUE(DeployProgress(view, "shop", kRevision).done);
}

TEST(Progress, AnOldVersionThatStillRunsIsNotDone) {
  auto view = TestView();
  view.services[1].hash = SpecHash{99};
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_EQ(progress.lines.at(1), "web  0/2 healthy, 2 of the old version");
  EXPECT_FALSE(progress.done);
}

TEST(Progress, IsNotDoneBeforeTheLastOldReplicaIsGone) {
  auto view = TestView();
  const auto& api = view.services[0];
  const auto& web = view.services[1];
  SetReport(view, 2,
            {TestReplica(web, 0xb2, ReplicaState::kRunning, Health::kHealthy),
             TestReplica(api, 0xa2, ReplicaState::kRunning, Health::kHealthy)});
  EXPECT_TRUE(DeployProgress(view, "shop", kRevision).done);
  auto old = TestReplica(web, 0xb3, ReplicaState::kDraining, Health::kHealthy);
  old.spec = SpecHash{99};
  SetReport(view, 3, {old});
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_FALSE(progress.done);
  EXPECT_EQ(progress.lines.at(1), "web  2/2 healthy, 1 of the old version");
}

TEST(Progress, FailsWhenTheRolloutStoppedAfterTheDeployAndNotBefore) {
  auto view = TestView();
  view.events.push_back(TestEvent("rollout.stopped", "api", "earlier", kRevision.wall_ms - 1));
  EXPECT_FALSE(DeployProgress(view, "shop", kRevision).failed);
  view.events.push_back(TestEvent("rollout.stopped", "api", "not healthy in time", kRevision.wall_ms + 1));
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_TRUE(progress.failed);
  EXPECT_EQ(progress.reason, "not healthy in time");
}

TEST(Progress, OfAVersionWhoseRolloutStoppedBeforeIsShortAndStopped) {
  auto view = TestView();
  view.steady.shortages = {{"api", 1, "the redeploy stopped: v2 ended", ShortOf::kVersion}};
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_TRUE(progress.is_short);
  EXPECT_TRUE(progress.stopped);
  EXPECT_EQ(progress.reason, "api: the redeploy stopped: v2 ended");
}

TEST(Progress, ARolloutThatStoppedGoesBeforeWhatHasNoPlace) {
  for (const bool api_first : {true, false}) {
    auto view = TestView();
    const Shortage stopped{"api", 1, "v2 ended", ShortOf::kVersion};
    const Shortage no_room{"web", 2, "no box fits", ShortOf::kRoom};
    view.steady.shortages = {api_first ? stopped : no_room, api_first ? no_room : stopped};
    SetReport(view, 1, {TestReplica(view.services[0], 0xa1, ReplicaState::kRunning, Health::kHealthy)});
    std::erase_if(view.reports, [](const auto& each) { return each.first == TestNode(3); });
    const auto progress = DeployProgress(view, "shop", kRevision);
    EXPECT_TRUE(progress.stopped);
    EXPECT_EQ(progress.reason, "api: v2 ended");
  }
}

TEST(Progress, EveryServiceThatHasNoPlaceIsNamed) {
  auto view = TestView();
  view.steady.shortages = {{"api", 1, "no box fits"}, {"web", 2, "a port is taken"}};
  view.reports.clear();
  SetReport(view, 1, {TestReplica(view.services[0], 0xa1, ReplicaState::kRunning, Health::kHealthy)});
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_TRUE(progress.is_short);
  EXPECT_NE(progress.reason.find("1 of api cannot be placed: no box fits"), std::string::npos)
      << progress.reason;
  EXPECT_NE(progress.reason.find("2 of web cannot be placed: a port is taken"), std::string::npos);
}

TEST(Progress, WhatTheControllerSaysOfAnEarlierVersionIsNotThisOne) {
  auto view = TestView();
  view.steady.shortages = {{"api", 2, "the redeploy stopped: v2 ended", ShortOf::kVersion}};
  SetReport(view, 1, {TestReplica(view.services[1], 0xb1, ReplicaState::kRunning, Health::kHealthy)});
  SetReport(view, 2, {TestReplica(view.services[1], 0xb2, ReplicaState::kRunning, Health::kHealthy)});
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_FALSE(progress.is_short);
  EXPECT_FALSE(progress.stopped);
}

TEST(Progress, IsShortWhenAllThatFitsIsHealthy) {
  auto view = TestView();
  view.steady.shortages = {{"api", 1, "no box fits"}};
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_TRUE(progress.is_short);
  EXPECT_FALSE(progress.stopped);
  EXPECT_EQ(progress.reason, "1 of api cannot be placed: no box fits");
}

TEST(Progress, WaitsForARevisionNotYetSeenAndFailsForOneThatWasReplaced) {
  const auto view = TestView();
  const auto later = DeployProgress(view, "shop", Stamp{kRevision.wall_ms + 1, 0, TestNode(1)});
  EXPECT_FALSE(later.done);
  EXPECT_FALSE(later.failed);
  EXPECT_TRUE(DeployProgress(view, "shop", Stamp{kRevision.wall_ms - 1, 0, TestNode(1)}).failed);
}

TEST(Progress, FailsWhenEveryReplicaOfWhatIsNotHealthyCrashedAgainAndAgain) {
  auto view = TestView();
  view.services[0].replicas = 1;  // api
  const auto with_api = [&](ReplicaState state, std::uint32_t restarts, WallMs since_ms) {
    auto status = TestReplica(view.services[0], 0xa1, state, Health::kUnknown);
    status.restarts = restarts;
    status.since_ms = since_ms;
    status.last_error = "exit code 1";
    SetReport(view, 1,
              {TestReplica(view.services[1], 0xb1, ReplicaState::kRunning, Health::kHealthy), status});
    SetReport(view, 2, {TestReplica(view.services[1], 0xb2, ReplicaState::kRunning, Health::kHealthy)});
    return DeployProgress(view, "shop", kRevision);
  };
  const WallMs after = kRevision.wall_ms + 1;
  EXPECT_FALSE(with_api(ReplicaState::kBackoff, 2, after).failed);
  EXPECT_FALSE(with_api(ReplicaState::kStarting, 3, after).failed) << "this time it may work";
  EXPECT_FALSE(with_api(ReplicaState::kBackoff, 3, kRevision.wall_ms - 1).failed) << "not since this deploy";
  const auto progress = with_api(ReplicaState::kBackoff, 3, after);
  EXPECT_TRUE(progress.failed);
  EXPECT_EQ(progress.reason,
            "shop does not get healthy: every replica of api ended 3 times and more (exit code 1); "
            "it stays deployed and is tried further: homeostat why shop");
  view.services[1].replicas = 3;  // web
  EXPECT_FALSE(with_api(ReplicaState::kBackoff, 3, after).failed)
      << "api may wait for what is still starting";
}

TEST(Progress, SaysWhetherDoorsHaveToTakeItUp) {
  auto view = TestView();
  EXPECT_FALSE(DeployProgress(view, "shop", kRevision).published);
  view.services[1].spec.ports.emplace_back();
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_TRUE(progress.published);
  EXPECT_TRUE(json::parse(ProgressJson(progress)).at("published").as_bool());
}

TEST(Progress, FailsForAStackThatWasRemovedAndWaitsForOneThatComesAfterARemoval) {
  auto view = TestView();
  const Stamp removed{kRevision.wall_ms + 10, 0, TestNode(2)};
  view.documents = {Document{StackKey("shop", 1), removed, std::monostate{}}};
  const auto progress = DeployProgress(view, "shop", kRevision);
  EXPECT_TRUE(progress.failed);
  EXPECT_EQ(progress.reason, "shop was removed meanwhile");
  EXPECT_FALSE(DeployProgress(view, "shop", Stamp{removed.wall_ms + 1, 0, TestNode(1)}).failed);
  EXPECT_FALSE(DeployProgress(view, "sho", kRevision).failed) << "another stack";
}

}  // namespace
}  // namespace hs
