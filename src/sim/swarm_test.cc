#include "sim/swarm.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/prng.h"

namespace hs::sim {
namespace {

std::string Explain(const SwarmResult& result) {
  std::string text = "seed " + std::to_string(result.seed) + ", " + std::to_string(result.hosts) + " hosts\n";
  for (const auto& line : result.violations) text += "violation: " + line + "\n";
  for (const auto& line : result.not_converged) text += "not converged: " + line + "\n";
  for (const auto& line : result.faults) text += "fault: " + line + "\n";
  return text;
}

TEST(Swarm, EverySeedKeepsItsPromisesAndConverges) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const SwarmResult result = RunSeed(seed, {});
    EXPECT_TRUE(result.Passed()) << Explain(result);
    EXPECT_GT(result.acknowledged, 0u) << "people must have got something done in seed " << seed;
  }
}

TEST(Swarm, TheSameSeedLivesTheSameLife) {
  SwarmOptions options;
  options.faults_for = 20s;
  const SwarmResult first = RunSeed(42, options);
  const SwarmResult second = RunSeed(42, options);
  EXPECT_EQ(first.digest, second.digest);
  EXPECT_EQ(first.steps, second.steps);
  EXPECT_NE(first.digest, RunSeed(43, options).digest);
}

}  // namespace
}  // namespace hs::sim
