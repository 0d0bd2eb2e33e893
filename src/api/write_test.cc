// Requests that ask for something to be done: what is refused, and which documents they become.
#include <gtest/gtest.h>

#include "api/call_test.h"
#include "api/stack_json.h"
#include "core/intent/keys.h"

namespace hs {
namespace {

TEST(ApiWrite, ANodeIsRemovedByATombstoneOnItsKey) {
  auto view = TestView();
  for (const std::uint8_t node : {1, 2, 3}) {
    view.documents.push_back(
        {NodeKey(TestNode(node)), {}, NodeDoc{TestNode(node), "n" + std::to_string(node), {}}});
  }
  EXPECT_EQ(StatusOf(Ask(view, "DELETE", "/v1/nodes/nobody")), 404);
  EXPECT_EQ(StatusOf(Ask(view, "DELETE", "/v1/nodes/n1?force=1")), 409) << "not itself";
  const auto refused = Ask(view, "DELETE", "/v1/nodes/n2");
  EXPECT_EQ(StatusOf(refused), 409);
  EXPECT_NE(json::serialize(Body(refused)).find("n2 is alive and runs 2 replicas"), std::string::npos);
  EXPECT_EQ(StatusOf(Ask(view, "DELETE", "/v1/nodes/n3")), 409) << "it may get work any moment";
  view.documents.push_back({DrainKey(TestNode(3)), {}, DrainOrder{TestNode(3)}});
  const auto written = std::get<WriteCommand>(Ask(view, "DELETE", "/v1/nodes/n3")).documents;
  ASSERT_EQ(written.size(), 2u);
  EXPECT_EQ(written[0], (std::pair<std::string, DocumentBody>(NodeKey(TestNode(3)), std::monostate{})));
  EXPECT_EQ(written[1].first, DrainKey(TestNode(3)));
  EXPECT_TRUE(std::holds_alternative<WriteCommand>(Ask(view, "DELETE", "/v1/nodes/n2?force=1")));
  view.members[1].state = MemberState::kUnreachable;
  EXPECT_TRUE(std::holds_alternative<WriteCommand>(Ask(view, "DELETE", "/v1/nodes/n2")));
  // Long gone: only its key is left.
  view.members.erase(view.members.begin() + 1);
  EXPECT_TRUE(std::holds_alternative<WriteCommand>(Ask(view, "DELETE", "/v1/nodes/n2")));
}

TEST(ApiWrite, ANameThatAlsoMeansABoxThatIsGoneRemovesNeither) {
  auto view = TestView();
  view.members[2].meta.Edit().name = "n2";
  view.members[2].state = MemberState::kDead;
  const auto refused = Ask(view, "DELETE", "/v1/nodes/n2?force=1");
  EXPECT_EQ(StatusOf(refused), 404);
  EXPECT_EQ(Text(Body(refused).at("error").at("message").as_string()),
            "'n2' means 2 nodes: 02020202 (alive), 03030303 (dead); use the id");
  const auto written = std::get<WriteCommand>(Ask(view, "DELETE", "/v1/nodes/03030303")).documents;
  EXPECT_EQ(written.at(0).first, NodeKey(TestNode(3)));
  view.documents.push_back({NodeKey(TestNode(3)), {}, std::monostate{}});
  EXPECT_TRUE(std::holds_alternative<WriteCommand>(Ask(view, "DELETE", "/v1/nodes/n2?force=1")))
      << "the other was removed already";
}

TEST(ApiWrite, LeavingIsForTheNodeThatIsAsked) {
  EXPECT_FALSE(std::get<LeaveCommand>(Ask(TestView(), "POST", "/v1/leave")).at_once);
  EXPECT_TRUE(std::get<LeaveCommand>(Ask(TestView(), "POST", "/v1/leave?now=1")).at_once);
  EXPECT_EQ(StatusOf(Ask(TestView(), "POST", "/v1/leave", "", Who{"reader", false})), 403);
}

TEST(ApiWrite, AScaleBecomesOneDocument) {
  const auto result = Ask(TestView(), "PUT", "/v1/services/web/scale", "{\"replicas\":5}");
  const auto& write = std::get<WriteCommand>(result);
  ASSERT_EQ(write.documents.size(), 1u);
  EXPECT_EQ(write.documents[0].first, "scale/web");
  EXPECT_EQ(std::get<ScaleOverride>(write.documents[0].second), (ScaleOverride{"web", 5}));
}

TEST(ApiWrite, ASingletonIsScaledToOneOrNoneOnly) {
  NodeView view = TestView();
  for (DesiredService& service : view.services) service.spec.singleton = Singleton::kPause;
  const auto put = [&](const char* body) { return Ask(view, "PUT", "/v1/services/web/scale", body); };
  EXPECT_FALSE(std::holds_alternative<WriteCommand>(put("{\"replicas\":2}")));
  EXPECT_TRUE(std::holds_alternative<WriteCommand>(put("{\"replicas\":0}")));
}

TEST(ApiWrite, ADrainMeansTheNodeByNameIdOrPrefixAndCanBeUndone) {
  auto view = TestView();
  for (const auto* word : {"n2", "02020202020202020202020202020202", "0202", "127.0.0.12:7700"}) {
    const auto result = Ask(view, "PUT", std::string("/v1/nodes/") + word + "/drain");
    EXPECT_EQ(std::get<DrainOrder>(std::get<WriteCommand>(result).documents.at(0).second).node, TestNode(2))
        << word;
  }
  view.documents.push_back({DrainKey(TestNode(2)), {}, DrainOrder{TestNode(2)}});
  EXPECT_EQ(json::serialize(Body(Ask(view, "GET", "/v1/nodes")).at(1).at("roles")), R"(["standby","worker"])")
      << "until the last of its work is gone, as it says itself";
  view.members[1].meta.Edit().roles.worker = false;
  EXPECT_EQ(json::serialize(Body(Ask(view, "GET", "/v1/nodes")).at(1).at("roles")), R"(["standby"])");
  const auto undone = Ask(view, "DELETE", "/v1/nodes/n2/drain");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(std::get<WriteCommand>(undone).documents.at(0).second));
}

TEST(ApiWrite, ADeployIsWrittenWithItsBundlesAndSaysWhatItRemoves) {
  StackSpec stack{"shop", {TestService("web", 3)}};
  stack.services[0].bundle.bytes.fill(7);
  const auto result = Ask(TestView(), "PUT", "/v1/stacks/shop", StackToJson(stack));
  const auto& write = std::get<WriteCommand>(result);
  EXPECT_EQ(write.documents.at(0).first, "stack/shop/2");
  EXPECT_EQ(std::get<StackSpec>(write.documents.at(0).second), stack);
  EXPECT_EQ(write.bundles, std::vector<Digest>{stack.services[0].bundle});
  EXPECT_NE(write.note.find("removed: api"), std::string::npos) << write.note;
}

TEST(ApiWrite, ADeployThatClaimsAnotherStacksServiceIsRefused) {
  const StackSpec stack{"blog", {TestService("web", 1)}};
  EXPECT_EQ(StatusOf(Ask(TestView(), "PUT", "/v1/stacks/blog", StackToJson(stack))), 400);
}

TEST(ApiWrite, APortThatEveryNodeNeedsItselfIsNotPublished) {
  auto view = TestView();
  for (Member& member : view.members) {
    member.meta.Edit().inbound_http = 9200;
    member.meta.Edit().door = {member.meta->address.ip, 8080};
  }
  const auto publish = [&](const std::string& service, std::uint16_t port) {
    StackSpec stack{service == "web" ? "shop" : "blog", {TestService(service, 1)}};
    stack.services[0].ports = {{port, true}};
    return Ask(view, "PUT", "/v1/stacks/" + stack.name, StackToJson(stack));
  };
  const std::pair<std::uint16_t, const char*> kRows[] = {
      {8080, "the door"}, {7700, "the agent"}, {9200, "between doors"}};
  for (const auto& [port, owner] : kRows) {
    const auto answer = publish("blog", port);
    ASSERT_EQ(StatusOf(answer), 400) << port;
    const std::string body = std::get<ApiResponse>(answer).body;
    EXPECT_NE(body.find("service blog cannot publish port " + std::to_string(port)), std::string::npos)
        << body;
    EXPECT_NE(body.find(owner), std::string::npos) << body;
  }
  const auto accepted = [](const ApiResult& result) { return std::holds_alternative<WriteCommand>(result); };
  EXPECT_TRUE(accepted(publish("blog", 9300)));
  view.services[1].spec.ports = {{8080, true}};
  EXPECT_TRUE(accepted(publish("web", 8080))) << "it was published before";
  view.members[0].meta.Edit().door.port = 8081;
  EXPECT_TRUE(accepted(publish("blog", 8080))) << "one of them can serve it";
  EXPECT_TRUE(accepted(publish("blog", 8081))) << "two can";
  view.members[0].meta.Edit().door.ip = IpAddress::V4(10, 0, 0, 1);
  EXPECT_TRUE(accepted(publish("blog", 7700))) << "its door has another address";
}

}  // namespace
}  // namespace hs
