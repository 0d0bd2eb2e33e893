#include "bench/elasticity/world.h"

#include <gtest/gtest.h>

#include <numeric>

namespace hs::elasticity {
namespace {

class Fixed : public Policy {
 public:
  explicit Fixed(int level) : level_(level) {}
  int Decide(const std::vector<Second>&, int) override { return level_; }

 private:
  int level_;
};

Trace Constant(double rate, int seconds) {
  return {"constant", std::vector<double>(static_cast<std::size_t>(seconds), rate)};
}

TEST(Demand, IsWhatTheModelItselfNeeds) {
  // The formula against the simulation: one replica fewer must miss the objective, the demand must meet it.
  const ServiceTime service;
  const DemandTable table(service);
  for (const int replicas : {3, 10, 40}) {
    const Trace trace = Constant(table.RateMax(replicas) * 0.999, 1200);
    const auto arrivals = DrawArrivals(trace, service, table, DemandOf::kRate, 1);
    EXPECT_EQ(arrivals.demand.back(), replicas);
    Fixed enough(replicas), fewer(replicas - 1);
    EXPECT_LE(elasticity::Run(arrivals, service, 2, enough, replicas).p99_ms, 1.15 * 1000 * kObjective)
        << replicas;
    EXPECT_GT(elasticity::Run(arrivals, service, 2, fewer, replicas - 1).p99_ms, 1000 * kObjective)
        << replicas;
  }
}

TEST(Run, CountsWhatIsMissingAndWhatIsTooMuch) {
  const ServiceTime service;
  const DemandTable table(service);
  const auto arrivals = DrawArrivals(Constant(950, 100), service, table, DemandOf::kRate, 1);  // needs 10
  Fixed half(5), twice(20);
  const Score under = elasticity::Run(arrivals, service, 2, half, 5);
  EXPECT_NEAR(under.theta_u, 50, 1e-6);
  EXPECT_EQ(under.theta_o, 0);
  EXPECT_NEAR(under.tau_u, 100, 1e-6);
  EXPECT_NEAR(under.refused / under.requests, 1 - 500.0 / 950, 0.02)
      << "half of the power serves half of the load";
  const Score over = elasticity::Run(arrivals, service, 2, twice, 20);
  EXPECT_NEAR(over.theta_o, 100, 1e-6);
  EXPECT_EQ(over.refused, 0);
  EXPECT_EQ(over.changes, 0);
  EXPECT_EQ(over.instability, 0);
  EXPECT_NEAR(over.replica_seconds, 2000, 1e-6);
}

TEST(Optimum, KeepsAReplicaOverAGapOnlyWhenThatIsCheaper) {
  std::vector<int> demand(kWarmUp, 1);
  for (const int d : {1, 3, 1, 1, 3, 1, 1, 1, 1, 1, 3}) demand.push_back(d);
  struct Case {
    const char* why;
    double startup_s;
    double cost;
  };
  const Case cases[] = {
      {"starts are free: as many as needed in each second", 0, 17},
      {"two seconds of two replicas cost as much as two starts of 2 s, kept; five cost more, not kept", 2,
       17 + 2 * 2 + 2 * 2 * 2},
      {"starts of 20 s: kept over every gap", 20, 17 + 2 * 2 + 2 * 5 + 2 * 20},
  };
  for (const Case& c : cases)
    EXPECT_NEAR(Optimum(demand, c.startup_s).replica_seconds, c.cost, 1e-9) << c.why;
}

TEST(Policies, MeetTheirDocumentedSteadyStates) {
  // 20 replicas' worth of load: HPA and KPA aim at 70 % of use, so near 29; all without moving about.
  const ServiceTime service;
  const DemandTable table(service);
  const auto arrivals = DrawArrivals(Constant(2000, 1800), service, table, DemandOf::kRate, 1);
  const auto hpa = MakeHpa(), kpa = MakeKpa(), ours = MakeHomeostat(2, 21);
  EXPECT_NEAR(elasticity::Run(arrivals, service, 2, *hpa, 21).replica_seconds / 1800, 28.6, 3);
  EXPECT_NEAR(elasticity::Run(arrivals, service, 2, *kpa, 21).replica_seconds / 1800, 28.6, 1.5);
  const Score score = elasticity::Run(arrivals, service, 2, *ours, 21);
  EXPECT_EQ(score.changes, 0);
  EXPECT_LT(score.replica_seconds / 1800, 23);
  EXPECT_EQ(score.theta_u, 0);
}

}  // namespace
}  // namespace hs::elasticity
