// One seed, one life of a cluster: everything about it is drawn from the seed, faults and people work on it
// for a while (safety phase), then everything is healed and it must converge (liveness phase).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace hs::sim {

struct SwarmOptions {
  std::size_t hosts_min = 5;
  std::size_t hosts_max = 9;
  Duration faults_for = 60s;
  Duration fault_gap = 3s;  // mean time between faults
  Duration write_gap = 4s;  // mean time between people's writes
  Duration converge_within = 180s;
  bool random_tunables = true;
  double garbage = 0.25;     // share of the seeds that start from random garbage
  double regions = 0.25;     // share of the seeds in which so few boxes make several regions
  bool keep_events = false;  // every event of every node, in SwarmResult::events
};

struct SwarmResult {
  std::uint64_t seed = 0;
  std::size_t hosts = 0;
  std::uint64_t digest = 0;  // equal on every run of the same seed and options
  std::uint64_t steps = 0;
  std::size_t acknowledged = 0;
  Duration converged_after{};
  std::vector<std::string> violations;  // of safety, and what was lost
  std::vector<std::string> not_converged;
  std::vector<std::string> faults;  // what was done to it, in order
  std::vector<std::string> events;

  bool Passed() const { return violations.empty() && not_converged.empty(); }
};

SwarmResult RunSeed(std::uint64_t seed, const SwarmOptions& options);

}  // namespace hs::sim
