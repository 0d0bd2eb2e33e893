#include "core/control/scaler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/prng.h"

namespace hs {
namespace {

using Cause = ScaleDecision::Cause;

double Normal(Prng& prng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += prng.Unit();
  return sum;
}

// A service whose replicas serve 100 requests a second each, driven by a Scaler.
class World {
 public:
  explicit World(ScaleGoal goal = {.min = 1, .max = 50}, std::int64_t level = 1, Duration start_up = 2s)
      : scaler_(Time{}, goal, level), start_up_(start_up), ready_(level) {}

  // One second at `rate`. Requests wait at most a second; the rest is refused.
  ScaleDecision Second(double rate, double coverage = 1) {
    now_ += 1s;
    while (!starting_.empty() && starting_.front() <= now_) {
      starting_.erase(starting_.begin());
      ++ready_;
    }
    const double most = 100.0 * static_cast<double>(ready_);
    ScaleSample sample{.arrivals = rate, .healthy = ready_, .coverage = coverage, .start_up = start_up_};
    sample.completions = std::min(rate + backlog_, most);
    const double left = rate + backlog_ - sample.completions;
    backlog_ = std::min(left, most);
    sample.refused = left - backlog_;
    sample.backlog = sample.queued = backlog_;
    sample.in_flight = backlog_ + sample.completions / 100;
    sample.cpu_share = sample.completions / most;
    sample.starting = static_cast<std::int64_t>(starting_.size());
    if (goal_metric_ >= 0) sample.app_metric = goal_metric_;
    return Follow(scaler_.Step(now_, sample));
  }
  ScaleDecision Silence() {
    now_ += 1s;
    return Follow(scaler_.Step(now_, std::nullopt));
  }
  // Changes within the seconds given.
  template <typename Rate>
  int Run(int seconds, Rate rate) {
    int changes = 0;
    for (int t = 0; t < seconds; ++t) changes += Second(rate(t)).changed ? 1 : 0;
    return changes;
  }
  Scaler& scaler() { return scaler_; }
  std::int64_t level() const { return scaler_.level(); }
  std::int64_t ready() const { return ready_; }
  void SetMetric(double metric) { goal_metric_ = metric; }
  Time now() const { return now_; }

 private:
  ScaleDecision Follow(ScaleDecision decision) {
    const auto all = [&] { return ready_ + static_cast<std::int64_t>(starting_.size()); };
    while (all() < decision.level) starting_.push_back(now_ + start_up_);
    while (all() > decision.level && !starting_.empty()) starting_.pop_back();
    ready_ = std::min(ready_, decision.level);
    return decision;
  }

  Time now_{};
  Scaler scaler_;
  Duration start_up_;
  std::int64_t ready_;
  std::vector<Time> starting_;
  double backlog_ = 0;
  double goal_metric_ = -1;
};

TEST(Scaler, ConstantLoadMovesNothingForAnHour) {
  for (const double rate : {30.0, 99.0, 100.0, 450.0, 1333.0, 3000.0}) {
    World world;
    world.Run(600, [&](int) { return rate; });
    EXPECT_EQ(world.Run(3600, [&](int) { return rate; }), 0) << rate;
    EXPECT_LE(static_cast<double>(world.level()), rate / 100 * 1.05 + 2) << "and not by having too many";
  }
}

TEST(Scaler, TwentyPercentOfNoiseMovesAtMostTwiceAnHour) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Prng prng(seed);
    World world({.min = 1, .max = 100});
    const auto rate = [&](int) { return std::max(0.0, 2000 * (1 + 0.2 * Normal(prng))); };
    world.Run(900, rate);
    EXPECT_LE(world.Run(3600, rate), 2) << seed;
  }
}

TEST(Scaler, AStepOfTenIsAnsweredInOneMoveAndUndoneWithinThreeMinutes) {
  World world({.min = 1, .max = 50}, 1, 100ms);
  world.Run(300, [](int) { return 50.0; });
  EXPECT_EQ(world.level(), 1);
  const auto up = world.Second(500);
  EXPECT_EQ(up.cause, Cause::kUp);
  EXPECT_GE(up.level, 6);
  EXPECT_LE(up.level, 8) << "up at once, but not beyond what is asked for";
  world.Run(60, [](int) { return 500.0; });
  int seconds = 0;
  std::int64_t before = world.level();
  while (world.level() > 1 && seconds < 300) {
    world.Second(50);
    ++seconds;
    EXPECT_LE(before - world.level(), (before + 2) / 2) << "not all at once";
    before = world.level();
  }
  EXPECT_LE(seconds, 180);
}

TEST(Scaler, AJumpIsSeenInPartsAndStillIsOne) {
  World world({.min = 1, .max = 50}, 1, 200ms);
  for (int run = 0; run < 3; ++run) {
    world.Run(20, [](int) { return 0.0; });
    world.Run(45, [](int) { return 140.0; });  // which is a jump as well
    ASSERT_EQ(world.level(), 2);
    // It begins within a second, and what was not served comes on top.
    world.Run(30, [](int t) { return t == 0 ? 150.0 : t == 1 ? 400.0 : t == 2 ? 520.0 : 410.0; });
    EXPECT_GE(world.level(), 5);
    int seconds = 0;
    while (world.level() > 1 && seconds < 300) {
      world.Second(0);
      ++seconds;
    }
    EXPECT_LE(seconds, 120) << "run " << run << ": nobody waits for what comes alone";
  }
}

TEST(Scaler, JumpsThatKeepComingAreWaitedFor) {
  // Ten seconds of much each minute and a half: what the last jump needed stays.
  const auto jumps = [](int t) { return t % 90 < 10 ? 1000.0 : 100.0; };
  World world({.min = 1, .max = 50});
  world.Run(360, jumps);
  EXPECT_LE(world.Run(450, jumps), 2);
  EXPECT_GE(world.level(), 10);
  // An hour apart each is one of its own.
  World seldom({.min = 1, .max = 50});
  seldom.Run(3600, [](int t) { return t % 1200 < 10 ? 1000.0 : 100.0; });
  EXPECT_LE(seldom.level(), 2);
  EXPECT_LE(seldom.scaler().down_window(), 60s);
}

// Requests that stay 100 ms, a hundred a second: ten inside, four wanted in each replica.
ScaleSample TenInside(double in_flight) {
  return {.arrivals = 100, .completions = 100, .in_flight = in_flight, .healthy = 3, .start_up = 200ms};
}

TEST(Scaler, RequestsInFlightTrembleAndMoveNothing) {
  Prng prng(5);
  Time now{1000s};
  Scaler scaler(now, {.min = 1, .max = 8, .target = ScaleGoal::Target::kInFlight, .target_value = 4}, 1);
  scaler.Step(now += 1s, TenInside(3));  // half a second of it, and half idle
  scaler.Step(now += 1s, TenInside(10));
  for (int t = 0; t < 3600; ++t) {
    // The second's mean of ten has a deviation of one by chance; now and then the box sleeps for 50 ms.
    const double inside = std::max(0.0, 10 + Normal(prng) + (prng.Chance(0.01) ? 3 : 0));
    ASSERT_EQ(scaler.Step(now += 1s, TenInside(inside)).level, 3) << t;
  }
  // Twice as many are seen for what they are.
  for (int t = 0; t < 4; ++t) scaler.Step(now += 1s, TenInside(20));
  EXPECT_GE(scaler.level(), 5);
  EXPECT_LE(scaler.level(), 6);
}

TEST(Scaler, ATrickleNeedsNoSecondReplica) {
  const Time start{1000s};
  Scaler scaler(start, {.min = 1, .max = 10}, 1);
  for (int second = 1; second <= 60; ++second) {
    // Too few answers to learn from, some of them slow.
    const ScaleSample sample{
        .arrivals = 3, .completions = 3, .in_flight = second % 3 == 0 ? 0.9 : 0.1, .healthy = 1};
    EXPECT_EQ(scaler.Step(start + std::chrono::seconds(second), sample).level, 1) << second;
  }
}

TEST(Scaler, UnknownCapacityConvergesUnderLoad) {
  World world;  // one replica, nothing known, load for twelve
  for (int t = 0; t < 8; ++t) world.Second(1200);
  EXPECT_GE(world.level(), 12);
  EXPECT_LE(world.level(), 18);
}

TEST(Scaler, GrowthIsForecastOverTheStartUp) {
  World quick({.min = 1, .max = 100}, 5, 200ms), slow({.min = 1, .max = 100}, 5, 20s);
  const auto ramp = [](int t) { return 500 + 5.0 * t; };
  quick.Run(300, ramp);
  slow.Run(300, ramp);
  EXPECT_GT(slow.level(), quick.level()) << "what takes longer to start is started earlier";
  EXPECT_GE(slow.ready(), 20);
}

TEST(Scaler, WhatIsStartingCounts) {
  World world({.min = 1, .max = 50}, 2, 20s);
  world.Run(120, [](int) { return 150.0; });
  const auto up = world.Second(1500);
  EXPECT_TRUE(up.changed);
  int changes = 0;
  for (int t = 0; t < 15; ++t) changes += world.Second(1500).changed ? 1 : 0;
  EXPECT_LE(changes, 2) << "nothing is ordered twice while it starts, but for what is owed";
  EXPECT_LE(world.level(), 25);
}

TEST(Scaler, NeverDownWithoutData) {
  World world;
  world.Run(300, [](int) { return 1000.0; });
  const auto level = world.level();
  for (int t = 0; t < 600; ++t) EXPECT_EQ(world.Silence().level, level);
  // A part of the nodes is silent: what is seen is less, and nothing falls.
  for (int t = 0; t < 600; ++t) {
    EXPECT_GE(world.Second(100, 0.9).level, level);
  }
  // All are heard again: it falls, but only after a whole window.
  const auto window = static_cast<int>(ToSeconds(world.scaler().down_window()));
  for (int t = 0; t < window - 1; ++t) ASSERT_EQ(world.Second(100).level, level) << t;
  world.Run(300, [](int) { return 100.0; });
  EXPECT_LT(world.level(), level);
}

TEST(Scaler, ANewControllerLowersNothingBeforeItHasSeenAWindow) {
  World world({.min = 1, .max = 50}, 20);
  for (int t = 0; t < 28; ++t) ASSERT_EQ(world.Second(100).level, 20);
  world.Run(200, [](int) { return 100.0; });
  EXPECT_LT(world.level(), 5);
}

TEST(Scaler, AnIdleServiceFallsToItsMinimumThoughNothingCanBeLearned) {
  for (const double rate : {0.0, 2.0}) {
    World world({.min = 1, .max = 50}, 20);
    world.Run(200, [&](int) { return rate; });
    EXPECT_LE(world.level(), 2) << rate;
  }
}

TEST(Scaler, ADeployKeepsTheLevelAndNewBoundsHoldAtOnce) {
  World world;
  world.Run(300, [](int) { return 1000.0; });
  const auto level = world.level();
  world.scaler().SetGoal({.min = 2, .max = 60});
  EXPECT_EQ(world.Second(1000).level, level);
  world.scaler().SetGoal({.min = 2, .max = 4});
  const auto capped = world.Second(1000);
  EXPECT_EQ(capped.level, 4);
  EXPECT_EQ(capped.cause, Cause::kBounds);
  EXPECT_TRUE(world.Second(1000).capped) << "and says that more is needed";
  world.scaler().SetGoal({.min = 30, .max = 40});
  EXPECT_EQ(world.Second(1000).level, 30);
}

TEST(Scaler, OtherTargetsTable) {
  struct Case {
    const char* why;
    ScaleGoal goal;
    double rate, metric;
    std::int64_t level;
  };
  using enum ScaleGoal::Target;
  const Case cases[] = {
      {"880/s of 10 ms are 8.8 in flight, half a one a replica", {1, 50, kInFlight, 0.5}, 880, -1, 18},
      {"10 replicas' worth of CPU at half a share", {1, 50, kCpuShare, 0.5}, 1000, -1, 20},
      {"a queue of 700 at 100 a replica", {1, 50, kAppMetric, 100}, 10, 700, 7},
      {"an empty queue needs the minimum", {2, 50, kAppMetric, 100}, 10, 0, 2},
      {"an app metric that nobody answers moves nothing", {1, 50, kAppMetric, 100}, 10, -1, 3},
  };
  for (const Case& c : cases) {
    World world(c.goal, 3);
    world.SetMetric(c.metric);
    world.Run(400, [&](int) { return c.rate; });
    EXPECT_NEAR(static_cast<double>(world.level()), static_cast<double>(c.level), c.level > 5 ? 1 : 0)
        << c.why;
  }
}

TEST(Scaler, EachChangeSaysItsNumbers) {
  World world;
  world.Run(100, [](int) { return 80.0; });
  const auto up = world.Second(900);
  ASSERT_TRUE(up.changed);
  EXPECT_THAT(up.reason, testing::HasSubstr("need "));
  EXPECT_THAT(up.reason, testing::HasSubstr("a replica"));
}

// Whatever comes: the level stays within bounds, falls only when all was seen, and same input gives same
// output.
TEST(Scaler, PropertiesOfRandomLoads) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Prng prng(seed);
    const auto min = static_cast<std::int64_t>(1 + prng.Below(5));
    const ScaleGoal goal{.min = min, .max = min + static_cast<std::int64_t>(prng.Below(40))};
    World one(goal, min), two(goal, min);
    double rate = 100;
    int seen_for = 0, fell = -100;
    for (int t = 0; t < 1500; ++t) {
      if (prng.Chance(0.02)) rate = prng.Unit() * prng.Unit() * 5000;
      const double now = rate * (0.8 + 0.4 * prng.Unit());
      const bool silent = prng.Chance(0.01);
      const double coverage = prng.Chance(0.01) ? 0.6 : 1;
      const auto before = one.level();
      const auto a = silent ? one.Silence() : one.Second(now, coverage);
      const auto b = silent ? two.Silence() : two.Second(now, coverage);
      ASSERT_EQ(a.level, b.level);
      ASSERT_EQ(a.reason, b.reason);
      ASSERT_GE(a.level, goal.min);
      ASSERT_LE(a.level, goal.max);
      ASSERT_EQ(a.changed, a.level != before);
      ASSERT_EQ(a.changed, !a.reason.empty());
      seen_for = silent || coverage < 1 ? 0 : seen_for + 1;
      if (a.cause == Cause::kDown) {
        ASSERT_GE(t - fell, 10) << "two falls are apart, seed " << seed << " second " << t;
        fell = t;
      }
      if (a.level < before) {
        ASSERT_GE(seen_for, 30) << "seed " << seed << " second " << t;
      }
    }
  }
}

// More load in every second never means fewer replicas, from the same start.
TEST(Scaler, MoreLoadNeverMeansFewerReplicas) {
  for (const double base : {50.0, 500.0, 2500.0}) {
    std::int64_t before = 0;
    for (const double factor : {1.0, 1.1, 1.5, 2.0, 4.0}) {
      World world({.min = 1, .max = 200});
      world.Run(300, [&](int) { return base * factor; });
      EXPECT_GE(world.level(), before) << base << " x " << factor;
      before = world.level();
    }
  }
}

}  // namespace
}  // namespace hs
