// /v1/top, /v1/history and what /metrics says of loads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "api/api.h"
#include "api/exposition.h"
#include "api/json.h"
#include "api/loads.h"
#include "api/metrics.h"
#include "api/view_fixture_test.h"
#include "core/observation/history.h"

namespace hs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ApiResult Get(const NodeView& view, const std::string& path, const std::string& query = "") {
  return Handle({"GET", path, query, "", Who{"test", true}}, view);
}

json::value Body(const ApiResponse& response) {
  json::error_code code;
  return json::parse(response.body, code);
}

// This node is the controller and has measured itself; n2 was heard, n3 was not.
NodeView LoadedView() {
  NodeView view = TestView();
  LocalLoad load;
  load.interval_s = 1;
  load.cpu = {.cores = 4, .used_cores = 1.5, .seconds_total = 77.25, .stall = Stall{.some = 0.25}};
  load.memory = {.total_bytes = 1 << 30, .available_bytes = 1 << 29, .stall = {}};
  load.disk = {.total_bytes = 1000, .free_bytes = 400, .device = DeviceMeasure{}, .stall = {}};
  load.agent = {.lag_max_s = 0.002, .cpu_seconds_total = 3, .resident_bytes = 17 << 20};
  ReplicaMeasure replica;
  replica.id = ReplicaId{0xb1ULL << 32};
  replica.service = "web";
  replica.used_cores = 0.5;
  replica.cpu_seconds_total = 12.5;
  replica.memory_bytes = 5000;
  replica.health_s = 0.004;
  load.replicas = {replica};
  view.local_load = std::make_shared<const LocalLoad>(load);
  NodeLoad other;
  other.node = TestNode(2);
  other.cpu = 0.5;
  other.cores = 2;
  other.memory_used_bytes = 100;
  other.memory_total_bytes = 1000;
  other.pressure_io = 0.125;
  view.loads[TestNode(2)] = other;
  ServiceLoad web;
  web.service = "web";
  web.arrivals_s = 120;
  web.refused_s = 20;
  web.in_flight = 7;
  web.cpu = 0.75;
  web.memory_bytes = 9000;
  web.replicas = 2;
  web.metric = 40;
  web.metric_replicas = 2;
  web.latency = {{80, 50}, {100, 50}};
  view.service_loads["web"] = web;
  view.services[1].spec.scale = ScaleSpec{.min = 2, .max = 9};
  return view;
}

TEST(Top, SumsWhatIsKnownAndSaysOfHowMany) {
  const auto top = Body(std::get<ApiResponse>(Get(LoadedView(), "/v1/top")));
  const auto& cluster = top.at("cluster");
  EXPECT_EQ(cluster.at("nodes").to_number<int>(), 3);
  EXPECT_EQ(cluster.at("measured").to_number<int>(), 2);
  EXPECT_EQ(cluster.at("cpu").to_number<double>(), 2);
  EXPECT_EQ(cluster.at("cores").to_number<double>(), 6);
  EXPECT_EQ(cluster.at("memory_used_bytes").to_number<std::uint64_t>(), (1U << 29) + 100);
  EXPECT_TRUE(cluster.at("steady").as_bool());
}

TEST(Top, ANodeThatWasNotHeardHasNoNumbersAndUnknownPressureIsNull) {
  const auto nodes = Body(std::get<ApiResponse>(Get(LoadedView(), "/v1/top"))).at("nodes");
  ASSERT_EQ(nodes.as_array().size(), 3U);
  EXPECT_EQ(nodes.at(0).at("pressure_cpu").to_number<double>(), 0.25);
  EXPECT_TRUE(nodes.at(0).at("pressure_io").is_null());
  EXPECT_EQ(nodes.at(0).at("lag_ms").to_number<double>(), 2);
  EXPECT_EQ(nodes.at(1).at("pressure_io").to_number<double>(), 0.125);
  EXPECT_FALSE(nodes.at(2).at("measured").as_bool());
  EXPECT_FALSE(nodes.at(2).as_object().contains("cpu"));
}

TEST(Top, AServiceShowsItsLevelAndItsTraffic) {
  const auto services = Body(std::get<ApiResponse>(Get(LoadedView(), "/v1/top"))).at("services");
  ASSERT_EQ(services.as_array().size(), 2U);
  EXPECT_FALSE(services.at(0).as_object().contains("arrivals_s")) << "nothing is known of api";
  const auto& web = services.at(1);
  EXPECT_EQ(web.at("desired").to_number<int>(), 2);
  EXPECT_EQ(web.at("max").to_number<int>(), 9);
  EXPECT_EQ(web.at("granted").to_number<int>(), 2);
  EXPECT_EQ(web.at("metric").to_number<int>(), 40);
  EXPECT_FALSE(services.at(0).as_object().contains("max")) << "api does not scale";
  EXPECT_EQ(web.at("arrivals_s").to_number<double>(), 120);
  EXPECT_NEAR(web.at("p50_ms").to_number<double>(), 2.05, 0.15);
  EXPECT_NEAR(web.at("p99_ms").to_number<double>(), 13.8, 0.7);
}

TEST(Top, WhatIsGrantedIsBelowWhatIsWantedInAShortage) {
  auto view = LoadedView();
  view.steady.shortages = {{"web", 1, "the quota of 1 replicas for services has no room for one more"}};
  const auto web = Body(std::get<ApiResponse>(Get(view, "/v1/top"))).at("services").at(1);
  EXPECT_EQ(web.at("desired").to_number<int>(), 2);
  EXPECT_EQ(web.at("granted").to_number<int>(), 1);
}

TEST(Top, WithoutServiceLoadsOwnReplicasAreShown) {
  auto view = LoadedView();
  view.service_loads.clear();
  const auto services = Body(std::get<ApiResponse>(Get(view, "/v1/top"))).at("services");
  EXPECT_EQ(services.at(1).at("cpu").to_number<double>(), 0.5);
  EXPECT_EQ(services.at(1).at("measured").to_number<int>(), 1);
}

TEST(Top, TheControllerIsAskedUnlessItIsUsOrGone) {
  auto view = LoadedView();
  EXPECT_TRUE(std::holds_alternative<ApiResponse>(Get(view, "/v1/top"))) << "it is us";
  view.controller = TestNode(2);
  const auto asked = Get(view, "/v1/top");
  const auto* ask = std::get_if<AskNodeCommand>(&asked);
  ASSERT_NE(ask, nullptr);
  EXPECT_EQ(ask->node, TestNode(2));
  EXPECT_EQ(ask->target, "/v1/top?local=1");
  EXPECT_EQ(Body(ask->own).at("by").as_string(), "n1");
  EXPECT_TRUE(std::holds_alternative<ApiResponse>(Get(view, "/v1/top", "local=1")));
  view.members[1].state = MemberState::kUnreachable;
  EXPECT_TRUE(std::holds_alternative<ApiResponse>(Get(view, "/v1/top"))) << "it is gone";
}

TEST(LatencyQuantile, IsWithinABucketOfTheTruth) {
  EXPECT_EQ(LatencyQuantileMs({}, 0.5), std::nullopt);
  const LatencyCounts one = {{73, 5}};  // 1.1^73 = 1051 us
  for (const double quantile : {0.0, 0.5, 0.99, 1.0})
    EXPECT_NEAR(*LatencyQuantileMs(one, quantile), 1.0, 0.06);
  const LatencyCounts tail = {{73, 99}, {145, 1}};  // the second is about a second
  EXPECT_NEAR(*LatencyQuantileMs(tail, 0.5), 1.0, 0.06);
  EXPECT_GT(*LatencyQuantileMs(tail, 1.0), 900);
}

TEST(History, BadQuestionsAreRefused) {
  const NodeView view;
  for (const auto* query :
       {"since=0", "since=-1", "since=soon", "step=0", "step=1.5", "series=", "series=,,"}) {
    const auto result = Get(view, "/v1/history", query);
    const auto* response = std::get_if<ApiResponse>(&result);
    ASSERT_NE(response, nullptr) << query;
    EXPECT_EQ(response->status, 400) << query;
  }
  std::string many = "series=a";
  for (int i = 0; i < 64; ++i) many += ",a";
  EXPECT_EQ(std::get<ApiResponse>(Get(view, "/v1/history", many)).status, 400);
}

TEST(History, AQuestionBecomesACommand) {
  const auto result = Get(NodeView{}, "/v1/history", "series=a,b&since=99999&step=5");
  const auto& command = std::get<ReadHistoryCommand>(result);
  EXPECT_EQ(command.series, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(command.since_s, 3600);
  EXPECT_EQ(command.step_s, 5);
}

TEST(History, PointsAreOnTheCalendarWithMeanAndMaximum) {
  History history;
  const Now now{Time(5000s + 400ms), 1'700'000'000'400};
  for (int i = 0; i < 4; ++i) history.Add(Time(std::chrono::seconds(4996 + i)), "cpu", i);
  const auto body = Body(HistoryShown({{"cpu"}, 4, 2}, history, now));
  const auto& row = body.at("series").at(0);
  EXPECT_EQ(row.at("name").as_string(), "cpu");
  std::vector<std::vector<double>> points;
  for (const auto& point : row.at("points").as_array()) {
    auto& numbers = points.emplace_back();
    for (const auto& number : point.as_array()) numbers.push_back(number.to_number<double>());
  }
  EXPECT_EQ(points, (std::vector<std::vector<double>>{{1699999996000, 0.5, 1}, {1699999998000, 2.5, 3}}));
  EXPECT_EQ(json::serialize(Body(HistoryShown({}, history, now)).at("series")), R"(["cpu"])");
  EXPECT_EQ(HistoryShown({{"disk"}, 4, 2}, history, now).status, 404);
}

// What `promtool check metrics` finds in a family's head (prometheus/client_golang, promlint).
std::string WhatIsUnusual(const std::string& name, const std::string& type) {
  if (type != "gauge" && type != "counter" && type != "summary" && type != "histogram") return "type";
  if ((type == "counter") != name.ends_with("_total")) return "a counter ends in _total";
  for (const char* suffix : {"_count", "_sum", "_bucket"})
    if (name.ends_with(suffix)) return "a histogram's suffix";
  for (const char* unit : {"_ms", "_milliseconds", "_us", "_minutes", "_percent", "_kb", "_mb", "_kilobytes"})
    if (name.ends_with(unit)) return "not a base unit";
  for (const char* word : {"gauge", "counter", "histogram", "summary"})
    if (name.find(word) != std::string::npos) return "its type in its name";
  return "";
}

// The labels of a sample: where they end, and the value of `le`. Nothing where they are not closed.
struct Labels {
  std::size_t end = 0;
  std::string le;
  bool has_le = false, has_quantile = false;
};
std::optional<Labels> LabelsOf(const std::string& line, std::size_t at) {
  Labels labels{.end = at};
  if (line[at] != '{') return labels;
  std::string key, value;
  bool quoted = false;
  for (++at; at < line.size() && (quoted || line[at] != '}'); ++at) {
    if (quoted && line[at] == '\\') {
      ++at;
    } else if (line[at] == '"') {
      quoted = !quoted;
      if (!quoted && key == "le") labels.le = value, labels.has_le = true;
      if (!quoted && key == "quantile") labels.has_quantile = true;
      if (!quoted) key.clear(), value.clear();
    } else if (quoted) {
      value += line[at];
    } else if (line[at] != ',' && line[at] != '=') {
      key += line[at];
    }
  }
  if (at >= line.size()) return std::nullopt;
  labels.end = at + 1;
  return labels;
}

// The format's own rules, as Prometheus' parser has them: heads once and before their samples, samples of a
// family together, no series twice, numbers parse, labels are closed, a histogram's buckets rise and end with
// +Inf, which is its count. Returns what is wrong.
std::string WhatIsWrong(const std::string& text) {
  std::istringstream lines(text);
  std::set<std::string> families, series;
  std::string family, type, helped, le_before;
  double bucket_before = 0, at_most_inf = 0;
  if (!text.ends_with('\n')) return "the last line has no end";
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    if (line.starts_with("#")) {
      std::string mark, what, name, rest;
      words >> mark >> what >> name;
      std::getline(words, rest);
      if (what == "HELP") {
        helped = name;
        if (rest.size() < 2) return "no help: " + line;
      } else if (what == "TYPE") {
        if (helped != name) return "TYPE without HELP: " + line;
        if (!families.insert(name).second) return "family twice: " + line;
        family = name;
        type = rest.substr(1);
        if (const auto unusual = WhatIsUnusual(name, type); !unusual.empty()) return unusual + ": " + line;
      } else {
        return "comment: " + line;
      }
      continue;
    }
    const auto name_end = line.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
    std::string name = line.substr(0, name_end), part;
    for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
      if (type == "histogram" && name == family + suffix) part = suffix, name = family;
    }
    if (name != family || (type == "histogram" && part.empty()))
      return "not of the family begun last: " + line;
    const auto labels = LabelsOf(line, name_end);
    if (!labels) return "labels are not closed: " + line;
    if (labels->has_le != (part == "_bucket")) return "le: " + line;
    if (labels->has_quantile != (type == "summary")) return "quantile: " + line;
    if (!series.insert(line.substr(0, labels->end)).second) return "series twice: " + line;
    if (labels->end >= line.size() || line[labels->end] != ' ') return "no value: " + line;
    const auto value = line.substr(labels->end + 1);
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0') return "no number: " + line;
    if (type == "counter" && !(number >= 0)) return "a counter below 0: " + line;
    if (part == "_bucket") {
      const bool first = le_before.empty() || le_before == "+Inf";
      if (!first && std::stod(labels->le) <= std::stod(le_before)) return "bounds do not rise: " + line;
      if (!first && number < bucket_before) return "buckets do not rise: " + line;
      le_before = labels->le;
      bucket_before = number;
      if (labels->le == "+Inf") at_most_inf = number;
    } else if (part == "_count") {
      if (le_before != "+Inf" || number != at_most_inf) return "the last bucket is not the count: " + line;
    }
  }
  return "";
}

TEST(Exposition, TheCheckSeesMistakes) {
  EXPECT_EQ(WhatIsWrong("# HELP a b\n# TYPE a gauge\na 1\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a gauge\na 1"), "");
  EXPECT_NE(WhatIsWrong("# TYPE a gauge\na 1\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a gauge\na 1\na 2\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a gauge\nb 1\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a counter\na 1\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a gauge\na{x=\"1} 1\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a gauge\na one\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a_ms b\n# TYPE a_ms gauge\na_ms 1\n"), "");
  EXPECT_NE(WhatIsWrong("# HELP a b\n# TYPE a gauge\na{quantile=\"1\"} 1\n"), "");
  const std::string head = "# HELP a b\n# TYPE a histogram\n";
  EXPECT_EQ(WhatIsWrong(head + "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 3\na_count 2\n"), "");
  EXPECT_NE(WhatIsWrong(head + "a_bucket{le=\"1\"} 3\na_bucket{le=\"+Inf\"} 2\na_sum 3\na_count 2\n"), "");
  EXPECT_NE(WhatIsWrong(head + "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 2\na_sum 3\na_count 2\n"), "");
  EXPECT_NE(WhatIsWrong(head + "a_bucket{le=\"1\"} 1\na_sum 3\na_count 1\n"), "");
  EXPECT_NE(WhatIsWrong(head + "a 1\n"), "");
}

TEST(Exposition, EscapesLabelsAndWritesNumbersThatReadBack) {
  Exposition out;
  out.Gauge("g", "help");
  out.Sample({{"a", "x\"y\\z\nw"}, {"b", ""}}, 0.1);
  out.Sample(1e300);
  out.Sample({{"n", "1"}}, std::nan(""));
  out.Sample({{"n", "2"}}, -INFINITY);
  EXPECT_EQ(out.Take(),
            "# HELP g help\n# TYPE g gauge\ng{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 0.1\ng 1e+300\ng{n=\"1\"} NaN\n"
            "g{n=\"2\"} -Inf\n");
}

TEST(Metrics, ADoorCountsWhatCameHowItEndedAndHowLongItTook) {
  auto view = LoadedView();
  DoorTotals web{.arrived = 110};
  web.ended = {100, 1, 2, 6, 1};
  web.latency[LatencyBucket(0.004)] = 90;
  web.latency[LatencyBucket(0.2)] = 11;
  web.latency_seconds = 2.5;
  view.door_totals =
      std::make_shared<const DoorTotalsByService>(DoorTotalsByService{{"api", DoorTotals{}}, {"web", web}});
  const std::string text = MetricsText(view);
  EXPECT_EQ(WhatIsWrong(text), "");
  for (const auto* line :
       {"homeostat_door_requests_total{service=\"web\"} 110\n",
        "homeostat_door_requests_ended_total{service=\"web\",outcome=\"refused\"} 6\n",
        "homeostat_door_request_duration_seconds_bucket{service=\"web\",le=\"0.01\"} 90\n",
        "homeostat_door_request_duration_seconds_bucket{service=\"web\",le=\"+Inf\"} 101\n",
        "homeostat_door_request_duration_seconds_sum{service=\"web\"} 2.5\n",
        "homeostat_door_request_duration_seconds_count{service=\"web\"} 101\n",
        "homeostat_door_requests_total{service=\"api\"} 0\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, AreWellFormedWhateverIsKnown) {
  auto strange = LoadedView();
  auto& service = strange.service_loads["we\"b\\\n"];
  service.service = "we\"b\\\n";
  service.latency = {{1, 1}};
  for (const auto& view : {NodeView{}, TestView(), LoadedView(), strange}) {
    EXPECT_EQ(WhatIsWrong(MetricsText(view)), "");
  }
}

TEST(Metrics, HaveTheBoxItsReplicasAndTheServices) {
  const std::string text = MetricsText(LoadedView());
  for (const auto* line :
       {"homeostat_node_cpu_seconds_total 77.25\n", "homeostat_node_cpu_used_cores 1.5\n",
        "homeostat_node_memory_available_bytes 536870912\n",
        "homeostat_node_pressure_known{resource=\"cpu\"} 1\n",
        "homeostat_node_pressure_known{resource=\"io\"} 0\n", "homeostat_agent_loop_lag_max_seconds 0.002\n",
        "process_resident_memory_bytes 17825792\n",
        "homeostat_replica_cpu_seconds_total{service=\"web\",replica=\"web-000000b1\"} 12.5\n",
        "homeostat_replica_health_check_seconds{service=\"web\",replica=\"web-000000b1\"} 0.004\n",
        "homeostat_service_arrivals_per_second{service=\"web\"} 120\n",
        "homeostat_service_refused_per_second{service=\"web\"} 20\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("waiting_seconds_total{resource=\"io\"}"))) << "unknown is not zero";
}

}  // namespace
}  // namespace hs
