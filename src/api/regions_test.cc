#include <gtest/gtest.h>

#include "api/api.h"
#include "api/find.h"
#include "api/view_fixture_test.h"

namespace hs {
namespace {

ApiResult Ask(const NodeView& view, const std::string& path) {
  return Handle({"GET", path, "", "", Who{"test", true}}, view);
}
std::string BodyOf(const ApiResult& result) {
  const auto* response = std::get_if<ApiResponse>(&result);
  return response == nullptr ? "" : response->body;
}

// n1 and n2 are region 1; n3 is region 2, whose summary says that one `web` runs there.
NodeView ViewOfTwoRegions() {
  NodeView view = TestView();
  view.region = 1;
  RegionReport summary;
  summary.region = 2;
  ServiceInRegion web{.service = "web", .healthy = 1, .keeper = ReplicaId{7}};
  web.nodes = {{.node = TestNode(3), .staying = 1, .running = 1, .well = 1}};
  summary.services = {web};
  view.regions = {{.region = 1, .controller = TestNode(1), .members = 2, .ask = TestNode(1)},
                  {.region = 2,
                   .controller = TestNode(3),
                   .members = 1,
                   .ask = TestNode(3),
                   .summary = std::make_shared<const RecordBody>(summary)}};
  view.steward = TestNode(3);
  return view;
}

TEST(Regions, WhatNeedsAllReplicasAsksOneNodeOfEachOtherRegion) {
  const NodeView view = ViewOfTwoRegions();
  for (const char* path : {"/v1/replicas", "/v1/nodes", "/v1/why", "/v1/why/web", "/v1/inspect/web",
                           "/v1/logs/web", "/v1/stacks/shop/progress"}) {
    const ApiResult result = Ask(view, path);
    const auto* ask = std::get_if<AskRegionsCommand>(&result);
    ASSERT_NE(ask, nullptr) << path;
    EXPECT_EQ(ask->nodes, std::vector<NodeId>{TestNode(3)}) << path;
  }
  EXPECT_TRUE(std::holds_alternative<SendReportsCommand>(Ask(view, "/v1/reports")));
}

TEST(Regions, WithTheirReportsTheAnswerIsForAll) {
  NodeView view = ViewOfTwoRegions();
  SetReport(view, 3, {TestReplica(view.services[1], 0xb3, ReplicaState::kRunning, Health::kHealthy)});
  view.joined = true;
  EXPECT_NE(BodyOf(Ask(view, "/v1/replicas")).find("web-000000b3"), std::string::npos);
  EXPECT_EQ(CountService(view, view.services[1]).healthy, 3u) << "not counted twice";
}

TEST(Regions, CountsAreServedFromSummaries) {
  const NodeView view = ViewOfTwoRegions();
  EXPECT_EQ(CountService(view, view.services[1]).healthy, 3u);
  EXPECT_NE(BodyOf(Ask(view, "/v1/status")).find("\"regions\":2"), std::string::npos);
}

TEST(Regions, TheStewardKnowsAllLoads) {
  const ApiResult result = Ask(ViewOfTwoRegions(), "/v1/top");
  const auto* ask = std::get_if<AskNodeCommand>(&result);
  ASSERT_NE(ask, nullptr);
  EXPECT_EQ(ask->node, TestNode(3));
}

}  // namespace
}  // namespace hs
