#include "core/regions/division.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/prng.h"

namespace hs {
namespace {

constexpr Time kStart = Time{} + 1000s;

// Regions that do as they are told, a step later; `broken` ones never get anything new healthy.
struct Cluster {
  std::vector<RegionId> regions{1, 5, 6};
  ServiceToDivide web{.name = "web", .wanted = 6, .target = {{1, 2}, {5, 2}, {6, 2}}};
  Division division;
  Time now = kStart;
  std::vector<std::string> pending;

  CountByRegion Told() {
    pending = division.Step({.now = now,
                             .regions = regions,
                             .services = {web},
                             .moves_at_once = 4,
                             .pause = 500ms,
                             .deadline = 60s});
    return *division.SharesOf("web");
  }
  // What the regions say once they have done it.
  void Obey(RegionId broken = 0) {
    for (const auto& [region, share] : Told()) {
      web.staying[region] = share;
      if (region != broken || share < web.healthy[region]) web.healthy[region] = share;
    }
    now += 1s;
  }
  std::uint32_t Healthy() const {
    std::uint32_t sum = 0;
    for (const auto& [region, count] : web.healthy) sum += count;
    return sum;
  }
};

TEST(Division, WhatIsMissingIsStartedAtOnceWhereItShouldBe) {
  Cluster c;
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 2}, {5, 2}, {6, 2}}));
  EXPECT_TRUE(c.pending.empty());
}

TEST(Division, RegionsStartWithWhatTheyHave) {
  Cluster c;
  c.web.staying = c.web.healthy = {{1, 2}, {5, 1}, {6, 3}};
  c.web.target = c.web.staying;
  EXPECT_EQ(c.Told(), c.web.staying) << "a new steward moves nothing";
  c.regions = {1, 5, 13, 14};  // 6 has split
  c.web.staying = c.web.healthy = c.web.target = {{1, 2}, {5, 1}, {13, 2}, {14, 1}};
  EXPECT_EQ(c.Told(), c.web.staying);
}

TEST(Division, AMoveStartsBeforeItStops) {
  Cluster c;
  c.web.staying = c.web.healthy = {{1, 4}, {5, 2}};
  c.web.target = {{1, 3}, {5, 2}, {6, 1}};
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 4}, {5, 2}, {6, 1}}));
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 4}, {5, 2}, {6, 1}})) << "until it is healthy there";
  c.web.staying[6] = c.web.healthy[6] = 1;
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 3}, {5, 2}, {6, 1}}));
}

TEST(Division, AMoveThatDoesNotGetHealthyIsTakenBackAndNotTriedAgainSoon) {
  Cluster c;
  c.web.staying = c.web.healthy = {{1, 4}, {5, 2}};
  c.web.target = {{1, 3}, {5, 2}, {6, 1}};
  for (int i = 0; i < 62; ++i) c.Obey(6);
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 4}, {5, 2}, {6, 0}}));
  c.now += 60s;
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 4}, {5, 2}, {6, 0}}));
}

TEST(Division, AVanishedRegionsShareIsTheOthersAtOnce) {
  Cluster c;
  c.Obey();
  c.regions = {1, 5};
  c.web.target = {{1, 3}, {5, 3}};
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 3}, {5, 3}}));
}

TEST(Division, OfASingletonThatPausesOnlyAfterAWait) {
  Cluster c;
  c.web.wanted = 1;
  c.web.hold = 20s;
  c.web.target = c.web.staying = c.web.healthy = {{5, 1}};
  c.Told();
  c.regions = {1, 6};
  c.web.target = {{1, 1}};
  c.web.staying = c.web.healthy = {};
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 0}, {6, 0}}));
  EXPECT_EQ(c.division.NextDeadline(), c.now + 20s);
  c.now += 20s;
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 1}, {6, 0}}));
}

TEST(Division, WhatARegionHasNoRoomForIsAnothersAtOnce) {
  Cluster c;
  c.Obey();
  c.web.staying[5] = c.web.healthy[5] = 1;
  c.web.missing[5] = 1;
  c.web.target = {{1, 3}, {5, 1}, {6, 2}};
  EXPECT_EQ(c.Told(), (CountByRegion{{1, 3}, {5, 1}, {6, 2}}));
}

// Whatever is wanted and wherever it should be, shares add up in the end, and on the way no healthy one is
// let go that is needed.
TEST(Division, IsConservedInAnyCourse) {
  Prng prng(3);
  for (int run = 0; run < 200; ++run) {
    Cluster c;
    c.web.wanted = 0;
    c.web.target = {};
    for (int step = 0; step < 40; ++step) {
      if (step < 20 && prng.Chance(0.3)) {
        c.web.wanted = static_cast<std::uint32_t>(prng.Below(12));
        c.web.target = {};
        for (std::uint32_t i = 0; i < c.web.wanted; ++i)
          ++c.web.target[c.regions[prng.Below(c.regions.size())]];
      }
      if (step < 20 && prng.Chance(0.1)) {
        const RegionId ill = c.regions[prng.Below(c.regions.size())];
        c.web.healthy[ill] = std::min<std::uint32_t>(c.web.healthy[ill], 1);
      }
      const std::uint32_t before = c.Healthy();
      c.Obey();
      ASSERT_GE(c.Healthy(), std::min(before, c.web.wanted));
      c.now += 1s;
    }
    std::uint32_t sum = 0;
    for (const auto& [region, share] : c.Told()) {
      ASSERT_EQ(share, c.web.target[region]) << "run " << run;
      sum += share;
    }
    ASSERT_EQ(sum, c.web.wanted);
  }
}

}  // namespace
}  // namespace hs
