#include "core/control/demand.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/prng.h"

namespace hs {
namespace {

double Normal(Prng& prng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += prng.Unit();
  return sum;
}

TEST(Demand, NoiseAboutOneLevelIsAveragedOverLong) {
  Prng prng(1);
  Demand demand;
  double worst = 0;
  for (int t = 0; t < 3600; ++t) {
    demand.Add(2000 + 400 * Normal(prng), 1);
    if (t > 600) worst = std::max(worst, std::abs(demand.Now().level - 2000));
  }
  EXPECT_GT(demand.Now().seconds, 400);
  EXPECT_LT(worst, 80) << "20 % of noise a second must not move the level by more than 4 %";
  EXPECT_NEAR(demand.Now().noise, 400, 60);
}

TEST(Demand, AJumpIsFollowedAtOnceAndForgottenIsWhatWasBefore) {
  Demand demand;
  for (int t = 0; t < 600; ++t) demand.Add(100, 1);
  demand.Add(1000, 1);
  EXPECT_GT(demand.Now().Forecast(1), 900) << "one second far outside is followed upwards";
  for (int t = 0; t < 3; ++t) demand.Add(1000, 1);
  EXPECT_NEAR(demand.Now().level, 1000, 50);
  EXPECT_LE(demand.Now().seconds, 5);
  for (int t = 0; t < 5; ++t) demand.Add(100, 1);
  EXPECT_NEAR(demand.Now().level, 100, 60) << "downwards as well";
}

TEST(Demand, OneOddSecondPasses) {
  Demand demand;
  for (int t = 0; t < 600; ++t) demand.Add(100, 1);
  demand.Add(1000, 1);
  demand.Add(100, 1);
  demand.Add(100, 1);
  demand.Add(100, 1);
  EXPECT_NEAR(demand.Now().Forecast(20), 100, 10);
  EXPECT_GT(demand.Now().seconds, 300) << "what was known is kept";
}

TEST(Demand, ForecastTable) {
  struct Case {
    const char* why;
    double from, slope;
    double horizon, low, high;  // bounds of forecast minus the last load
  };
  const Case cases[] = {
      {"a steady rise is carried on, damped", 1000, 10, 20, 120, 201},
      {"further out more, but never beyond the straight line", 1000, 10, 100, 250, 1001},
      {"a fall is not forecast", 100'000, -10, 20, -30, 60},
      {"no slope, no growth", 1000, 0, 20, -1, 1},
  };
  for (const Case& c : cases) {
    Demand demand;
    double load = c.from;
    for (int t = 0; t < 300; ++t) demand.Add(load = c.from + c.slope * t, 1);
    const double more = demand.Now().Forecast(c.horizon) - load;
    EXPECT_GE(more, c.low) << c.why;
    EXPECT_LE(more, c.high) << c.why;
  }
}

TEST(Demand, IndependentArrivalsAreNeverTakenForQuieterThanChance) {
  Demand demand;
  for (int t = 0; t < 600; ++t) demand.Add(400, 1);
  EXPECT_DOUBLE_EQ(demand.Now().noise, 20);
  Demand share;
  for (int t = 0; t < 600; ++t) share.Add(0.5, 0);
  EXPECT_DOUBLE_EQ(share.Now().noise, 0.01);
}

TEST(Demand, TheFirstSecondsOfAServiceAreNotTakenForNoise) {
  for (const double chance : {1.0, 0.1, 0.0}) {
    Demand demand;
    demand.Add(0, chance);
    for (int t = 0; t < 60; ++t) demand.Add(500, chance);
    EXPECT_LT(demand.Now().noise, 50) << chance;
  }
}

TEST(Demand, NothingAtAllIsALevelToo) {
  Demand demand;
  for (int t = 0; t < 100; ++t) demand.Add(0, 1);
  EXPECT_EQ(demand.Now().level, 0);
  EXPECT_EQ(demand.Now().Forecast(20), 0);
}

}  // namespace
}  // namespace hs
