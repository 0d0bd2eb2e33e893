#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/api.h"
#include "api/json.h"
#include "api/view_fixture_test.h"

namespace hs {
namespace {

NodeView LinkedView() {
  NodeView view = TestView();
  view.links = {{TestNode(1), TestNode(2), {TestNode(3)}, true, false, Duration(1'234us)},
                {TestNode(1), TestNode(3), {}, false, false, Duration(420us)},
                {TestNode(2), TestNode(1), {TestNode(3)}, false, false, std::nullopt}};
  return view;
}

ApiResult Ask(const NodeView& view, const std::string& query) {
  return Handle({.method = "GET", .path = "/v1/links", .query = query, .body = "", .who = Who{"me", true}},
                view);
}

TEST(LinksTest, TellsWhoReachesWhomAndHow) {
  const auto answer = std::get<ApiResponse>(Ask(LinkedView(), ""));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(
      answer.body,
      R"([{"from":"n1","to":"n2","way":"through n3","relays":["n3"],"one_way":true,"round_trip_ms":1.23E0},)"
      R"({"from":"n1","to":"n3","way":"direct","relays":[],"round_trip_ms":4.2E-1},)"
      R"({"from":"n2","to":"n1","way":"through n3","relays":["n3"]}])");
}

TEST(LinksTest, ABoxThatDialsOutIsReachedOverALine) {
  NodeView view = LinkedView();
  view.links = {{TestNode(1), TestNode(2), {}, true, true, Duration(1ms)}};
  EXPECT_EQ(std::get<ApiResponse>(Ask(view, "")).body,
            R"([{"from":"n1","to":"n2","way":"line","relays":[],"one_way":true,"round_trip_ms":1E0}])");
}

TEST(LinksTest, AnotherNodeIsAskedForWhatItMeasuredItself) {
  const auto asked = Ask(LinkedView(), "node=n2");
  const auto* ask = std::get_if<AskNodeCommand>(&asked);
  ASSERT_NE(ask, nullptr);
  EXPECT_EQ(ask->node, TestNode(2));
  EXPECT_EQ(ask->target, "/v1/links?node=" + TestNode(2).Hex());
  EXPECT_THAT(ask->own.body, ::testing::HasSubstr(R"("from":"n2")"))
      << "what is known here, where it does not answer";
  EXPECT_THAT(ask->own.body, ::testing::Not(::testing::HasSubstr(R"("from":"n1")")));
  const auto own = std::get<ApiResponse>(Ask(LinkedView(), "node=n1"));
  EXPECT_THAT(own.body, ::testing::Not(::testing::HasSubstr(R"("from":"n2")")));
  EXPECT_EQ(std::get<ApiResponse>(Ask(LinkedView(), "node=n9")).status, 404);
}

TEST(LinksTest, WhoIsGoneHasNoLinks) {
  NodeView view = LinkedView();
  view.members[1].state = MemberState::kUnreachable;
  EXPECT_EQ(std::get<ApiResponse>(Ask(view, "")).body,
            R"([{"from":"n1","to":"n3","way":"direct","relays":[],"round_trip_ms":4.2E-1}])");
}

}  // namespace
}  // namespace hs
