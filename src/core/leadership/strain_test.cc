#include "core/leadership/strain.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeLoad Late(float lag_ms, float pressure = -1) { return {.pressure_cpu = pressure, .lag_ms = lag_ms}; }

TEST(StrainGauge, AShortLapseIsNotStrain) {
  StrainGauge gauge;
  for (int second = 0; second < 100; ++second) {
    EXPECT_FALSE(gauge.Step(Late(second % 10 < kStrainSeconds - 1 ? 500 : 1)));
  }
  EXPECT_FALSE(gauge.strained());
}

TEST(StrainGauge, LagAndPressureEachAreStrain) {
  for (const NodeLoad& load : {Late(kStrainLagMs), Late(0, kStrainPressure)}) {
    StrainGauge gauge;
    int seconds = 0;
    while (!gauge.strained() && seconds < 100) {
      gauge.Step(load);
      ++seconds;
    }
    EXPECT_EQ(seconds, kStrainSeconds);
    EXPECT_NE(gauge.cause().find("8 of the last 10 s"), std::string::npos) << gauge.cause();
  }
}

TEST(StrainGauge, ItIsRelievedOnlyAfterALongGoodTime) {
  StrainGauge gauge;
  for (int second = 0; second < kStrainSeconds; ++second) gauge.Step(Late(500));
  ASSERT_TRUE(gauge.strained());
  for (int second = 0; second < kReliefSeconds - 1; ++second) EXPECT_FALSE(gauge.Step(Late(1)));
  EXPECT_FALSE(gauge.Step(Late(kStrainLagMs * 0.6F))) << "not bad, but not good either: it starts again";
  for (int second = 0; second < kReliefSeconds - 1; ++second) EXPECT_FALSE(gauge.Step(Late(1)));
  EXPECT_TRUE(gauge.Step(Late(1)));
  EXPECT_FALSE(gauge.strained());
}

TEST(StrainGauge, AtTheEdgeItDoesNotFlap) {
  StrainGauge gauge;
  int changes = 0;
  for (int second = 0; second < 3600; ++second) {
    changes += gauge.Step(Late(second % 2 == 0 ? kStrainLagMs * 1.1F : kStrainLagMs * 0.9F)) ? 1 : 0;
    if (second == 1800) {
      for (int bad = 0; bad < 10; ++bad) changes += gauge.Step(Late(kStrainLagMs)) ? 1 : 0;
    }
  }
  EXPECT_EQ(changes, 1);
}

}  // namespace
}  // namespace hs
