#include "core/control/levels.h"

#include <gtest/gtest.h>

#include "core/latency.h"

namespace hs {
namespace {

// A service `web` of 1 to 20 replicas with all that is measured about it.
struct Desk {
  std::vector<DesiredService> services{1};
  std::map<std::string, ServiceCounts> counts{{"web", {.healthy = 2}}};
  std::vector<ServiceLoad> loads;
  std::map<std::string, Duration> start_up;
  std::map<std::string, ServiceLevel> published;
  double coverage = 1;
  Levels levels;
  Time now{};

  Desk() {
    services[0].spec.name = "web";
    services[0].spec.scale = ScaleSpec{.min = 1, .max = 20, .target = ScaleTarget::kInFlight, .value = 4};
    services[0].fixed = false;
  }
  LevelsInput Input() const { return {services, counts, loads, coverage, start_up, published}; }
  LevelsOutcome Second() {
    now += 1s;
    return levels.Step(now, Input());
  }
  std::uint32_t Level() { return Second().levels.at(0).wanted; }
  void Load(float in_flight, float queued = 0) {
    loads = {{.service = "web",
              .arrivals_s = 100,
              .completions_s = 100,
              .in_flight = in_flight + queued,
              .queued = queued}};
    loads[0].replicas = counts["web"].healthy;
  }
};

TEST(Levels, AFixedServiceHasNone) {
  Desk desk;
  desk.services[0].fixed = true;
  EXPECT_TRUE(desk.Second().levels.empty());
}

TEST(Levels, StartsFromWhatWasPublishedElseFromWhatRuns) {
  Desk desk;
  EXPECT_EQ(desk.Level(), 2u) << "two run";
  Desk taken_over;
  taken_over.published["web"] = {"web", 7, 5, 0, "it was busy"};
  const auto outcome = taken_over.Second();
  EXPECT_EQ(outcome.levels.at(0).wanted, 7u) << "what was wanted, not what could be granted";
  EXPECT_EQ(outcome.levels.at(0).cause, "it was busy");
  Desk fresh;
  fresh.counts.clear();
  fresh.services[0].spec.replicas = 3;
  EXPECT_EQ(fresh.Level(), 3u) << "deploy.replicas";
  Desk outside;
  outside.counts["web"].healthy = 99;
  EXPECT_EQ(outside.Level(), 20u) << "never above max";
}

TEST(Levels, AServiceThatWasRemovedBeginsAnewThoughItComesBackWithinASecond) {
  Desk desk;
  desk.Load(40, 20);
  for (int i = 0; i < 10; ++i) desk.Second();
  ASSERT_GE(desk.Level(), 10u);
  desk.levels.Keep({});
  desk.counts.clear();
  desk.loads.clear();
  EXPECT_EQ(desk.Level(), desk.services[0].spec.replicas);
}

TEST(Levels, RisesWithLoadSaysSoAndKeepsTheLevelOverADeploy) {
  Desk desk;
  desk.Load(40, 20);
  std::uint32_t level = 0;
  std::vector<LevelChange> changes;
  for (int i = 0; i < 10; ++i) {
    const auto outcome = desk.Second();
    level = outcome.levels.at(0).wanted;
    changes.insert(changes.end(), outcome.changes.begin(), outcome.changes.end());
  }
  EXPECT_GE(level, 10u) << "40 in flight, 4 each";
  ASSERT_FALSE(changes.empty());
  EXPECT_TRUE(changes[0].up);
  EXPECT_FALSE(changes[0].reason.empty());
  desk.services[0].hash = SpecHash{9};
  desk.services[0].spec.command = {"another"};
  EXPECT_EQ(desk.Level(), level);
}

TEST(Levels, ForgetsAServiceThatIsRemoved) {
  Desk desk;
  desk.Load(40);
  for (int i = 0; i < 10; ++i) desk.Second();
  const auto services = std::exchange(desk.services, {});
  EXPECT_TRUE(desk.Second().levels.empty());
  desk.services = services;
  desk.loads.clear();
  EXPECT_EQ(desk.Level(), 2u) << "a new service of that name starts anew";
}

TEST(Levels, SilenceNeverLowers) {
  Desk desk;
  desk.counts["web"].healthy = 9;
  EXPECT_EQ(desk.Level(), 9u);
  for (int i = 0; i < 3600; ++i) desk.Second();
  EXPECT_EQ(desk.Level(), 9u) << "no door ever told of a request: perhaps none measures";
  desk.Load(1);
  EXPECT_EQ(desk.Level(), 9u);
  desk.loads.clear();
  desk.coverage = 0;
  for (int i = 0; i < 3600; ++i) desk.Second();
  EXPECT_EQ(desk.Level(), 9u) << "nobody heard";
  desk.coverage = 0.9;
  for (int i = 0; i < 3600; ++i) desk.Second();
  EXPECT_EQ(desk.Level(), 9u) << "one of ten silent";
  desk.coverage = 1;
  for (int i = 0; i < 3600; ++i) desk.Second();
  EXPECT_EQ(desk.Level(), 1u) << "heard by all, and idle";
}

TEST(Levels, AMetricThatNotAllReplicasGiveIsNoMetric) {
  Desk desk;
  desk.Load(1);
  desk.loads[0].metric = 50;
  desk.loads[0].metric_replicas = 1;
  EXPECT_FALSE(SampleOf(desk.services[0], desk.Input())->app_metric);
  desk.loads[0].metric_replicas = 2;
  EXPECT_EQ(SampleOf(desk.services[0], desk.Input())->app_metric, 50);
}

TEST(Levels, CpuIsAShareOfWhatIsReserved) {
  Desk desk;
  desk.Load(1);
  desk.loads[0].cpu = 1;
  EXPECT_DOUBLE_EQ(*SampleOf(desk.services[0], desk.Input())->cpu_share, 0.5) << "two replicas, a core each";
  desk.services[0].spec.reserve.cpu_millicores = 250;
  EXPECT_DOUBLE_EQ(*SampleOf(desk.services[0], desk.Input())->cpu_share, 2) << "twice what they reserve";
}

TEST(Levels, ALearnedCapacityIsToldOnlyWhenItMoved) {
  Desk desk;
  desk.services[0].spec.scale->target = ScaleTarget::kAutomatic;
  desk.Load(10);
  std::size_t told = 0;
  double last = -1;
  for (int i = 0; i < 600; ++i) {
    desk.loads[0].latency = {{LatencyBucket(0.010 + 0.0001 * (i % 7)), 100}};
    const double capacity = desk.Second().levels.at(0).per_replica_s;
    told += capacity != last;
    last = capacity;
  }
  EXPECT_LT(told, 20u) << "each telling goes to all nodes";
}

}  // namespace
}  // namespace hs
