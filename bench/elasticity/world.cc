#include "bench/elasticity/world.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>

namespace hs::elasticity {
namespace {

int Sign(int x) { return (x > 0) - (x < 0); }

// Waiting times in milliseconds, and the quantile of waiting and service together.
class Waits {
 public:
  void Add(double seconds, double requests) {
    const auto bin = static_cast<std::size_t>(std::clamp(seconds * 1000, 0.0, kBins - 1.0));
    bins_[bin] += requests;
    all_ += requests;
  }
  double ResponseQuantileMs(const ServiceTime& service, double share) const {
    if (all_ == 0) return 0;
    std::vector<double> response(kBins + 300, 0);
    const auto& slices = service.Slices();
    std::array<double, 300> spread{};
    for (const float time : slices) {
      spread[std::min<std::size_t>(static_cast<std::size_t>(time * 1000), 299)] += 1.0 / ServiceTime::kSlices;
    }
    for (std::size_t w = 0; w < kBins; ++w) {
      if (bins_[w] == 0) continue;
      for (std::size_t s = 0; s < spread.size(); ++s) response[w + s] += bins_[w] * spread[s];
    }
    double sum = 0;
    for (std::size_t ms = 0; ms < response.size(); ++ms) {
      sum += response[ms];
      if (sum >= share * all_) return static_cast<double>(ms) + 1;
    }
    return static_cast<double>(response.size());
  }

 private:
  static constexpr std::size_t kBins = 1500;
  std::array<double, kBins> bins_{};
  double all_ = 0;
};

// Replicas ready and on their way, as the policy's last order left them.
class Replicas {
 public:
  explicit Replicas(int ready) : ready_(ready) {}
  // Starts what is missing, or ends the surplus: those on their way first, the newest first.
  void Order(int level, double now, double startup) {
    while (Level() < level) starting_.push_back(now + startup);
    while (Level() > level && !starting_.empty()) starting_.pop_back();
    ready_ = std::min(ready_, level);
  }
  void Advance(double now) {
    while (!starting_.empty() && starting_.front() <= now + 1e-9) {
      starting_.pop_front();
      ++ready_;
    }
  }
  int Ready() const { return ready_; }
  int Starting() const { return static_cast<int>(starting_.size()); }
  int Level() const { return Ready() + Starting(); }

 private:
  int ready_;
  std::deque<double> starting_;  // when each will be ready, in order
};

// The queue in front of the replicas: requests and the work they bring.
struct Queue {
  double requests = 0;
  double work = 0;

  struct Passed {
    double accepted, refused, completed, busy, wait;
  };
  // One tick: `came` requests with `brought` work, `ready` replicas for `dt` seconds.
  Passed Tick(double came, double brought, int ready, double dt) {
    Passed passed{};
    const double power = ready * dt;  // work that can be done
    const double room = std::max(0.0, kDeadline * ready - work) + power;
    const double share = brought > room ? room / brought : 1;
    passed.accepted = came * share;
    passed.refused = came - passed.accepted;
    if (ready > 0) passed.wait = std::max(0.0, work + (brought * share - power) / 2) / ready;
    requests += passed.accepted;
    work += brought * share;
    passed.busy = std::min(work, power);
    passed.completed = work > 0 ? requests * passed.busy / work : 0;
    requests -= passed.completed;
    work -= passed.busy;
    if (work < 1e-9) requests = work = 0;
    return passed;
  }
};

void Tally(Score& score, int supply, int demand, double dt) {
  const double under = std::max(demand - supply, 0), over = std::max(supply - demand, 0);
  score.theta_u += under / demand * dt;
  score.theta_o += over / demand * dt;
  score.tau_u += under > 0 ? dt : 0;
  score.tau_o += over > 0 ? dt : 0;
}

}  // namespace

Score Run(const Arrivals& arrivals, const ServiceTime& service, double startup_s, Policy& policy, int level) {
  constexpr double kTick = 1.0 / kTicks;
  Replicas replicas(level);
  Queue queue;
  Waits waits;
  Score score;
  std::vector<Second> past;
  past.reserve(arrivals.demand.size());
  const int lag = static_cast<int>(policy.Lag() * kTicks + 0.5);
  int wanted = level, supply_before = level;
  for (int second = 0; second < arrivals.Seconds(); ++second) {
    wanted = std::clamp(policy.Decide(past, wanted), 1, kReplicasMax);
    const bool counted = second >= kWarmUp;
    const int demand = arrivals.demand[static_cast<std::size_t>(second)];
    Second seen;
    double wait_sum = 0;
    for (int tick = 0; tick < kTicks; ++tick) {
      const double now = second + tick * kTick;
      const int before = replicas.Level();
      if (tick == lag) replicas.Order(wanted, now, startup_s);
      replicas.Advance(now);
      const auto at = static_cast<std::size_t>(second * kTicks + tick);
      const auto passed =
          queue.Tick(arrivals.requests[at], double{arrivals.work[at]}, replicas.Ready(), kTick);
      seen.arrivals += arrivals.requests[at];
      seen.refused += passed.refused;
      seen.completions += passed.completed;
      seen.queued += queue.requests * kTick;
      seen.in_flight += queue.requests * kTick + passed.busy;
      seen.cpu += passed.busy;
      seen.ready += replicas.Ready() * kTick;
      wait_sum += passed.accepted * passed.wait;
      if (!counted) continue;
      waits.Add(passed.wait, passed.accepted);
      Tally(score, replicas.Ready(), demand, kTick);
      score.replica_seconds += replicas.Level() * kTick;
      score.changes += before != replicas.Level() ? 1 : 0;
    }
    const double accepted = seen.arrivals - seen.refused;
    seen.response_mean = kServiceMean + (accepted > 0 ? wait_sum / accepted : 0);
    seen.cpu = seen.ready > 0 ? seen.cpu / seen.ready : 0;
    seen.backlog = queue.requests;
    seen.ready_now = replicas.Ready();
    seen.starting_now = replicas.Starting();
    past.push_back(seen);
    if (counted) {
      score.requests += seen.arrivals;
      score.refused += seen.refused;
      const int moved = Sign(replicas.Ready() - supply_before);
      const int asked = Sign(demand - arrivals.demand[static_cast<std::size_t>(second) - 1]);
      score.instability += moved != asked ? 1 : 0;
    }
    supply_before = replicas.Ready();
  }
  const double percent = 100.0 / (arrivals.Seconds() - kWarmUp);
  for (double* share : {&score.theta_u, &score.theta_o, &score.tau_u, &score.tau_o, &score.instability}) {
    *share *= percent;
  }
  score.p99_ms = waits.ResponseQuantileMs(service, 0.99);
  return score;
}

}  // namespace hs::elasticity
