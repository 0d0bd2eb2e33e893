#include "runtime/sense/prometheus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::HasSubstr;

TEST(Prometheus, FindsTheNumber) {
  const struct {
    const char* text;
    double value;
    const char* why;
  } kRows[] = {
      {"queue 7\n", 7, "plain"},
      {"queue 7", 7, "without an end of line"},
      {"# HELP queue how long\n# TYPE queue gauge\nqueue 7.5\n", 7.5, "after comments"},
      {"queue\t7 1395066363000\r\n", 7, "a tab, a timestamp, a line end of another world"},
      {"queue_total 9\nqueue 3\nqueue2 4\n", 3, "longer names are others"},
      {"queue{name=\"a\"} 3\nqueue{name=\"b\"} 4\n", 7, "rows add up"},
      {"queue{name=\"a } \\\" b\"} 1e3\n", 1000, "labels may hold anything"},
      {"queue 0\n", 0, "zero is a number"},
      {"queue 12", 12, "cut off behind the number nobody can tell"},
  };
  for (const auto& row : kRows) {
    const auto value = FindMetric(row.text, "queue");
    ASSERT_TRUE(value) << row.why << ": " << value.error().message;
    EXPECT_DOUBLE_EQ(*value, row.value) << row.why;
  }
}

TEST(Prometheus, WhatIsNoNumberIsNeverZero) {
  const struct {
    std::string_view text;
    const char* says;
  } kRows[] = {
      {"", "empty"},
      {" \n\r\n", "empty"},
      {"other 1\n", "there is no metric queue"},
      {"# queue 5\n", "there is no metric queue"},
      {"<html>queue 5</html>", "there is no metric queue"},
      {"queue NaN\n", "'NaN', which is no number"},
      {"queue +Inf\n", "'+Inf', which is no number"},
      {"queue -1\n", "'-1', which is no number"},
      {"queue many\n", "'many', which is no number"},
      {"queue 5x\n", "'5x', which is no number"},
      {"queue 1e999\n", "'1e999', which is no number"},
      {"queue 1\nqueue NaN\n", "'NaN', which is no number"},
      {"queue{a=\"b\"\n", "labels of queue do not end"},
      {"queue{a=\"b\"}\n", "'', which is no number"},
      {"queue \x1b[31mred\n", "'?[31mred', which is no number"},
      {"queue 1e300\n", "beyond all bounds"},
      {std::string_view("queue 5\0\n", 9), "no number"},
  };
  for (const auto& row : kRows) {
    const auto value = FindMetric(row.text, "queue");
    ASSERT_FALSE(value) << row.text;
    EXPECT_THAT(value.error().message, HasSubstr(row.says));
  }
}

}  // namespace
}  // namespace hs
