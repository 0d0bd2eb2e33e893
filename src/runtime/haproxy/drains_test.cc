#include "runtime/haproxy/drains.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

DoorTable Draining(std::vector<PublishedPort> ports = {}) {
  DoorService web{.name = "web", .ports = std::move(ports)};
  web.local = {{.name = "r1", .state = ServerState::kDrain}, {.name = "r2"}};
  return {{web}};
}

class DrainWatchTest : public ::testing::Test {
 protected:
  // Looks every 250 ms for so long; what is told at the end.
  std::vector<DrainWatch::Replica> Look(Duration span, const std::vector<ServerCount>& counts) {
    std::vector<DrainWatch::Replica> told;
    for (const Time end = now_ + span; now_ < end;) {
      now_ += 250ms;
      for (auto& replica : watch_.Step(now_, counts)) told.push_back(replica);
    }
    return told;
  }
  static ServerCount Count(const std::string& backend, std::uint32_t inside, std::uint32_t queued = 0) {
    return {.backend = backend, .server = "r1", .queued = queued, .inside = inside};
  }
  static ServerCount Sum(const std::string& backend) {
    return {.backend = backend, .server = "BACKEND", .queued = 7, .inside = 9};
  }

  Time now_{100s};
  DrainWatch watch_;
};

TEST_F(DrainWatchTest, WhoIsQuietForASecondIsToldOnce) {
  watch_.Take(Draining());
  EXPECT_EQ(watch_.Question(), "show proc;@1 show stat in_web 6 -1");
  EXPECT_THAT(Look(1s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
  watch_.Take(Draining());  // a table with other news
  EXPECT_THAT(Look(250ms, {Sum("in_web"), Count("in_web", 0)}), ElementsAre(Pair("web", "r1")));
  EXPECT_THAT(Look(5s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
}

TEST_F(DrainWatchTest, WhateverIsInItsHandsStartsTheSecondAgain) {
  const struct {
    const char* why;
    std::vector<ServerCount> counts;
  } rows[] = {
      {"a request is inside", {Sum("in_web"), Count("in_web", 1)}},
      {"a request waits for it", {Sum("in_web"), Count("in_web", 0, 1)}},
      {"HAProxy says nothing of it", {}},
      {"only others are told", {Sum("in_zoo"), Count("in_zoo", 0)}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.why);
    watch_ = {};
    watch_.Take(Draining());
    EXPECT_THAT(Look(1s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
    EXPECT_THAT(Look(5s, row.counts), IsEmpty());
    EXPECT_THAT(Look(1s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
    EXPECT_THAT(Look(250ms, {Sum("in_web"), Count("in_web", 0)}), ElementsAre(Pair("web", "r1")));
  }
  watch_ = {};
  watch_.Take(Draining());
  Look(1s, {Sum("in_web"), Count("in_web", 0)});
  watch_.Missed();
  EXPECT_THAT(Look(1s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
}

TEST_F(DrainWatchTest, WhoIsNotThereHasNothing) {
  watch_.Take(Draining());
  EXPECT_THAT(Look(1250ms, {Sum("in_web")}), ElementsAre(Pair("web", "r1")));
}

TEST_F(DrainWatchTest, ConnectionsOfPlainTcpCountAsWell) {
  watch_.Take(Draining({{9000, false}}));
  EXPECT_EQ(watch_.Question(), "show proc;@1 show stat in_web 6 -1;@1 show stat int_web 6 -1");
  EXPECT_THAT(Look(5s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
  EXPECT_THAT(Look(5s, {Sum("in_web"), Count("in_web", 0), Sum("int_web"), Count("int_web", 1)}), IsEmpty());
  EXPECT_THAT(Look(2s, {Sum("in_web"), Count("in_web", 0), Sum("int_web"), Count("int_web", 0)}),
              ElementsAre(Pair("web", "r1")));
}

TEST_F(DrainWatchTest, WhereThePortsOfPlainTcpAreGoneNobodyCountsAsIdle) {
  DoorTable before = Draining({{5432, false}});
  before.services[0].local[0].state = ServerState::kReady;
  watch_.Take(before);
  for (int table = 0; table < 2; ++table) {
    watch_.Take(Draining());  // the service was removed, and its ports with it
    EXPECT_THAT(Look(5s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
  }
}

TEST_F(DrainWatchTest, ADrainThatIsTakenBackBeginsAnewTheNextTime) {
  watch_.Take(Draining());
  Look(1s, {Sum("in_web"), Count("in_web", 0)});
  DoorTable ready = Draining();
  ready.services[0].local[0].state = ServerState::kReady;
  watch_.Take(ready);
  EXPECT_TRUE(watch_.empty());
  watch_.Take(Draining());
  EXPECT_THAT(Look(1s, {Sum("in_web"), Count("in_web", 0)}), IsEmpty());
}

}  // namespace
}  // namespace hs
