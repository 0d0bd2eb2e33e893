#include "app/cli/top_screen.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

json::value Top(int nodes, int services) {
  json::array node_rows, service_rows;
  for (int i = 0; i < nodes; ++i) {
    node_rows.push_back({{"node", fmt::format("node-{:02}.rack-{}.example.org", i, i % 4)},
                         {"state", i == 3 ? "unreachable" : "alive"},
                         {"replicas", i},
                         {"cpu", 0.1 * i},
                         {"cores", 8},
                         {"memory_used_bytes", 4.0e9},
                         {"memory_total_bytes", 16.0e9},
                         {"net_bytes_s", 123456},
                         {"disk_bytes_s", 0},
                         {"disk_free_bytes", 1e12},
                         {"disk_total_bytes", 2e12},
                         {"pressure_cpu", i == 1 ? json::value(0.75) : json::value(0.01)},
                         {"pressure_memory", nullptr},
                         {"pressure_io", 0},
                         {"lag_ms", 1.25}});
  }
  for (int i = 0; i < services; ++i) {
    service_rows.push_back({{"service", fmt::format("service-{:03}", i)},
                            {"desired", 3},
                            {"granted", 2},
                            {"running", 3},
                            {"healthy", i == 2 ? 1 : 3},
                            {"arrivals_s", 10.0 * i},
                            {"in_flight", 1},
                            {"queued", 0},
                            {"p50_ms", 12.3},
                            {"p99_ms", nullptr},
                            {"refused_s", 0},
                            {"errors_s", 0},
                            {"cpu", 0.5},
                            {"memory_bytes", 123456789}});
  }
  return {{"by", "node-00"},
          {"cluster",
           {{"nodes", nodes},
            {"present", nodes},
            {"measured", nodes},
            {"cpu", 4.5},
            {"cores", 8 * nodes},
            {"memory_used_bytes", 4e9 * nodes},
            {"memory_total_bytes", 16e9 * nodes},
            {"steady", true},
            {"steady_s", 32.0},
            {"pending", json::array()},
            {"short", json::array()}}},
          {"nodes", std::move(node_rows)},
          {"services", std::move(service_rows)}};
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

TEST(TopScreen, FitsEveryWindow) {
  for (const auto& [nodes, services] : {std::pair{0, 0}, {1, 1}, {3, 2}, {64, 200}, {2, 200}, {64, 1}}) {
    const auto top = Top(nodes, services);
    for (std::size_t columns = 1; columns <= 250; columns += columns < 100 ? 1 : 37) {
      for (const std::size_t rows : {1U, 2U, 3U, 5U, 10U, 24U, 60U, 300U}) {
        const auto lines = TopScreen(top, {.columns = columns, .rows = rows, .clock = "12:00:00"});
        ASSERT_LE(lines.size(), rows);
        for (const auto& line : lines) ASSERT_LE(line.size(), columns) << rows << " rows: " << line;
      }
    }
  }
}

TEST(TopScreen, ShowsWhatMattersIn80By24) {
  const auto lines = TopScreen(Top(5, 4), {.columns = 80, .rows = 24, .clock = "12:00:00"});
  const auto text = Joined(lines);
  EXPECT_THAT(lines[0], HasSubstr("5/5 nodes  steady 32 s  cpu 4.50/40 11%"));
  for (const auto* word :
       {"CPU", "PSI:CPU", "LAG ms", "NET/s", "REQ/s", "p99 ms", "REFUSED/s", "75%", "1.25"})
    EXPECT_THAT(text, HasSubstr(word));
  EXPECT_THAT(text, Not(HasSubstr("more"))) << "all fit";
}

TEST(TopScreen, WhatIsWantedStandsBesideWhatIsGranted) {
  const auto text = Joined(TopScreen(Top(1, 1), {.columns = 80, .rows = 24}));
  EXPECT_THAT(text, HasSubstr("WANT  GIVEN"));
  EXPECT_THAT(text, ::testing::ContainsRegex("service-000 +3 +2 "));
}

TEST(TopScreen, AWideWindowHasMoreColumns) {
  EXPECT_THAT(Joined(TopScreen(Top(5, 4), {.columns = 80})), Not(HasSubstr("FREE")));
  EXPECT_THAT(Joined(TopScreen(Top(5, 4), {.columns = 200})), HasSubstr("FREE"));
}

TEST(TopScreen, RowsThatDoNotFitAreCounted) {
  const auto text = Joined(TopScreen(Top(64, 200), {.columns = 80, .rows = 24}));
  EXPECT_THAT(text, HasSubstr("... 56 more"));   // of 64 nodes in 10 lines
  EXPECT_THAT(text, HasSubstr("... 191 more"));  // of 200 services
}

TEST(TopScreen, ATableThatNeedsLessLeavesItsRoomToTheOther) {
  const auto text = Joined(TopScreen(Top(2, 200), {.columns = 80, .rows = 24}));
  EXPECT_THAT(text, HasSubstr("... 184 more"));
}

TEST(TopScreen, WhatIsWrongComesFirst) {
  const auto lines = TopScreen(Top(5, 4), {.columns = 120, .rows = 24});
  EXPECT_THAT(lines[3], HasSubstr("node-03"));       // is not alive
  EXPECT_THAT(lines[10], HasSubstr("service-002"));  // lacks replicas
  EXPECT_THAT(lines[11], HasSubstr("service-003"));  // has most to do
}

TEST(TopScreen, WhatIsNotKnownIsADashAndNotZero) {
  auto top = Top(1, 1);
  top.as_object()["nodes"].as_array()[0] = {{"node", "n1"}, {"state", "alive"}, {"measured", false}};
  top.as_object()["services"].as_array()[0] = {{"service", "web"}, {"desired", 1}};
  const auto lines = TopScreen(top, {.columns = 80});
  EXPECT_THAT(lines[3], HasSubstr(" - "));
  EXPECT_THAT(lines[3], Not(HasSubstr("0")));
}

TEST(TopScreen, SaysWhatIsShortPendingOrOld) {
  auto top = Top(3, 1);
  auto& cluster = top.as_object()["cluster"].as_object();
  cluster["measured"] = 2;
  EXPECT_THAT(TopScreen(top, {})[1], HasSubstr("load known of 2 of 3 nodes, as node-00 sees it"));
  cluster["pending"] = json::array{"web-1 is starting", "web-2 is starting"};
  EXPECT_THAT(TopScreen(top, {})[1], HasSubstr("pending: web-1 is starting (and 1 more)"));
  cluster["short"] = json::array{"2 of web: no node has 8 cores"};
  EXPECT_THAT(TopScreen(top, {})[1], HasSubstr("short: 2 of web"));
  EXPECT_THAT(TopScreen(top, {.problem = "no agent answers"})[1],
              HasSubstr("no answer, this is old: no agent"));
}

TEST(TopScreen, ColorsAreOnlyThereWhenWanted) {
  EXPECT_THAT(Joined(TopScreen(Top(5, 4), {.color = false})), Not(HasSubstr("\033")));
  EXPECT_THAT(Joined(TopScreen(Top(5, 4), {.color = true})), HasSubstr("\033[31m"));
}

TEST(TopScreen, AnAnswerOfAnotherReleaseIsNoReasonToEnd) {
  for (const auto* text :
       {"null", "[]", "{}", "{\"nodes\":3}", "{\"nodes\":[1,null,[]],\"services\":[\"x\"]}",
        "{\"cluster\":[],\"nodes\":[{\"cpu\":\"much\",\"cores\":0}]}"}) {
    EXPECT_FALSE(TopScreen(json::parse(text), {}).empty()) << text;
  }
}

TEST(ShortNumber, HasAtMostFiveCharacters) {
  const std::pair<double, const char*> table[] = {
      {0, "0"},       {0.004, "0"},   {0.25, "0.25"}, {9.994, "9.99"},   {9.996, "10.0"}, {12.34, "12.3"},
      {99.96, "100"}, {1234, "1234"}, {12345, "12k"}, {999.4e6, "999M"}, {5e13, ">1T"},   {3, "3"}};
  for (const auto& [value, text] : table) EXPECT_EQ(ShortNumber(value), text);
  for (double value = 1e-3; value < 1e15; value *= 1.07) {
    EXPECT_LE(ShortNumber(value).size(), 5U) << value;
    EXPECT_LE(ShortBytes(value).size(), 5U) << value;
  }
  EXPECT_EQ(ShortBytes(1023), "1.0k");
  EXPECT_EQ(ShortBytes(16.0 * (1 << 30)), "16G");
}

}  // namespace
}  // namespace hs
