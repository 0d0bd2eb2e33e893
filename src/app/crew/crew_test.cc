#include "app/crew/crew.h"

#include <gtest/gtest.h>

#include <numeric>

#include "sim/scale.h"

namespace hs {
namespace {

TEST(Crew, EveryRoundIsDoneByAllBeforeTheNextBegins) {
  constexpr std::size_t kSize = 3;
  Crew crew(kSize);
  ASSERT_EQ(crew.size(), kSize);
  std::vector<std::uint64_t> done(kSize, 0);
  for (std::uint64_t round = 1; round <= 2000; ++round) {
    // Each reads what its neighbour wrote in the round before.
    std::vector<std::uint64_t> before = done;
    crew.Do([&](std::size_t which) { done[which] = before[(which + 1) % kSize] + 1; });
    ASSERT_EQ(std::accumulate(done.begin(), done.end(), std::uint64_t{0}), kSize * round);
  }
}

TEST(Crew, WhoLayDownIsWoken) {
  Crew crew(2, 0);  // he does so at once
  std::vector<int> done(2, 0);
  for (int round = 0; round < 300; ++round) crew.Do([&](std::size_t which) { ++done[which]; });
  EXPECT_EQ(done, (std::vector<int>{300, 300}));
}

TEST(Crew, AWorldThatItWorksAtTakesTheSameCourse) {
  sim::ScaleOptions options;
  options.nodes = 300;  // large enough for all that only large clusters do
  options.steady_for = 5s;
  const sim::ScaleResult alone = sim::RunScale(options);
  Crew crew(2);
  options.parts = crew.size();
  options.together = [&](const Crew::Work& work) { crew.Do(work); };
  EXPECT_EQ(sim::RunScale(options).digest, alone.digest);
}

TEST(Crew, OneAloneNeedsNoThreads) {
  Crew crew(1);
  int done = 0;
  crew.Do([&](std::size_t which) { done += which == 0 ? 1 : 100; });
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace hs
