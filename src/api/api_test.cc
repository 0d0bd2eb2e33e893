#include "api/api.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "api/call_test.h"
#include "api/event_tail.h"
#include "api/find.h"
#include "api/json.h"
#include "api/log_json.h"
#include "api/routes.h"
#include "api/stack_json.h"
#include "api/view_fixture_test.h"

namespace hs {
namespace {

std::vector<std::string> Keys(const json::value& object) {
  std::vector<std::string> keys;
  for (const auto& [key, unused] : object.as_object()) keys.push_back(Text(key));
  return keys;
}

TEST(Api, NodesHaveExactlyTheShapeThatScriptsRelyOn) {
  const auto nodes = Body(Ask(TestView(), "GET", "/v1/nodes"));
  ASSERT_EQ(nodes.as_array().size(), 3u);
  const auto& first = nodes.at(0);
  EXPECT_EQ(Keys(first),
            (std::vector<std::string>{"id", "name", "address", "state", "roles", "labels", "drained"}));
  EXPECT_EQ(
      json::serialize(first),
      R"({"id":"01010101010101010101010101010101","name":"n1","address":"127.0.0.11:7700","state":"alive",)"
      R"("roles":["controller","door","worker"],"labels":{"rack":"r1"},"drained":false})");
  EXPECT_EQ(json::serialize(nodes.at(1).at("roles")), R"(["standby","worker"])");
}

TEST(Api, ADrainedNodeIsSeen) {
  auto view = TestView();
  view.documents.push_back({DrainKey(TestNode(2)), {}, DrainOrder{TestNode(2)}});
  EXPECT_TRUE(Body(Ask(view, "GET", "/v1/nodes")).at(1).at("drained").as_bool());
  EXPECT_EQ(json::serialize(Body(Ask(view, "GET", "/v1/status")).at("drained")), R"(["n2"])");
  view.members[1].state = MemberState::kLeft;
  EXPECT_EQ(json::serialize(Body(Ask(view, "GET", "/v1/status")).at("drained")), "[]");
}

TEST(Api, ANodeThatSaidSinceWhenItHasItsRolesIsShownWithIt) {
  auto view = TestView();
  SetReport(view, 1, {},
            {{Role::kDoor, 1'700'000'000'000, "it was started with a door"},
             {Role::kController, 1'700'000'005'000, "took control"}});
  const auto first = Body(Ask(view, "GET", "/v1/nodes")).at(0);
  EXPECT_EQ(json::serialize(first.at("roles_since")), R"({"controller":1700000005000,"door":1700000000000})");
  EXPECT_EQ(first.at("since").as_string(), "2023-11-14 22:13:25 UTC") << "of the first one named";
}

TEST(Api, StatusCountsRolesAgainstTheirNeed) {
  auto view = TestView();
  view.members[2].state = MemberState::kUnreachable;
  const auto status = Body(Ask(view, "GET", "/v1/status"));
  EXPECT_EQ(json::serialize(status.at("roles")),
            R"([{"role":"worker","have":2,"need":3,"most":3},{"role":"door","have":1,"need":3,"most":3},)"
            R"({"role":"monitor","have":0,"need":2,"most":2},{"role":"standby","have":1,"need":1,"most":1},)"
            R"({"role":"controller","have":1,"need":1,"most":1}])");
}

TEST(Api, ReplicasNameTheirNodeAndGiveAnAddressWithPort) {
  const auto rows = Body(Ask(TestView(), "GET", "/v1/replicas"));
  ASSERT_EQ(rows.as_array().size(), 4u);
  EXPECT_EQ(json::serialize(rows.at(1)),
            R"({"service":"api","replica":"api-000000a2","node":"n2","state":"backoff","health":"unhealthy",)"
            R"("address":"127.0.0.11:20001","pid":4711,"restarts":4,"error":"exit code 1"})");
  EXPECT_EQ(rows.at(0).at("error").as_string(), "");
  EXPECT_EQ(Body(Ask(TestView(), "GET", "/v1/replicas?service=web")).as_array().size(), 2u);
}

TEST(Api, ReplicasOfADeadNodeAreGoneAndOfASilentOneUnknown) {
  auto view = TestView();
  view.members[1].state = MemberState::kUnreachable;
  auto rows = Body(Ask(view, "GET", "/v1/replicas?service=web"));
  EXPECT_EQ(rows.at(1).at("state").as_string(), "unreachable");
  EXPECT_EQ(rows.at(1).at("health").as_string(), "unknown");
  EXPECT_EQ(Body(Ask(view, "GET", "/v1/services")).at(1).at("healthy").as_int64(), 1);
  view.members[1].state = MemberState::kDead;
  EXPECT_EQ(Body(Ask(view, "GET", "/v1/replicas?service=web")).as_array().size(), 1u);
  // Its agent is down, but its work may serve on: it counts.
  view.members[1].state = MemberState::kAgentDown;
  EXPECT_EQ(Body(Ask(view, "GET", "/v1/services")).at(1).at("healthy").as_int64(), 2);
}

TEST(Api, ReplicasOfAServiceThatIsNotThereAreAMistake) {
  const auto view = TestView();
  const auto answer = Ask(view, "GET", "/v1/replicas?service=wbe");
  EXPECT_EQ(StatusOf(answer), 404);
  EXPECT_NE(std::get<ApiResponse>(answer).body.find("there are: api, web"), std::string::npos);
}

TEST(Api, ServicesCountDesiredRunningHealthy) {
  EXPECT_EQ(
      json::serialize(Body(Ask(TestView(), "GET", "/v1/services"))),
      R"([{"service":"api","desired":2,"running":1,"healthy":1},{"service":"web","desired":2,"running":2,"healthy":2}])");
}

TEST(Api, StatusSaysSteadyForHowLongAndWhatIsShort) {
  auto view = TestView();
  view.steady.shortages = {{"api", 1, "no box has 64 GiB"}};
  const auto status = Body(Ask(view, "GET", "/v1/status"));
  EXPECT_EQ(status.at("node").as_string(), "n1");
  EXPECT_EQ(status.at("door").as_string(), "127.0.0.11:8080");
  EXPECT_EQ(status.at("nodes").as_int64(), 3);
  EXPECT_TRUE(status.at("steady").as_bool());
  EXPECT_EQ(status.at("steady_s").as_double(), 34.0);
  EXPECT_NE(std::get<ApiResponse>(Ask(view, "GET", "/v1/status")).body.find("\"steady_s\":34.000"),
            std::string::npos)
      << "for people and shells: no exponent";
  EXPECT_EQ(json::serialize(status.at("short")),
            R"([{"service":"api","missing":1,"of":"room","reason":"no box has 64 GiB"}])");
  view.steady.steady = false;
  view.steady.pending = {"web starts"};
  const auto busy = Body(Ask(view, "GET", "/v1/status"));
  EXPECT_EQ(busy.at("steady_s").as_double(), 0.0);
  EXPECT_EQ(json::serialize(busy.at("pending")), R"(["web starts"])");
}

TEST(Api, AFullDiskIsShownWithItsNode) {
  auto view = TestView();
  view.members[1].meta.Edit().roles.disk = DiskFault::kFull;
  const auto nodes = Body(Ask(view, "GET", "/v1/nodes"));
  EXPECT_EQ(nodes.at(1).at("trouble").as_string(), "its disk is full");
  EXPECT_FALSE(nodes.at(0).as_object().contains("trouble"));
}

NodeView WithBrokenDoors(std::initializer_list<std::uint8_t> broken) {
  auto view = TestView();
  for (auto& member : view.members) member.meta.Edit().door = *Endpoint::Parse("127.0.0.11:8080");
  for (const std::uint8_t node : {1, 2, 3}) {
    NodeReport report;
    if (view.reports.contains(TestNode(node)))
      report = std::get<NodeReport>(*view.reports.at(TestNode(node)));
    report.containment = "no cgroup v2 is mounted";
    if (std::ranges::find(broken, node) != broken.end())
      report.door_error = "haproxy is not installed: apt-get install haproxy";
    view.reports[TestNode(node)] = std::make_shared<const RecordBody>(report);
  }
  return view;
}

TEST(Api, DoorsThatDoNotWorkAreTroubleAndSteadyAllTheSame) {
  auto view = WithBrokenDoors({1, 3});
  const auto status = Body(Ask(view, "GET", "/v1/status"));
  EXPECT_EQ(
      json::serialize(status.at("trouble")),
      R"([{"nodes":["n1","n3"],"what":"the door does not work: haproxy is not installed: apt-get install haproxy"}])");
  EXPECT_EQ(json::serialize(status.at("notes")),
            R"([{"nodes":["n1","n2","n3"],"what":"no cgroup v2 is mounted"}])");
  EXPECT_TRUE(status.at("steady").as_bool());
  const auto nodes = Body(Ask(view, "GET", "/v1/nodes"));
  EXPECT_EQ(nodes.at(0).at("trouble").as_string(),
            "its door: haproxy is not installed: apt-get install haproxy");
  EXPECT_FALSE(nodes.at(1).as_object().contains("trouble"));
  view.members[0].state = view.members[2].state = MemberState::kDead;
  EXPECT_TRUE(Body(Ask(view, "GET", "/v1/status")).at("trouble").as_array().empty()) << "gone with the node";
}

TEST(Api, ADeployThatPeopleAreToReachIsToldWhichDoorsFail) {
  auto view = WithBrokenDoors({2});
  const auto progress = [&] { return Body(Ask(view, "GET", "/v1/stacks/shop/progress")); };
  EXPECT_TRUE(progress().at("warnings").as_array().empty()) << "nobody comes through a door";
  view.services[1].spec.http = HttpRoute{};
  EXPECT_EQ(progress().at("warnings").as_array().size(), 1u);
  EXPECT_FALSE(progress().at("doorless").as_bool());
  view = WithBrokenDoors({1, 2, 3});
  view.services[1].spec.ports = {{9000, false}};
  EXPECT_TRUE(progress().at("doorless").as_bool());
  for (auto& member : view.members) member.meta.Edit().door = {};
  EXPECT_TRUE(progress().at("doorless").as_bool()) << "all were started without one";
}

TEST(Api, ANameMeansTheNodeThatIsHereElseTheOneThatMayReturn) {
  auto view = TestView();
  view.members[2].meta.Edit().name = "n2";
  const auto meant = [&](MemberState second, MemberState third) {
    view.members[1].state = second;
    view.members[2].state = third;
    const auto node = FindNode(view, "n2");
    return node ? (*node)->id.Short() : node.error().message;
  };
  EXPECT_EQ(meant(MemberState::kLeft, MemberState::kAlive), TestNode(3).Short());
  EXPECT_EQ(meant(MemberState::kLeft, MemberState::kDead), TestNode(3).Short()) << "the first was removed";
  EXPECT_EQ(meant(MemberState::kAgentDown, MemberState::kLeft), TestNode(2).Short());
  EXPECT_EQ(meant(MemberState::kDead, MemberState::kDead),
            "'n2' means 2 nodes: 02020202 (dead), 03030303 (dead); use the id");
  view.documents.push_back({NodeKey(TestNode(3)), {}, std::monostate{}});
  EXPECT_EQ(meant(MemberState::kDead, MemberState::kDead),
            "'n2' means 2 nodes: 02020202 (dead), 03030303 (removed); use the id");
}

TEST(Api, ARemovedNodeIsNotListedOnceItIsGone) {
  auto view = TestView();
  view.documents.push_back({NodeKey(TestNode(2)), {}, std::monostate{}});
  view.members[1].state = MemberState::kLeft;
  EXPECT_EQ(Body(Ask(view, "GET", "/v1/nodes")).as_array().size(), 2u);
  EXPECT_EQ(StatusOf(Ask(view, "DELETE", "/v1/nodes/n2")), 404);
  EXPECT_NE(json::serialize(Body(Ask(view, "GET", "/v1/why/n2"))).find("was removed from the cluster"),
            std::string::npos);
}

struct Refusal {
  const char* method;
  const char* target;
  const char* body;
  int status;
  const char* says;
};

TEST(Api, BadRequestsAreRefusedWithTheReason) {
  const auto view = TestView();
  const Refusal table[] = {
      {"GET", "/v1/nothing", "", 404, "no such path"},
      {"GET", "v1/nodes", "", 400, "malformed"},
      {"GET", "", "", 400, "malformed"},
      {"GET", "/v1/why/%zz", "", 400, "malformed"},
      {"GET", "/v1/why/%00", "", 400, "malformed"},
      {"GET", "/v1/nodes/", "", 404, "no such path"},
      {"POST", "/v1/nodes", "", 405, "GET"},
      {"GET", "/v1/nodes?a=1", "", 400, "unknown query parameter 'a'"},
      {"GET", "/v1/events?follow=maybe", "", 400, "follow must be 1 or 0"},
      {"PUT", "/v1/nodes/n2/drain", "junk", 400, "this takes no body"},
      {"GET", "/v1/events?n=x", "", 400, "n must be a whole number"},
      {"GET", "/v1/events?since_ms=x", "", 400, "since_ms must be a whole number"},
      {"GET", "/v1/logs/web?n=1000000", "", 400, "n must be a whole number, at most 100000"},
      {"GET", "/v1/events?n=1&n=2", "", 400, "query"},
      {"GET", "/v1/events?n=%4", "", 400, "query"},
      {"GET", "/v1/logs/nobody", "", 404, "no service or replica 'nobody'"},
      {"GET", "/v1/why/nobody", "", 404, "'nobody'"},
      {"GET", "/v1/inspect/nobody", "", 404, "'nobody'"},
      {"GET", "/v1/stacks/nobody", "", 404, "'nobody'"},
      {"PUT", "/v1/services/wbe/scale", "{\"replicas\":3}", 404, "there are: api, web"},
      {"PUT", "/v1/services/web/scale", "", 400, "replicas"},
      {"PUT", "/v1/services/web/scale", "{", 400, "not JSON"},
      {"PUT", "/v1/services/web/scale", "[]", 400, "object"},
      {"PUT", "/v1/services/web/scale", "{\"replicas\":-1}", 400, "whole number"},
      {"PUT", "/v1/services/web/scale", "{\"replicas\":1.5}", 400, "whole number"},
      {"PUT", "/v1/services/web/scale", "{\"replicas\":\"3\"}", 400, "whole number"},
      {"PUT", "/v1/services/web/scale", "{\"replica\":3}", 400, "unknown key 'replica'"},
      {"DELETE", "/v1/services/web/scale", "", 404, "not scaled"},
      {"PUT", "/v1/nodes/n9/drain", "", 404, "there are: n1, n2, n3"},
      {"DELETE", "/v1/nodes/n1/drain", "", 404, "not drained"},
      {"DELETE", "/v1/stacks/nobody", "", 404, "there are: shop"},
      {"DELETE", "/v1/tokens/abc", "", 404, "no token"},
      {"POST", "/v1/tokens", "{\"use\":\"all\"}", 400, "join"},
      {"POST", "/v1/tokens", "{\"ttl_s\":-5}", 400, "ttl_s"},
      {"POST", "/v1/tokens", "{\"ttl_s\":0}", 400, "ends at once"},
      {"PUT", "/v1/bundles/xyz", "", 400, "64 hexadecimal"},
      {"PUT", "/v1/stacks/shop", "{}", 400, "name must not be empty"},
      {"PUT", "/v1/stacks/shop", "{\"name\":\"other\",\"services\":[]}", 400, "the path says 'shop'"},
      {"GET", "/v1/stacks/shop/progress?stamp=1-2", "", 400, "no stamp"},
  };
  for (const auto& row : table) {
    const auto result = Ask(view, row.method, row.target, row.body);
    EXPECT_EQ(StatusOf(result), row.status) << row.method << " " << row.target << " " << row.body;
    const auto body = Body(result);
    ASSERT_TRUE(body.is_object()) << row.target;
    const auto message = Text(body.at("error").at("message").as_string());
    EXPECT_NE(message.find(row.says), std::string::npos) << row.target << ": " << message;
  }
}

TEST(Api, OnlyPublicPathsAnswerWhoeverAsks) {
  const auto view = TestView();
  for (const auto& row : RouteTable()) {
    std::string path(row.pattern);
    for (auto open = path.find('{'); open != std::string::npos; open = path.find('{')) {
      path.replace(open, path.find('}') - open + 1, "x");
    }
    const int nobody = StatusOf(Ask(view, std::string(row.method), path, "", std::nullopt));
    const int reader = StatusOf(Ask(view, std::string(row.method), path, "", Who{"reader", false}));
    EXPECT_EQ(nobody == 401, row.access != Access::kPublic) << path;
    EXPECT_EQ(reader == 403, row.access == Access::kAdmin) << path;
  }
}

TEST(Api, WhoSentATokenThatIsNotGoodIsToldWhy) {
  const ApiRequest request{.method = "GET",
                           .path = "/v1/status",
                           .query = "",
                           .body = "",
                           .who = std::nullopt,
                           .refused = "this token has expired"};
  const auto result = Handle(request, TestView());
  EXPECT_EQ(StatusOf(result), 401);
  EXPECT_EQ(Text(Body(result).at("error").at("message").as_string()), "this token has expired");
}

TEST(Api, TheOpenApiDocumentHasEveryRouteAndNoOther) {
  json::error_code code;
  const auto document = json::parse(OpenApiText(), code);
  std::size_t operations = 0;
  for (const auto& [path, methods] : document.at("paths").as_object())
    operations += methods.as_object().size();
  EXPECT_EQ(operations, RouteTable().size());
}

TEST(Api, LogsAskTheNodesThatHaveTheReplicas) {
  const auto result = Ask(TestView(), "GET", "/v1/logs/web?n=7&follow=1&since_ms=5");
  const auto& logs = std::get<ReadLogsCommand>(result);
  ASSERT_EQ(logs.sources.size(), 2u);
  EXPECT_EQ(logs.sources[0].node, TestNode(1));
  EXPECT_EQ(logs.sources[1].name, "web-000000b2");
  EXPECT_EQ(logs.lines, 7u);
  EXPECT_EQ(logs.since_ms, 5);
  EXPECT_TRUE(logs.follow);
  EXPECT_EQ(std::get<ReadLogsCommand>(Ask(TestView(), "GET", "/v1/logs/web-000000b2")).sources.size(), 1u);
}

TEST(Api, EventsAreTheNewestSoManyOldestFirst) {
  const auto events = Body(Ask(TestView(), "GET", "/v1/events?n=1"));
  ASSERT_EQ(events.as_array().size(), 1u);
  EXPECT_EQ(events.at(0).at("subject").as_string(), "api");
  EXPECT_EQ(Body(Ask(TestView(), "GET", "/v1/events?subject=web")).as_array().size(), 1u);
  auto view = TestView();
  view.events = {TestEvent("replica.gone", "web-0badcafe", "of web, which runs no more"),
                 TestEvent("replica.gone", "web-api-0badcafe", "of another service"),
                 TestEvent("replica.gone", "web-server12", "no replica's name")};
  const auto of_web = Body(Ask(view, "GET", "/v1/events?subject=web"));
  ASSERT_EQ(of_web.as_array().size(), 1u);
  EXPECT_EQ(of_web.at(0).at("subject").as_string(), "web-0badcafe");
  EventTail tail("web", 0);
  EXPECT_EQ(tail.Next(view).size(), 1u);
  EXPECT_TRUE(std::holds_alternative<FollowEventsCommand>(Ask(TestView(), "GET", "/v1/events?follow=1")));
}

TEST(Api, TokensNeverShowTheirSecret) {
  auto view = TestView();
  TokenDoc token{.id = "abc", .secret_digest = {}, .expires_ms = 0, .admin = true};
  token.secret_digest.bytes.fill(0xee);
  view.documents.push_back({TokenKey("abc"), {}, token});
  for (const auto* path : {"/v1/tokens", "/v1/documents"}) {
    const auto result = Ask(view, "GET", path);
    EXPECT_NE(std::get<ApiResponse>(result).body.find("\"abc\""), std::string::npos);
    EXPECT_EQ(std::get<ApiResponse>(result).body.find("eeee"), std::string::npos);
  }
  EXPECT_EQ(std::get<WriteCommand>(Ask(view, "DELETE", "/v1/tokens/abc")).documents.at(0).first, "token/abc");
  EXPECT_TRUE(
      std::get<CreateTokenCommand>(Ask(view, "POST", "/v1/tokens", "{\"use\":\"api\",\"ttl_s\":60}")).admin);
  EXPECT_TRUE(std::holds_alternative<ShowJoinTokenCommand>(Ask(view, "GET", "/v1/tokens/join")));
}

TEST(Api, EveryKindOfDocumentIsShownByItsName) {
  auto view = TestView();
  view.documents.push_back({QuotaKey("services"), {}, QuotaDoc{"services", 40, 0, 0}});
  const auto body = std::get<ApiResponse>(Ask(view, "GET", "/v1/documents")).body;
  EXPECT_NE(body.find(R"("kind":"quota","subject":"services","replicas":40)"), std::string::npos) << body;
}

TEST(Api, ReadyMeansAControllerIsKnown) {
  auto view = TestView();
  EXPECT_EQ(StatusOf(Ask(view, "GET", "/readyz", "", std::nullopt)), 200);
  view.controller = {};
  EXPECT_EQ(StatusOf(Ask(view, "GET", "/readyz", "", std::nullopt)), 503);
  EXPECT_EQ(StatusOf(Ask(view, "GET", "/livez", "", std::nullopt)), 200);
}

TEST(Api, MetricsCountMembersAndReplicas) {
  const auto text = std::get<ApiResponse>(Ask(TestView(), "GET", "/metrics")).body;
  for (const auto* line :
       {"homeostat_members{state=\"alive\"} 3\n",
        "homeostat_replicas{service=\"web\",health=\"healthy\"} 2\n",
        "homeostat_replicas{service=\"api\",health=\"unhealthy\"} 1\n",
        "homeostat_replicas_desired{service=\"api\"} 2\n", "homeostat_replica_restarts{service=\"api\"} 4\n",
        "homeostat_steady 1\n", "homeostat_is_controller 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(Api, TextThatIsNoUtf8StillMakesJson) {
  auto view = TestView();
  view.events = {TestEvent("replica.exited", "web", "said \xff\xc3(\xe2\x82")};
  const auto events = Body(Ask(view, "GET", "/v1/events"));
  ASSERT_TRUE(events.is_array());
  EXPECT_EQ(events.at(0).at("cause").as_string(), "said \xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Api, AnEmptyViewAnswersEverything) {
  const NodeView view;
  for (const auto& row : RouteTable()) {
    std::string path(row.pattern);
    for (auto open = path.find('{'); open != std::string::npos; open = path.find('{')) {
      path.replace(open, path.find('}') - open + 1, "x");
    }
    EXPECT_LT(StatusOf(Ask(view, std::string(row.method), path)), 504) << path;
  }
}

TEST(EventTail, ReturnsEachEventOnce) {
  auto view = TestView();
  EventTail tail("", 0);
  EXPECT_EQ(tail.Next(view).size(), 2u);
  EXPECT_EQ(tail.Next(view).size(), 0u);
  view.events.erase(view.events.begin());
  view.events.push_back(TestEvent("plan.start", "web", "again"));
  const auto fresh = tail.Next(view);
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].cause, "again");
}

TEST(LogJson, RoundTripsAndRefusesGarbage) {
  const LogLine line{5, "web-1", "a \"quoted\"\tline"};
  EXPECT_EQ(LogLineFromJson(LogLineToJson(line)), line);
  for (const auto* text : {"", "{", "[]", "{}", "{\"at_ms\":\"5\",\"replica\":\"w\",\"line\":\"l\"}"}) {
    EXPECT_FALSE(LogLineFromJson(text)) << text;
  }
}

}  // namespace
}  // namespace hs
