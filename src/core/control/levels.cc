#include "core/control/levels.h"

#include <algorithm>
#include <cmath>

#include "core/latency.h"

namespace hs {
namespace {

constexpr double kCapacityNews = 0.2;     // share by which a learned capacity must move to be told
constexpr Duration kStartUpUnknown = 2s;  // assumed until one start was seen

ScaleGoal GoalOf(const ScaleSpec& spec) {
  ScaleGoal goal{.min = spec.min, .max = spec.max, .target_value = spec.value};
  switch (spec.target) {
    case ScaleTarget::kAutomatic:
      goal.target = ScaleGoal::Target::kAutomatic;
      break;
    case ScaleTarget::kInFlight:
      goal.target = ScaleGoal::Target::kInFlight;
      break;
    case ScaleTarget::kCpu:
      goal.target = ScaleGoal::Target::kCpuShare;
      break;
    case ScaleTarget::kMetric:
      goal.target = ScaleGoal::Target::kAppMetric;
      break;
  }
  return goal;
}

ServiceCounts CountsOf(const LevelsInput& input, const std::string& service) {
  const auto found = input.counts.find(service);
  return found == input.counts.end() ? ServiceCounts{} : found->second;
}

// Cores that its replicas may use: what they reserve, or one each.
double CoresOf(const DesiredService& service, std::uint32_t replicas) {
  const std::uint32_t millicores = service.spec.reserve.cpu_millicores;
  return replicas * (millicores == 0 ? 1.0 : millicores / 1000.0);
}

}  // namespace

std::optional<ScaleSample> SampleOf(const DesiredService& service, const LevelsInput& input) {
  if (input.coverage <= 0) return std::nullopt;
  const ServiceCounts counts = CountsOf(input, service.spec.name);
  ScaleSample sample;
  sample.healthy = counts.healthy;
  sample.starting = counts.starting;
  sample.draining = counts.draining;
  sample.coverage = input.coverage;
  const auto start_up = input.start_up.find(service.spec.name);
  sample.start_up = start_up == input.start_up.end() ? kStartUpUnknown : start_up->second;
  const auto load = std::ranges::lower_bound(input.loads, service.spec.name, {}, &ServiceLoad::service);
  // Heard, and nobody had a word on this service: it is idle.
  if (load == input.loads.end() || load->service != service.spec.name) return sample;
  sample.arrivals = load->arrivals_s;
  sample.refused = load->refused_s;
  sample.completions = load->completions_s;
  sample.in_flight = load->in_flight;
  sample.queued = sample.backlog = load->queued;
  if (!load->latency.empty()) {
    sample.response_mean_s = LatencyMean(load->latency);
    sample.response_p99_s = LatencyQuantile(load->latency, 0.99);
  }
  if (load->replicas > 0) sample.cpu_share = load->cpu / CoresOf(service, load->replicas);
  // A metric that some replicas do not give would be read as a falling queue.
  if (load->metric_replicas > 0 && load->metric_replicas >= counts.healthy) sample.app_metric = load->metric;
  return sample;
}

Levels::Entry& Levels::EntryOf(Time now, const DesiredService& service, const LevelsInput& input) {
  const ScaleSpec& spec = *service.spec.scale;
  const auto known = scalers_.find(service.spec.name);
  if (known != scalers_.end()) {
    known->second.scaler.SetGoal(GoalOf(spec));
    return known->second;
  }
  const auto published = input.published.find(service.spec.name);
  const ServiceCounts counts = CountsOf(input, service.spec.name);
  std::uint32_t level =
      published != input.published.end() ? published->second.wanted : counts.healthy + counts.starting;
  std::string cause = published != input.published.end() ? published->second.cause : "";
  if (level == 0) level = service.spec.replicas;
  level = std::clamp(level, spec.min, spec.max);
  if (cause.empty()) cause = "starts with " + std::to_string(level) + "; nothing measured yet";
  Entry entry{Scaler(now, GoalOf(spec), level), std::move(cause)};
  return scalers_.emplace(service.spec.name, std::move(entry)).first->second;
}

void Levels::Keep(const std::vector<DesiredService>& services) {
  std::erase_if(scalers_, [&](const auto& entry) {
    const auto found = std::ranges::lower_bound(services, entry.first, {},
                                                [](const DesiredService& of) { return of.spec.name; });
    return found == services.end() || found->spec.name != entry.first || found->fixed;
  });
}

LevelsOutcome Levels::Step(Time now, const LevelsInput& input) {
  LevelsOutcome outcome;
  Keep(input.services);
  for (const DesiredService& service : input.services) {
    if (service.fixed) continue;
    Entry& entry = EntryOf(now, service, input);
    const auto before = static_cast<std::uint32_t>(entry.scaler.level());
    auto sample = SampleOf(service, input);
    // Doors that never told of a request may not be measuring at all: that is no proof of idleness.
    entry.traffic_seen = entry.traffic_seen || (sample && (sample->arrivals > 0 || sample->in_flight > 0));
    const ScaleTarget target = service.spec.scale->target;
    const bool by_doors = target == ScaleTarget::kAutomatic || target == ScaleTarget::kInFlight;
    if (by_doors && !entry.traffic_seen) sample.reset();
    const ScaleDecision decision = entry.scaler.Step(now, sample);
    const auto after = static_cast<std::uint32_t>(decision.level);
    if (decision.changed) {
      entry.cause = decision.reason;
      outcome.changes.push_back({service.spec.name, before, after, after > before, decision.reason});
    }
    // Told anew only when it has really moved: every telling goes to all nodes.
    const double capacity = entry.scaler.capacity().value_or(0);
    if (decision.changed || std::abs(capacity - entry.capacity_told) > kCapacityNews * entry.capacity_told)
      entry.capacity_told = capacity;
    outcome.levels.push_back({service.spec.name, after, after, entry.capacity_told, entry.cause});
  }
  return outcome;
}

}  // namespace hs
