#include <gtest/gtest.h>

#include "api/json.h"
#include "api/routes.h"
#include "api/view_fixture_test.h"

namespace hs {
namespace {

ApiResult Ask(const NodeView& view, const std::string& method, const std::string& path,
              const std::string& body = "") {
  return Handle({method, path, "", body, Who{"test", true}}, view);
}

const ApiResponse& Answer(const ApiResult& result) { return std::get<ApiResponse>(result); }

// Three boxes of 4 cores each and a service that takes a core a replica.
NodeView ThreeBoxes(std::uint32_t min, std::uint32_t now, std::uint32_t max) {
  NodeView view;
  for (std::uint8_t n = 1; n <= 3; ++n) {
    Member member;
    member.id.bytes[0] = n;
    member.meta.Edit().name = "n" + std::to_string(n);
    member.meta.Edit().capacity = {4000, 8ULL << 30};
    view.members.push_back(member);
  }
  DesiredService web{.spec = {.name = "web", .reserve = {1000, 0}}};
  web.spec.scale = ScaleSpec{.min = min, .max = max};
  web.fixed = false;
  web.replicas = now;
  view.services = {web};
  return view;
}

TEST(Size, SaysHowManyBoxesAreNeededAndWhichCouldGo) {
  const struct {
    std::uint32_t min, now, max;
    int minimum, demand, maximum;
    std::size_t unplug;
    const char* why;
  } rows[] = {
      {2, 4, 12, 2, 1, 3, 1, "one box carries all; one more survives its loss; the third may go"},
      {4, 12, 12, 2, 3, 3, 0, "all are used"},
      {8, 8, 24, 3, 2, 6, 0, "two hold it, three survive a loss"},
  };
  for (const auto& row : rows) {
    const auto size = json::parse(Answer(Ask(ThreeBoxes(row.min, row.now, row.max), "GET", "/v1/size")).body);
    EXPECT_EQ(size.at("boxes").to_number<int>(), 3) << row.why;
    EXPECT_EQ(size.at("minimum").to_number<int>(), row.minimum) << row.why;
    EXPECT_EQ(size.at("demand").to_number<int>(), row.demand) << row.why;
    EXPECT_EQ(size.at("maximum").to_number<int>(), row.maximum) << row.why;
    EXPECT_EQ(size.at("unplug").as_array().size(), row.unplug) << row.why;
  }
}

TEST(Size, WhatReservesNothingCountsAsMeasured) {
  NodeView view = ThreeBoxes(2, 8, 8);
  view.services[0].spec.reserve = {};
  view.service_loads["web"] = {.service = "web", .cpu = 8, .replicas = 8};
  const auto size = json::parse(Answer(Ask(view, "GET", "/v1/size")).body);
  EXPECT_EQ(size.at("demand").to_number<int>(), 2) << "a core each, as seen";
}

TEST(Quotas, AreSetShownAndLifted) {
  NodeView view = ThreeBoxes(2, 4, 12);
  const auto set = Ask(view, "PUT", "/v1/quotas/service.web", R"({"replicas": 6, "cpu_millicores": 5000})");
  const auto& command = std::get<WriteCommand>(set);
  ASSERT_EQ(command.documents.size(), 1u);
  EXPECT_EQ(command.documents[0].first, "quota/service.web");
  EXPECT_EQ(command.documents[0].second, DocumentBody(QuotaDoc{"service.web", 6, 5000, 0}));
  EXPECT_EQ(command.note, "service.web is limited to 6 replicas, 5 cores");
  const auto mistyped =
      std::get<WriteCommand>(Ask(view, "PUT", "/v1/quotas/service.wbe", R"({"replicas": 6})"));
  EXPECT_NE(mistyped.note.find("no service of that name now"), std::string::npos) << mistyped.note;
  view.documents.push_back({"quota/service.web", {}, QuotaDoc{"service.web", 6, 5000, 0}, {}});
  EXPECT_NE(Answer(Ask(view, "GET", "/v1/quotas")).body.find("\"service.web\""), std::string::npos);
  EXPECT_TRUE(std::holds_alternative<WriteCommand>(Ask(view, "DELETE", "/v1/quotas/service.web")));
  EXPECT_EQ(Answer(Ask(view, "DELETE", "/v1/quotas/batch")).status, 404);
}

TEST(Quotas, NonsenseIsRefusedWithTheReason) {
  const NodeView view = ThreeBoxes(2, 4, 12);
  const struct {
    const char* subject;
    const char* body;
    const char* words;
  } rows[] = {
      {"nodes", R"({"replicas": 1})", "nothing a quota can be set on"},
      {"services", "{}", "a quota limits"},
      {"services", R"({"replicas": -1})", "replicas must be"},
      {"services", R"({"replicas": "many"})", "replicas must be"},
      {"services", R"({"cpus": 1})", "unknown key 'cpus'"},
      {"services", "[", "not JSON"},
  };
  for (const auto& row : rows) {
    const auto result = Ask(view, "PUT", std::string("/v1/quotas/") + row.subject, row.body);
    EXPECT_EQ(Answer(result).status, 400) << row.body;
    EXPECT_NE(Answer(result).body.find(row.words), std::string::npos) << Answer(result).body;
  }
}

}  // namespace
}  // namespace hs
