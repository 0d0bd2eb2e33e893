#include "core/control/capacity_learner.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hs {
namespace {

// One second of replicas that serve `capacity` a second each, one request at a time.
ScaleSample Second(double arrivals, std::int64_t replicas, double capacity, bool with_cpu,
                   double backlog = 0) {
  const double most = capacity * static_cast<double>(replicas);
  ScaleSample sample;
  sample.arrivals = arrivals;
  sample.completions = std::min(arrivals + backlog, most);
  sample.refused = std::max(0.0, arrivals - most);
  sample.queued = sample.backlog = arrivals > most ? 5.0 * static_cast<double>(replicas) : 0;
  sample.in_flight = sample.queued + sample.completions / capacity;
  sample.response_mean_s = sample.in_flight / std::max(1.0, sample.completions);
  if (with_cpu) sample.cpu_share = sample.completions / most;
  sample.healthy = replicas;
  return sample;
}

TEST(CapacityLearner, Table) {
  struct Case {
    const char* why;
    double arrivals;
    bool with_cpu;
    int seconds;
    double learned;  // of a true 100
    double tolerance;
  };
  const Case cases[] = {
      {"half loaded, by CPU, within two seconds", 250, true, 2, 100, 1},
      {"lightly loaded, by CPU", 50, true, 2, 100, 1},
      {"half loaded, by Little's law alone", 250, false, 2, 100, 1},
      {"overloaded, without CPU: what comes out is what they can do", 2000, false, 3, 100, 1},
      {"overloaded, with CPU", 2000, true, 3, 100, 1},
  };
  for (const Case& c : cases) {
    CapacityLearner learner;
    for (int i = 0; i < c.seconds; ++i) learner.Observe(Second(c.arrivals, 5, 100, c.with_cpu));
    ASSERT_TRUE(learner.PerReplica()) << c.why;
    EXPECT_NEAR(*learner.PerReplica(), c.learned, c.tolerance) << c.why;
  }
}

TEST(CapacityLearner, IdleTellsNothing) {
  CapacityLearner learner;
  for (int i = 0; i < 100; ++i) learner.Observe(Second(0, 5, 100, true));
  EXPECT_FALSE(learner.PerReplica());
  for (int i = 0; i < 5; ++i) learner.Observe(Second(250, 5, 100, true));
  for (int i = 0; i < 1000; ++i) learner.Observe(Second(2, 5, 1, true));
  EXPECT_NEAR(*learner.PerReplica(), 100, 1) << "an idle hour does not unlearn it";
}

TEST(CapacityLearner, TheLimitIsNotTheCpuWhenSomethingElseIs) {
  CapacityLearner learner;
  // The replicas wait for a database: half the CPU is all they ever use.
  for (int i = 0; i < 60; ++i) {
    ScaleSample sample = Second(2000, 5, 100, true);
    sample.cpu_share = 0.5;
    learner.Observe(sample);
  }
  EXPECT_NEAR(*learner.PerReplica(), 100, 1);
  // The database got faster: more is seen, and it is believed at once.
  ScaleSample better = Second(800, 5, 200, true);
  better.cpu_share = 0.8;
  learner.Observe(better);
  EXPECT_GT(*learner.PerReplica(), 155);
}

TEST(CapacityLearner, ANewVersionIsLearnedInSecondsAndChanceIsAveragedOut) {
  CapacityLearner learner;
  for (int i = 0; i < 300; ++i) learner.Observe(Second(400, 5, i % 2 == 0 ? 98 : 102, true));
  EXPECT_NEAR(*learner.PerReplica(), 100, 0.2);
  for (int i = 0; i < 12; ++i) learner.Observe(Second(200, 5, 50, true));
  EXPECT_LT(*learner.PerReplica(), 56);
  for (int i = 0; i < 60; ++i) learner.Observe(Second(200, 5, 50, true));
  EXPECT_NEAR(*learner.PerReplica(), 50, 3);
}

TEST(CapacityLearner, CpuOfTheSecondBeforeAStepIsNotComparedWithTheAnswersAfterIt) {
  CapacityLearner learner;
  for (int i = 0; i < 60; ++i) learner.Observe(Second(50, 5, 100, true));
  ScaleSample step = Second(450, 5, 100, true);
  step.cpu_share = 0.1;
  learner.Observe(step);
  EXPECT_NEAR(*learner.PerReplica(), 100, 1);
}

TEST(CapacityLearner, ReplicasThatCameWithinTheSecondAreNotBlamed) {
  for (const bool with_cpu : {true, false}) {
    CapacityLearner learner;
    for (int i = 0; i < 10; ++i) learner.Observe(Second(450, 5, 100, with_cpu));
    // Ten more are healthy at the end of a second that five served.
    ScaleSample sample = Second(500, 5, 100, with_cpu);
    sample.healthy = 15;
    sample.in_flight = 14;  // the new ones took the last requests
    learner.Observe(sample);
    EXPECT_NEAR(*learner.PerReplica(), 100, 1) << with_cpu;
  }
}

}  // namespace
}  // namespace hs
