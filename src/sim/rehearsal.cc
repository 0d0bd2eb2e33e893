#include "sim/rehearsal.h"

#include <algorithm>
#include <map>

#include "core/intent/desired.h"
#include "sim/checkers.h"

namespace hs::sim {
namespace {

constexpr Duration kSettle = 300s;  // virtual time the stack may take to get healthy

// The decisions worth telling, once each, as their makers told them.
class Storyteller : public Watcher {
 public:
  void Begin(Time at) { begin_ = at; }
  void OnOutput(Time at, const Host&, const Output& output) override {
    const auto* told = std::get_if<EmitEvent>(&output);
    if (told == nullptr || at < begin_) return;
    const Event& event = told->event;
    const bool decision = event.kind.starts_with("scale.") || event.kind.starts_with("plan.") ||
                          event.kind.starts_with("role.");
    if (!decision) return;
    lines.push_back(std::to_string(std::chrono::duration_cast<std::chrono::seconds>(at - begin_).count()) +
                    " " + event.kind + " " + event.subject + ": " + event.cause);
  }
  std::vector<std::string> lines;

 private:
  Time begin_ = kNever;
};

const Host* AnyRunning(const World& world) {
  for (HostIndex i = 0; i < world.size(); ++i) {
    if (world.host(i).Thinking()) return &world.host(i);
  }
  return nullptr;
}

std::uint32_t Wanted(const World& world, const std::string& service) {
  const Host* host = AnyRunning(world);
  if (host == nullptr) return 0;
  const NodeView view = host->node->View({world.now(), 0});
  const auto found = std::ranges::find(
      view.services, service, [](const DesiredService& of) -> const std::string& { return of.spec.name; });
  return found == view.services.end() ? 0 : found->replicas;
}

// The cluster formed, the stack deployed and healthy.
Result<void> Prepare(World& world, const RehearsalOptions& options) {
  for (HostIndex i = 0; i < world.size(); ++i) {
    world.host(i).start_delay = options.start_up;
    for (const ServiceSpec& service : options.stack.services) {
      if (service.bundle) world.host(i).disk.bundles.insert(service.bundle);
    }
    world.StartAgent(i);
    world.RunFor(50ms);
  }
  world.RunUntilTrue(kSettle, [&] { return NotConverged(world, false).empty(); });
  std::string refusal = "no answer";
  world.Write(0, DeployWrites({}, options.stack, world.tunables().revisions_kept),
              [&](const Result<Stamp>& done) { refusal = done ? "" : done.error().message; });
  world.RunFor(2s);
  if (!refusal.empty()) return BadInput("the stack could not be deployed: " + refusal);
  if (world.RunUntilTrue(kSettle, [&] { return world.host(0).node->View({world.now(), 0}).steady.steady; })) {
    return {};
  }
  const NodeView view = world.host(0).node->View({world.now(), 0});
  return BadInput("the stack does not get steady: " + (view.steady.pending.empty()
                                                           ? std::string("no reason known")
                                                           : view.steady.pending.front()));
}

}  // namespace

LatencyCounts LatencyBetween(const Rehearsal& rehearsal, std::size_t from, std::size_t to) {
  std::map<std::uint16_t, std::uint32_t> sum;
  for (std::size_t i = from; i < to; ++i) {
    for (const auto& [bucket, count] : rehearsal.seconds[i].traffic.latency) sum[bucket] += count;
  }
  return {sum.begin(), sum.end()};
}

Result<Rehearsal> Rehearse(const RehearsalOptions& options) {
  World world({.seed = options.seed, .hosts = options.nodes});
  Storyteller story;
  world.Watch(&story);
  if (auto ready = Prepare(world, options); !ready) return std::unexpected(ready.error());

  Traffic traffic(world, Prng(options.seed).Fork(), options.traffic);
  traffic.Start();
  const Time begin = Time(std::chrono::ceil<std::chrono::seconds>(world.now().time_since_epoch()));
  story.Begin(begin);
  for (const auto& change : options.changes) {
    world.At(begin + change.at, [&world, change] {
      if (!change.back) return world.PowerOff(change.node);
      world.PowerOn(change.node);
      world.StartAgent(change.node);
    });
  }
  Rehearsal rehearsal;
  for (std::size_t second = 0; second < options.traffic.rate.size(); ++second) {
    world.RunUntil(begin + std::chrono::seconds(second + 1));
    RehearsalSecond row{traffic.past().back(), options.traffic.rate[second],
                        Wanted(world, options.traffic.service)};
    for (HostIndex i = 0; i < world.size(); ++i) row.nodes += world.host(i).powered ? 1 : 0;
    rehearsal.seconds.push_back(std::move(row));
  }
  rehearsal.events = std::move(story.lines);
  return rehearsal;
}

}  // namespace hs::sim
