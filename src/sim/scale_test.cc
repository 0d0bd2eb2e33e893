#include "sim/scale.h"

#include <gtest/gtest.h>

namespace hs::sim {
namespace {

ScaleResult Scaled(std::size_t nodes, std::uint64_t seed, std::size_t parts = 1) {
  ScaleOptions options;
  options.nodes = nodes;
  options.seed = seed;
  options.parts = parts;
  options.steady_for = 20s;
  return RunScale(options);
}

TEST(Scale, NodesPoweredOnAtOnceAgreeAndAgreeAgainAfterLossesAndACut) {
  const ScaleResult result = Scaled(48, 3);
  ASSERT_TRUE(result.Converged());
  EXPECT_LT(*result.joined, 10s);
  EXPECT_LT(*result.killed, 20s);
  EXPECT_LT(*result.parted, 30s);
  EXPECT_LT(*result.healed, 20s);
  EXPECT_EQ(result.accused, 0u) << "one lost datagram in a hundred";
}

TEST(Scale, WhatANodeSendsInPeaceDoesNotGrowWithTheCluster) {
  const ScaleResult few = Scaled(16, 1);
  const ScaleResult many = Scaled(96, 1);
  EXPECT_GT(few.steady_bytes, 100);
  EXPECT_LT(many.steady_bytes, 1.5 * few.steady_bytes);
}

TEST(Scale, SameSeedSameCourse) {
  const ScaleResult first = Scaled(12, 5);
  const ScaleResult again = Scaled(12, 5);
  EXPECT_EQ(first.digest, again.digest);
  EXPECT_EQ(first.steps, again.steps);
  EXPECT_NE(first.digest, Scaled(12, 6).digest);
}

TEST(Scale, TheCourseIsTheSameInAnyNumberOfParts) {
  const ScaleResult one = Scaled(24, 7);
  for (const std::size_t parts : {2, 3}) {
    const ScaleResult many = Scaled(24, 7, parts);
    EXPECT_EQ(one.digest, many.digest) << parts;
    EXPECT_EQ(one.steps, many.steps) << parts;
  }
}

}  // namespace
}  // namespace hs::sim
