#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "wire/compose/compose.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

Result<ComposeFile> Parse(const std::string& lines) {
  std::string text = "services:\n  a:\n    command: run\n";
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) text += "    " + line + "\n";
  return ParseCompose(text, "c.yaml", {{}, "stack"});
}

TEST(ComposeScale, ReadsEveryTarget) {
  const struct {
    const char* lines;
    ScaleSpec scale;
    const char* why;
  } rows[] = {
      {"x-scale: {max: 5}", {.min = 1, .max = 5}, "one replica is the least"},
      {"x-scale: {min: 2, max: 20, target: automatic}", {.min = 2, .max = 20}, "the default, said"},
      {"x-scale: {max: 5, target: {in-flight: 8}}",
       {.min = 1, .max = 5, .target = ScaleTarget::kInFlight, .value = 8},
       ""},
      {"x-scale: {max: 5, target: {cpu: 60%}}",
       {.min = 1, .max = 5, .target = ScaleTarget::kCpu, .value = 0.6},
       "percent as people write it"},
      {"x-scale: {max: 5, target: {cpu: 0.6}}",
       {.min = 1, .max = 5, .target = ScaleTarget::kCpu, .value = 0.6},
       ""},
      {"x-scale: {max: 5, target: {metric: jobs:waiting, value: 30, path: /m}}",
       {.min = 1,
        .max = 5,
        .target = ScaleTarget::kMetric,
        .value = 30,
        .metric = "jobs:waiting",
        .metric_path = "/m"},
       ""},
  };
  for (const auto& row : rows) {
    const auto file = Parse(row.lines);
    ASSERT_TRUE(file) << row.lines << ": " << file.error().message;
    ASSERT_TRUE(file->stack.services.at(0).scale) << row.lines;
    EXPECT_EQ(*file->stack.services.at(0).scale, row.scale) << row.lines << " " << row.why;
  }
}

TEST(ComposeScale, StartsFromTheMinimumOrFromDeployReplicas) {
  EXPECT_EQ(Parse("x-scale: {min: 3, max: 9}")->stack.services.at(0).replicas, 3u);
  EXPECT_EQ(Parse("x-scale: {min: 3, max: 9}\ndeploy: {replicas: 4}")->stack.services.at(0).replicas, 4u);
}

TEST(ComposeScale, ReadsWhatAPartOfACutClusterMayDo) {
  EXPECT_TRUE(Parse("x-scale: {max: 5, strict: true}")->stack.services.at(0).scale->strict);
  EXPECT_EQ(Parse("x-singleton: pause")->stack.services.at(0).singleton, Singleton::kPause);
  EXPECT_EQ(Parse("x-singleton: run-both\ndeploy: {replicas: 1}")->stack.services.at(0).singleton,
            Singleton::kRunBoth);
  EXPECT_EQ(Parse("x-move: never")->stack.services.at(0).singleton, Singleton::kNone);
}

TEST(ComposeScale, SaysWhereAndWhatIsWrong) {
  const struct {
    const char* lines;
    const char* message;
  } rows[] = {
      {"x-scale: 5", "services.a.x-scale"},
      {"x-scale: {min: 2}", "has no max"},
      {"x-scale: {min: 5, max: 2}", "c.yaml:4:23: services.a.x-scale.max: max 2 is below min 5"},
      {"x-scale: {min: 0, max: 2}", "services.a.x-scale.min"},
      {"x-scale: {min: one, max: 2}", "services.a.x-scale.min"},
      {"x-scale: {max: 2, target: cpu}", "\"cpu\" is not a target"},
      {"x-scale: {max: 2, target: {latency: 5}}", "services.a.x-scale.target.latency"},
      {"x-scale: {max: 2, target: {cpu: 70%, in-flight: 3}}", "needs one of in-flight, cpu or metric"},
      {"x-scale: {max: 2, target: {cpu: lots}}", "\"lots\" is not a number above 0"},
      {"x-scale: {max: 2, target: {cpu: -1}}", "\"-1\" is not a number above 0"},
      {"x-scale: {max: 2, target: {cpu: nan}}", "\"nan\" is not a number above 0"},
      {"x-scale: {max: 2, target: {cpu: 70}}", "a share of what a replica reserves"},
      {"x-scale: {max: 2, target: {metric: q}}", "needs a value"},
      {"x-scale: {max: 2, target: {metric: 9q, value: 1}}", "is not the name of a metric"},
      {"x-scale: {max: 2, target: {in-flight: 3, path: /m}}", "belong to a metric"},
      {"x-scale: {max: 2, target: {metric: q, value: 1, path: m}}", "must be a path"},
      {"x-scale: {min: 2, max: 4}\ndeploy: {replicas: 7}",
       "runs from 2 to 4 replicas, but deploy.replicas is 7"},
      {"x-priority: 1001", "services.a.x-priority"},
      {"x-priority: high", "services.a.x-priority"},
      {"x-move: sometimes", "must be never, or left out"},
      {"x-scale: {max: 2, strict: perhaps}", "services.a.x-scale.strict"},
      {"x-singleton: fence", "comes with etcd in a later release"},
      {"x-singleton: both", "is not run-both or pause"},
      {"x-singleton: pause\ndeploy: {replicas: 2}", "is one replica, but deploy.replicas is 2"},
      {"x-singleton: pause\nx-scale: {max: 2}", "does not go with x-scale"},
  };
  for (const auto& row : rows) {
    const auto file = Parse(row.lines);
    ASSERT_FALSE(file) << row.lines << " was accepted";
    EXPECT_THAT(file.error().message, HasSubstr(row.message)) << row.lines;
  }
}

}  // namespace
}  // namespace hs
