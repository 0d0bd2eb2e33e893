// Paths that lose some of what is sent over them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/routing/routing_fixture_test.h"

namespace hs {
namespace {

using ::testing::IsEmpty;

TEST_F(RoutingTest, WhatANetworkLosesIsTakenForNoCut) {
  for (const double loss : {0.02, 0.1}) {
    SCOPED_TRACE(loss);
    loss_ = loss;
    members_ = {};
    routings_.clear();
    queue_.clear();
    Start(5);
    WatchAll(5);
    Run(60s);  // to find out what it loses
    changes_.clear();
    std::size_t direct = 0;
    for (int second = 0; second < 600; ++second) {
      Run(1s);
      for (int n = 1; n <= 5; ++n) direct += 4 - routings_.at(n).Detours().size();
    }
    EXPECT_GT(direct, 600 * 20 * 99 / 100);
    EXPECT_LT(changes_.size(), 40u) << "of about 48,000 questions";
  }
}

TEST_F(RoutingTest, ACutIsFoundOnAPathThatLosesSomeToo) {
  loss_ = 0.1;
  Start(4);
  WatchAll(4);
  Run(60s);
  loss_ = 0;
  for (const auto& pair : {std::pair(1, 3), {1, 4}, {2, 3}, {2, 4}, {3, 4}}) losses_[pair] = 0.02;
  Cut(1, 2);
  Run(3s);
  EXPECT_FALSE(Way(1, 2).empty());
  EXPECT_FALSE(Way(2, 1).empty());
  Mend(1, 2);
  Run(15s);
  EXPECT_THAT(Way(1, 2), IsEmpty());
}

TEST_F(RoutingTest, APathThatLosesMostIsGoneRound) {
  Start(3);
  losses_[{1, 2}] = 0.5;
  WatchAll(3);
  Run(60s);
  int detours = 0;
  for (int second = 0; second < 200; ++second) {
    Run(1s);
    detours += Way(1, 2).empty() ? 0 : 1;
  }
  EXPECT_GT(detours, 180);
}

}  // namespace
}  // namespace hs
