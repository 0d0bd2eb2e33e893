#include "bench/elasticity/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

namespace hs::elasticity {
namespace {

std::string Write(const std::string& text) {
  const std::string path = testing::TempDir() + "elasticity_trace_test.csv";
  std::ofstream(path) << text;
  return path;
}
const std::string kHead = "second,requests_per_second\n";

TEST(Trace, BadInputNamesFileAndLine) {
  struct Case {
    const char* why;
    std::string text, says;
  };
  const Case cases[] = {
      {"empty", "", "holds no load"},
      {"only a head", kHead, "holds no load"},
      {"another head", "time,load\n0,1\n", ":1: the first line must be"},
      {"text", kHead + "0,1\n1,many\n", ":3: requests_per_second 'many' is not a number"},
      {"not a number", kHead + "0,1\n1,nan\n", ":3: requests_per_second 'nan'"},
      {"a half number", kHead + "0,1\n1,2x\n", ":3: requests_per_second '2x'"},
      {"negative", kHead + "0,1\n1,-2\n", ":3: requests_per_second is negative"},
      {"a fraction of a second", kHead + "0,1\n0.5,2\n", ":3: second '0.5'"},
      {"backwards", kHead + "1,1\n0,2\n", ":3: second 0 does not follow 1"},
      {"a gap", kHead + "0,1\n1,1\n4,1\n", ":4: a gap: seconds 2 to 3 are missing"},
      {"off the step", kHead + "0,1\n60,1\n130,1\n", ":4: second 130 is off the trace's step of 60 s"},
      {"three columns", kHead + "0,1,2\n", ":2: must be two numbers"},
      {"an empty line", kHead + "0,1\n\n1,1\n", ":3: is empty"},
      {"all zero", kHead + "0,0\n1,0\n", "every row is 0"},
      {"longer than anybody means", kHead + "0,1\n999999999,1\n", "longer than 7 days"},
  };
  for (const Case& c : cases) {
    const auto trace = ReadTrace(Write(c.text), false);
    ASSERT_FALSE(trace) << c.why;
    EXPECT_THAT(trace.error().message, testing::HasSubstr(c.says)) << c.why;
    EXPECT_THAT(trace.error().message, testing::HasSubstr("elasticity_trace_test.csv")) << c.why;
  }
  EXPECT_FALSE(ReadTrace("/nowhere/at/all.csv", false));
}

TEST(Trace, SecondsAreTakenAsTheyAreAndGapsFilledOnlyWhenSaid) {
  EXPECT_EQ(ReadTrace(Write(kHead + "0,1\n1,0\n2,5\n"), false)->rate, (std::vector<double>{1, 0, 5}));
  EXPECT_EQ(ReadTrace(Write(kHead + "0,1\n1,2\n4,5\n"), true)->rate, (std::vector<double>{1, 2, 3, 4, 5}));
}

TEST(Trace, MeansOfMinutesBecomeSecondsWithTheSameMeanWhereTheyAreStraight) {
  const auto trace = ReadTrace(Write(kHead + "0,60\n60,120\n120,180\n180,240\n"), false);
  ASSERT_EQ(trace->rate.size(), 240u);
  const double middle = std::accumulate(trace->rate.begin() + 60, trace->rate.begin() + 120, 0.0) / 60;
  EXPECT_NEAR(middle, 120, 0.5);
  for (std::size_t i = 1; i < trace->rate.size(); ++i) {
    EXPECT_LE(std::abs(trace->rate[i] - trace->rate[i - 1]), 1.01) << "no jumps at the seams";
  }
}

TEST(Trace, TheHeldOutOnesComeFromTheSeed) {
  const auto one = HeldOutTraces(1, {}), same = HeldOutTraces(1, {}), other = HeldOutTraces(2, {});
  ASSERT_EQ(one.size(), same.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].rate, same[i].rate);
  EXPECT_NE(one[0].rate, other[0].rate);
}

}  // namespace
}  // namespace hs::elasticity
