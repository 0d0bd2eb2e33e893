#include "core/control/start_times.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

TEST(StartTimes, MeasuresFromFirstSeenToFirstHealthy) {
  StartTimes times;
  times.See(Time(1s), "web", ReplicaId{1}, false);
  times.See(Time(2s), "web", ReplicaId{1}, false);
  EXPECT_TRUE(times.start_up().empty()) << "not there yet";
  times.See(Time(4s), "web", ReplicaId{1}, true);
  EXPECT_EQ(times.start_up().at("web"), 3s);
  times.See(Time(5s), "web", ReplicaId{1}, false);
  times.See(Time(60s), "web", ReplicaId{1}, true);
  EXPECT_EQ(times.start_up().at("web"), 3s) << "an outage later on is no start";
}

TEST(StartTimes, SlowerCountsAtOnceFasterInPart) {
  StartTimes times;
  const auto start = [&](std::uint64_t id, Duration took) {
    times.See(Time(0s), "web", ReplicaId{id}, false);
    times.See(Time(took), "web", ReplicaId{id}, true);
  };
  start(1, 2s);
  start(2, 10s);
  EXPECT_EQ(times.start_up().at("web"), 10s);
  start(3, 0s);
  EXPECT_EQ(times.start_up().at("web"), 7s);
}

TEST(StartTimes, OneThatWasHealthyWhenFirstSeenTellsNothing) {
  StartTimes times;
  times.See(Time(1s), "web", ReplicaId{1}, true);
  EXPECT_TRUE(times.start_up().empty());
}

TEST(StartTimes, OneThatWentMissingStartsAnew) {
  StartTimes times;
  times.See(Time(1s), "web", ReplicaId{1}, false);
  times.Forget(Time(2s));
  times.See(Time(9s), "web", ReplicaId{1}, false);
  times.See(Time(10s), "web", ReplicaId{1}, true);
  EXPECT_EQ(times.start_up().at("web"), 1s);
}

}  // namespace
}  // namespace hs
