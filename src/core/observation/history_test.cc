#include "core/observation/history.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hs {
namespace {

constexpr std::int64_t kBegin = 3'600'000;

Time At(std::int64_t second) { return Time(std::chrono::seconds(kBegin + second)); }

TEST(History, GivesBackWhatWasAddedSecondBySecond) {
  History history;
  for (int i = 0; i < 10; ++i) history.Add(At(i) + 300ms, "cpu", i);
  const auto points = history.Range("cpu", At(3), At(5), 1s);
  EXPECT_EQ(points, (std::vector<HistoryPoint>{{At(3), 3, 3}, {At(4), 4, 4}, {At(5), 5, 5}}));
  EXPECT_TRUE(history.Range("disk", At(0), At(9), 1s).empty());
  EXPECT_TRUE(history.Range("cpu", At(5), At(3), 1s).empty());
}

TEST(History, AStepHasTheMeanAndTheMaximumOfItsSeconds) {
  History history;
  for (int i = 0; i < 10; ++i) history.Add(At(i), "cpu", i);
  const auto points = history.Range("cpu", At(0), At(8), 4s);
  EXPECT_EQ(points, (std::vector<HistoryPoint>{{At(0), 1.5, 3}, {At(4), 5.5, 7}, {At(8), 8, 8}}));
}

TEST(History, SecondsWithoutAValueHaveNoPointAndDoNotCountAsZero) {
  History history;
  history.Add(At(0), "cpu", 4);
  history.Add(At(7), "cpu", 8);
  EXPECT_EQ(history.Range("cpu", At(0), At(9), 1s).size(), 2U);
  const auto points = history.Range("cpu", At(0), At(9), 10s);
  ASSERT_EQ(points.size(), 1U);
  EXPECT_EQ(points[0].mean, 6);
}

TEST(History, KeepsExactlyAnHour) {
  History history;
  for (int i = 0; i < 10'000; ++i) history.Add(At(i), "cpu", i);
  const auto points = history.Range("cpu", At(0), At(20'000), 1s);
  ASSERT_EQ(points.size(), 3600U);
  EXPECT_EQ(points.front().mean, 6400);
  EXPECT_EQ(points.back().mean, 9999);
  history.Add(At(6000), "cpu", 1);
  EXPECT_EQ(history.Range("cpu", At(0), At(20'000), 1s).size(), 3600U) << "too old to be taken";
}

TEST(History, AGapOfHoursLeavesNothingOldBehind) {
  History history;
  for (int i = 0; i < 3600; ++i) history.Add(At(i), "cpu", 1);
  history.Add(At(3600 * 4 + 90), "cpu", 2);  // within a block that held old values
  const auto points = history.Range("cpu", At(0), At(3600 * 5), 1s);
  ASSERT_EQ(points.size(), 1U);
  EXPECT_EQ(points[0].mean, 2);
}

TEST(History, TheSecondValueOfASecondReplacesTheFirst) {
  History history;
  history.Add(At(1), "cpu", 1);
  history.Add(At(1) + 900ms, "cpu", 2);
  EXPECT_EQ(history.Range("cpu", At(0), At(2), 1s), (std::vector<HistoryPoint>{{At(1), 2, 2}}));
}

TEST(History, WhatIsNotFiniteIsLeftOut) {
  History history;
  history.Add(At(1), "cpu", std::numeric_limits<double>::quiet_NaN());
  history.Add(At(2), "cpu", std::numeric_limits<double>::infinity());
  history.Add(At(3), "cpu", 1e300);  // beyond a float
  EXPECT_TRUE(history.Range("cpu", At(0), At(9), 1s).empty());
}

TEST(History, TheLeastRecentlyWrittenMakesRoomAndIsCounted) {
  History history(2);
  history.Add(At(0), "a", 1);
  history.Add(At(20), "b", 1);
  history.Add(At(25), "a", 1);
  history.Add(At(40), "c", 1);
  EXPECT_EQ(history.Series(), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(history.dropped(), 1U);
  EXPECT_EQ(history.refused(), 0U);
}

TEST(History, SeriesInUseDoNotThrowEachOtherOut) {
  History history(2);
  for (int i = 0; i < 100; ++i) {
    for (const char* name : {"a", "b", "c"}) history.Add(At(i), name, i);
  }
  EXPECT_EQ(history.Series(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(history.dropped(), 0U);
  EXPECT_EQ(history.refused(), 100U);
  EXPECT_EQ(history.Range("a", At(0), At(100), 1s).size(), 100U);
}

TEST(History, ASeriesOfAnHourAgoIsNotListed) {
  History history;
  history.Add(At(0), "old", 1);
  history.Add(At(3601), "new", 1);
  EXPECT_EQ(history.Series(), std::vector<std::string>{"new"});
}

TEST(History, MemoryIsBoundedAsStated) {
  History history(3);
  for (int i = 0; i < 20'000; ++i) {
    for (const char* name : {"a", "b", "c"}) history.Add(At(i), name, i);
  }
  EXPECT_LE(history.bytes(), 3U * 15'450U);
  EXPECT_GE(history.bytes(), 3U * 3600U * sizeof(float));
  History young;
  young.Add(At(0), "a", 1);
  EXPECT_LT(young.bytes(), 1200U);
}

TEST(History, ARangeOfAllTimeIsBoundedWork) {
  History history;
  history.Add(At(0), "cpu", 1);
  EXPECT_EQ(history.Range("cpu", Time{}, kNever, 1s).size(), 1U);
  EXPECT_EQ(history.Range("cpu", Time{}, kNever, 0s).size(), 1U);
  EXPECT_EQ(history.Range("cpu", Time::min(), kNever, Duration::max()).size(), 1U);
}

}  // namespace
}  // namespace hs
