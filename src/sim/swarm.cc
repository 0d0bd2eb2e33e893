#include "sim/swarm.h"

#include <algorithm>
#include <memory>

#include "sim/checkers.h"
#include "sim/faults.h"
#include "sim/fragment_checkers.h"
#include "sim/garbage.h"
#include "sim/traffic.h"
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
  // By a generator of its own: lives with one region are those they always were.
  Prng sizes(Mix64(seed ^ 0x7e61ULL));
  if (sizes.Chance(options.regions)) {
    world.tunables.region_max =
        std::max<std::int64_t>(2, static_cast<std::int64_t>(world.hosts / 4 + sizes.Below(world.hosts / 2)));
  }
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

// People who use the services that scale, in half of the seeds: steps and lulls, then a steady load for the
// end.
std::vector<std::unique_ptr<Traffic>> DrawTraffic(World& world, Prng& prng, const SwarmOptions& options) {
  std::vector<std::unique_ptr<Traffic>> all;
  if (!prng.Chance(0.5)) return all;
  const auto changing = static_cast<std::size_t>(ToMs(options.faults_for) / 1000);
  const auto steady = static_cast<std::size_t>(ToMs(options.converge_within) / 1000) + 60;
  for (const char* service : {"shop1", "blog1"}) {
    TrafficOptions of{.service = service};
    double rate = 0;
    for (std::size_t second = 0; second < changing + steady; ++second) {
      if (second % 10 == 0 && second < changing) rate = prng.Chance(0.3) ? 0 : prng.Unit() * 700;
      of.rate.push_back(rate);
    }
    all.push_back(std::make_unique<Traffic>(world, prng.Fork(), std::move(of)));
    all.back()->Start();
  }
  return all;
}

}  // namespace

SwarmResult RunSeed(std::uint64_t seed, const SwarmOptions& options) {
  Prng prng(seed);
  World world(DrawWorld(seed, options, prng));
  SafetyChecker safety(world);
  world.Watch(&safety);
  AllotmentChecker allotments(world);
  world.Watch(&allotments);
  SingletonChecker singletons(world);
  world.Watch(&singletons);
  Ledger ledger(world);

  SwarmResult result;
  EventKeeper keeper(result.events);
  if (options.keep_events) world.Watch(&keeper);
  result.seed = seed;
  result.hosts = world.size();
  // Of every fourth seed nobody knows where its boxes have been.
  const bool garbage = options.garbage > 0 && prng.Chance(options.garbage);
  if (garbage) {
    ScatterGarbage(world, prng);
    result.faults.emplace_back("0 s boxes full of garbage");
  }
  Boot(world, prng);
  if (garbage) TellStalePlans(world, prng);
  std::vector<std::unique_ptr<Traffic>> traffic = DrawTraffic(world, prng, options);

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
  for (const auto* more : {&allotments.violations(), &singletons.violations()})
    result.violations.insert(result.violations.end(), more->begin(), more->end());
  for (HostIndex i = 0; i < world.size(); ++i) {
    for (const std::string& loss : ledger.Missing(i))
      result.violations.push_back(world.host(i).meta.name + " " + loss);
  }
  result.acknowledged = ledger.acknowledged();
  result.faults.insert(result.faults.end(), faults.log().begin(), faults.log().end());
  result.steps = world.steps();
  // The last draw differs when any earlier one was made or left out.
  result.digest = world.digest() ^ prng.Next();
  return result;
}

}  // namespace hs::sim
