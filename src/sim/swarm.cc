#include "sim/swarm.h"

#include <algorithm>

#include "sim/checkers.h"
#include "sim/faults.h"
#include "sim/world.h"

namespace hs::sim {
namespace {

WorldOptions DrawWorld(std::uint64_t seed, const SwarmOptions& options, Prng& prng) {
  WorldOptions world;
  world.seed = seed;
  world.hosts = options.hosts_min + prng.Below(options.hosts_max - options.hosts_min + 1);
  if (options.random_tunables) world.tunables = RandomTunables(prng);
  world.network.latency_min = prng.Between(50us, 500us);
  world.network.latency_max =
      world.network.latency_min + prng.Between(100us, prng.Chance(0.2) ? Duration(30ms) : Duration(2ms));
  if (prng.Chance(0.5)) world.zones = {"a", "b", "c"};
  return world;
}

class EventKeeper : public Watcher {
 public:
  explicit EventKeeper(std::vector<std::string>& events) : events_(events) {}
  void OnOutput(Time now, const Host& host, const Output& output) override {
    const auto* emit = std::get_if<EmitEvent>(&output);
    if (emit == nullptr) return;
    events_.push_back(std::to_string(ToSeconds(now.time_since_epoch()) - 3600) + " s, " + host.meta.name +
                      ": " + emit->event.kind + " " + emit->event.subject + ": " + emit->event.cause);
  }

 private:
  std::vector<std::string>& events_;
};

// Starts every agent, one after the other, and waits until they know each other.
void Boot(World& world, Prng& prng) {
  for (HostIndex i = 0; i < world.size(); ++i) {
    world.StartAgent(i);
    world.RunFor(prng.Between(1ms, 300ms));
  }
  world.RunUntilTrue(60s, [&] { return Converged(world, false); });
}

}  // namespace

SwarmResult RunSeed(std::uint64_t seed, const SwarmOptions& options) {
  Prng prng(seed);
  World world(DrawWorld(seed, options, prng));
  SafetyChecker safety(world);
  world.Watch(&safety);
  Ledger ledger(world);

  SwarmResult result;
  EventKeeper keeper(result.events);
  if (options.keep_events) world.Watch(&keeper);
  result.seed = seed;
  result.hosts = world.size();
  Boot(world, prng);

  FaultInjector faults(world, FaultInjector::RandomSubset(prng), options.fault_gap, prng.Fork());
  Workload people(world, ledger, prng.Fork());
  const Time safety_end = world.now() + options.faults_for;
  faults.Schedule(safety_end);
  people.Schedule(safety_end, options.write_gap);
  world.RunUntil(safety_end);

  world.HealEverything();
  world.RunFor(30s);  // what was held up arrives; clocks are believed again
  people.Settle(0);
  const Time healed = world.now();
  world.RunUntilTrue(
      options.converge_within, [&] { return Converged(world); }, 500ms);
  result.converged_after = world.now() - healed;
  result.not_converged = NotConverged(world);

  result.violations = safety.violations();
  for (HostIndex i = 0; i < world.size(); ++i) {
    for (const std::string& loss : ledger.Missing(i))
      result.violations.push_back(world.host(i).meta.name + " " + loss);
  }
  result.acknowledged = ledger.acknowledged();
  result.faults = faults.log();
  result.steps = world.steps();
  // The last draw differs when any earlier one was made or left out.
  result.digest = world.digest() ^ prng.Next();
  return result;
}

}  // namespace hs::sim
