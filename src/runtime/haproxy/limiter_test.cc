#include "runtime/haproxy/limiter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

DoorConfig Config() {
  DoorConfig config;
  config.dir = "/d";
  return config;
}

constexpr const char* kHead =
    "# "
    "pxname,svname,qcur,qmax,scur,smax,slim,stot,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,\n";

std::string Line(const std::string& server, int queued, int inside, int limit, int ok, int failed = 0) {
  return fmt::format("in_web,{},{},9,{},9,{},99,0,{},0,0,{},0,\n", server, queued, inside, limit, ok, failed);
}

TEST(Limiter, CountsAreReadByTheNamesOfTheirColumns) {
  const auto counts = ParseCounts(std::string(kHead) + "in_web,r1,,3,5,9,16,99,7,1,2,3,4,5,\n" + "\n" +
                                  kHead + "in_web,BACKEND,12,20,5,9,800,99,,,,,,,\n");
  ASSERT_TRUE(counts) << counts.error().message;
  ASSERT_EQ(counts->size(), 2U);
  EXPECT_EQ(counts->at(0).server, "r1");
  EXPECT_EQ(counts->at(0).inside, 5U);
  EXPECT_EQ(counts->at(0).limit, 16U);
  EXPECT_EQ(counts->at(0).answered, 15U) << "100 Continue is no answer";
  EXPECT_EQ(counts->at(1).queued, 12U);
}

TEST(Limiter, WhatIsNoCountIsRefused) {
  EXPECT_FALSE(ParseCounts("in_web,r1,0,0,5\n")) << "no head";
  EXPECT_FALSE(ParseCounts(std::string(kHead) + "in_web,r1,0,0\n"));
  EXPECT_FALSE(ParseCounts(std::string(kHead) + "in_web,r1,0,0,many,9,16,99,7,1,2,3,4,5,\n"));
  EXPECT_FALSE(ParseCounts("No such proxy.\n"));
}

TEST(Limiter, OneQuestionAsksForAllServices) {
  EXPECT_EQ(Limiter::Question({"api", "web"}), "@1 show stat in_api 6 -1;@1 show stat in_web 6 -1");
}

class Overloaded : public ::testing::Test {
 protected:
  // A tenth of a second in which r1 answers ten and has all it may have, with `queued` waiting.
  std::vector<std::string> Look(int queued, int answers = 10) {
    now_ += 100ms;
    answered_ += answers;
    const auto commands = limiter_.Step(
        now_, kHead + Line("r1", 0, told_, told_, answered_) + Line("BACKEND", queued, told_, 0, answered_));
    EXPECT_TRUE(commands);
    for (const std::string& command : *commands) {
      int limit = 0;
      if (std::sscanf(command.c_str(), "set maxconn server in_web/r1 %d", &limit) == 1) told_ = limit;
    }
    return *commands;
  }

  Limiter limiter_{Config()};
  Time now_{1s};
  int told_ = 16, answered_ = 1000;
};

TEST_F(Overloaded, AQueueThatStandsIsShortenedAndTheLimitFoundAndBothAreToldOnce) {
  EXPECT_THAT(Look(50), ElementsAre("set map /d/rooms.map web 100")) << "unknown what an earlier agent left";
  std::vector<std::string> all;
  for (int i = 0; i < 100; ++i) {
    for (const std::string& command : Look(50)) all.push_back(command);
  }
  EXPECT_THAT(all, Contains("set map /d/rooms.map web 5")) << "100 a second";
  EXPECT_THAT(all, Contains(StartsWith("set maxconn server in_web/r1 ")));
  EXPECT_LT(told_, 16);
  EXPECT_LT(all.size(), 60U);
  EXPECT_TRUE(limiter_.busy());
}

TEST_F(Overloaded, AFreshWorkerIsToldAgain) {
  for (int i = 0; i < 30; ++i) Look(50);
  const int before = told_;
  told_ = 16;      // what the configuration says
  answered_ = -5;  // and it counts from nothing
  const std::vector<std::string> commands = Look(50);
  EXPECT_THAT(commands, Contains(fmt::format("set maxconn server in_web/r1 {}", before)));
  EXPECT_THAT(commands, Contains(StartsWith("set map /d/rooms.map web ")));
}

TEST_F(Overloaded, AReplicaThatIsGoneIsForgotten) {
  for (int i = 0; i < 30; ++i) Look(50);
  ASSERT_TRUE(limiter_.Step(now_ += 100ms, kHead + Line("BACKEND", 0, 0, 0, answered_)));
  EXPECT_FALSE(limiter_.busy());
  told_ = 16;
  EXPECT_THAT(Look(0), Not(Contains(StartsWith("set maxconn")))) << "it starts anew";
}

TEST(Limiter, AnAnswerInWordsChangesNothing) {
  Limiter limiter(Config());
  EXPECT_FALSE(limiter.Step(Time{1s}, "No such proxy.\n"));
  const auto none = limiter.Step(Time{2s}, "");
  ASSERT_TRUE(none);
  EXPECT_THAT(*none, IsEmpty());
}

}  // namespace
}  // namespace hs
