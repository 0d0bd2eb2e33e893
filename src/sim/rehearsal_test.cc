#include "sim/rehearsal.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hs::sim {
namespace {

RehearsalOptions Shop(std::vector<double> rate) {
  RehearsalOptions options;
  ServiceSpec web{.name = "web", .command = {"serve"}, .replicas = 2};
  web.scale = ScaleSpec{.min = 2, .max = 12};
  options.stack = {"shop", {web}};
  options.traffic = {.service = "web", .rate = std::move(rate)};
  options.nodes = 4;
  return options;
}

double Refused(const Rehearsal& rehearsal, std::size_t from, std::size_t to) {
  double refused = 0;
  for (std::size_t i = from; i < to; ++i) refused += rehearsal.seconds[i].traffic.refused;
  return refused;
}

TEST(Rehearsal, SteadyLoadMovesNothing) {
  const auto rehearsal = Rehearse(Shop(std::vector<double>(900, 100)));
  ASSERT_TRUE(rehearsal) << rehearsal.error().message;
  for (std::size_t i = 60; i < 900; ++i) {
    ASSERT_EQ(rehearsal->seconds[i].wanted, rehearsal->seconds[59].wanted) << "second " << i;
  }
  EXPECT_EQ(Refused(*rehearsal, 0, 900), 0);
}

TEST(Rehearsal, AStepIsFollowedUpAtOnceAndDownLater) {
  std::vector<double> rate(100, 50);
  rate.insert(rate.end(), 120, 600);
  rate.insert(rate.end(), 600, 50);
  const auto rehearsal = Rehearse(Shop(rate));
  ASSERT_TRUE(rehearsal) << rehearsal.error().message;
  const auto& seconds = rehearsal->seconds;
  EXPECT_GE(seconds[110].traffic.ready, 7) << "600 a second, 100 each, ten seconds after the step";
  EXPECT_EQ(Refused(*rehearsal, 115, 220), 0);
  const auto most = std::ranges::max(seconds, {}, &RehearsalSecond::wanted);
  EXPECT_LE(most.wanted, 12u) << "never above max";
  EXPECT_EQ(seconds.back().wanted, 2u) << "back at the minimum ten minutes after";
  EXPECT_FALSE(rehearsal->events.empty());
}

TEST(Rehearsal, LosingTheControllersBoxKeepsTheLevel) {
  auto options = Shop(std::vector<double>(300, 500));
  for (HostIndex node = 0; node < 2; ++node) options.changes.push_back({150s, node, false});
  const auto rehearsal = Rehearse(options);
  ASSERT_TRUE(rehearsal) << rehearsal.error().message;
  const std::uint32_t before = rehearsal->seconds[149].wanted;
  EXPECT_GE(before, 6u);
  for (std::size_t i = 150; i < 300; ++i) EXPECT_GE(rehearsal->seconds[i].wanted, before) << "second " << i;
  EXPECT_GE(rehearsal->seconds[299].traffic.ready, before);
}

TEST(Rehearsal, WhatCannotBePlacedIsSaid) {
  auto options = Shop({1, 1});
  options.stack.services[0].health = {.kind = HealthKind::kTcp};
  options.stack.services[0].environment = {{"SIM_BROKEN", "1"}};
  const auto rehearsal = Rehearse(options);
  ASSERT_FALSE(rehearsal);
  EXPECT_NE(rehearsal.error().message.find("does not get steady"), std::string::npos);
}

TEST(Rehearsal, TheSameSeedGivesTheSameCourse) {
  const auto one = Rehearse(Shop(std::vector<double>(60, 300)));
  const auto two = Rehearse(Shop(std::vector<double>(60, 300)));
  ASSERT_TRUE(one && two);
  for (std::size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(one->seconds[i].traffic.arrivals, two->seconds[i].traffic.arrivals);
    EXPECT_EQ(one->seconds[i].wanted, two->seconds[i].wanted);
  }
}

}  // namespace
}  // namespace hs::sim
