#include "sim/traffic.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/control/staffing.h"
#include "core/latency.h"

namespace hs::sim {
namespace {

constexpr int kTicks = 10;   // a second
constexpr int kSlices = 20;  // equally likely response times a tick is spread over

}  // namespace

Traffic::Traffic(World& world, Prng prng, TrafficOptions options)
    : world_(world), prng_(prng), options_(std::move(options)) {}

void Traffic::Start() {
  const auto whole = std::chrono::ceil<std::chrono::seconds>(world_.now().time_since_epoch());
  world_.At(Time(whole) + 1s, [this] { Second(); });
}

// Knuth's product of uniforms for few, a normal approximation (twelve uniforms) for many.
double Traffic::Poisson(double mean) {
  if (mean <= 0) return 0;
  if (mean < 30) {
    const double floor = std::exp(-mean);
    double product = prng_.Unit();
    int count = 0;
    for (; product > floor; ++count) product *= prng_.Unit();
    return count;
  }
  double normal = -6;
  for (int i = 0; i < 12; ++i) normal += prng_.Unit();
  return std::max(0.0, std::round(mean + normal * std::sqrt(mean)));
}

std::uint32_t Traffic::Ready(std::vector<std::uint32_t>& by_host) const {
  std::uint32_t ready = 0;
  by_host.assign(world_.size(), 0);
  for (HostIndex i = 0; i < world_.size(); ++i) {
    const Host& host = world_.host(i);
    for (const auto& [id, process] : host.processes) {
      if (!host.powered || process.spec.name != options_.service || !process.Answers(world_.now())) continue;
      ++by_host[i];
      ++ready;
    }
  }
  return ready;
}

void Traffic::CountLatency(TrafficSecond& second, double requests, double wait_s, double load,
                           std::uint32_t ready) {
  const double service_s = 1 / options_.per_replica_s;
  const double busy = std::min(load, ready * 0.95);  // beyond, the queue that is there says it
  const double chance = ErlangC(static_cast<int>(ready), busy);
  const double decay = (ready - busy) / service_s;
  std::map<std::uint16_t, std::uint32_t> counts(second.latency.begin(), second.latency.end());
  for (int slice = 0; slice < kSlices; ++slice) {
    const double share = (slice + 0.5) / kSlices;
    const double other = (slice * 7 % kSlices + 0.5) / kSlices;  // service and luck are independent
    const double queue_s = other < 1 - chance ? 0 : std::log(chance / (1 - other)) / decay;
    const double response_s = wait_s + queue_s - service_s * std::log(1 - share);
    counts[LatencyBucket(response_s)] += static_cast<std::uint32_t>(std::ceil(requests / kSlices));
  }
  second.latency.assign(counts.begin(), counts.end());
}

void Traffic::Second() {
  const double rate = options_.rate[past_.size()];
  TrafficSecond second;
  std::vector<std::uint32_t> by_host;
  const std::uint32_t ready = Ready(by_host);
  const double capacity = ready * options_.per_replica_s / kTicks;
  for (int tick = 0; tick < kTicks; ++tick) {
    const double arrivals = Poisson(rate / kTicks);
    second.arrivals += arrivals;
    const double wait_s = capacity > 0 ? backlog_ / capacity / kTicks : 0;
    const double room = std::max(0.0, capacity * kTicks * options_.deadline_s + capacity - backlog_);
    const double taken = std::min(arrivals, room);
    second.refused += arrivals - taken;
    const double done = std::min(backlog_ + taken, capacity);
    backlog_ += taken - done;
    second.completions += done;
    if (taken > 0 && ready > 0)
      CountLatency(second, taken, wait_s, taken * kTicks / options_.per_replica_s, ready);
  }
  second.backlog = backlog_;
  second.ready = ready;
  Tell(second, by_host);
  past_.push_back(std::move(second));
  if (past_.size() < options_.rate.size()) world_.At(world_.now() + 1s, [this] { Second(); });
}

// Every agent that runs measures: its door's share of what came, and its own replicas' share of the work.
void Traffic::Tell(const TrafficSecond& second, const std::vector<std::uint32_t>& by_host) {
  std::size_t doors = 0;
  for (HostIndex i = 0; i < world_.size(); ++i) doors += world_.host(i).Thinking() ? 1 : 0;
  for (HostIndex i = 0; i < world_.size(); ++i) {
    const Host& host = world_.host(i);
    if (!host.Thinking()) continue;
    const float door = 1.0F / static_cast<float>(doors);
    const float work = second.ready > 0 ? static_cast<float>(by_host[i] / second.ready) : 0;
    ServiceLoad load{.service = options_.service};
    load.arrivals_s = static_cast<float>(second.arrivals) * door;
    load.refused_s = static_cast<float>(second.refused) * door;
    load.queued = static_cast<float>(second.backlog) * door;
    load.completions_s = static_cast<float>(second.completions) * door;
    load.in_flight = static_cast<float>(second.backlog + second.completions / options_.per_replica_s) * door;
    load.cpu = static_cast<float>(second.completions / options_.per_replica_s) * work;
    load.replicas = by_host[i];
    if (load.arrivals_s > 0) load.latency = second.latency;
    LoadReport report;
    report.nodes.push_back({.node = host.disk.node, .cpu = load.cpu, .cores = 4, .lag_ms = host.lag_ms});
    report.services.push_back(std::move(load));
    world_.Feed(i, LoadMeasured{std::move(report)});
  }
}

}  // namespace hs::sim
