// The published algorithms with their documented defaults, the clairvoyant, and ours.
#include <algorithm>
#include <cmath>

#include "bench/elasticity/world.h"
#include "core/control/scaler.h"

namespace hs::elasticity {
namespace {

double Mean(const std::vector<Second>& past, std::size_t from, std::size_t to, double Second::*field) {
  double sum = 0;
  for (std::size_t i = from; i < to; ++i) sum += past[i].*field;
  return to > from ? sum / static_cast<double>(to - from) : 0;
}

// Kubernetes HorizontalPodAutoscaler, autoscaling/v2 defaults (kubernetes.io, "Horizontal Pod Autoscaling"):
// sync 15 s, tolerance 10 %, CPU target 70 %, up at most max(100 %, 4 pods) per 15 s, down to the highest
// recommendation of 300 s. Metrics: the mean CPU of a 15 s window that ended 5 s before the sync, so 12.5 s
// old on average. Pods that are not ready count as using nothing when it would grow.
class Hpa : public Policy {
 public:
  int Decide(const std::vector<Second>& past, int level) override {
    const auto now = past.size();
    if (now % 15 != 0 || now < 20) return level;
    const double use = Mean(past, now - 20, now - 5, &Second::cpu);
    const int ready = past.back().ready_now, all = ready + past.back().starting_now;
    double ratio = use / 0.7;
    int wanted = level;
    if (ratio > 1 && all > ready) {
      ratio = ratio * ready / all;
      if (ratio > 1.1) wanted = static_cast<int>(std::ceil(ratio * all - 1e-9));
    } else if (std::abs(ratio - 1) > 0.1) {
      wanted = static_cast<int>(std::ceil(ratio * ready - 1e-9));
    }
    recommended_.push_back(wanted);
    if (recommended_.size() > 300 / 15) recommended_.erase(recommended_.begin());
    if (wanted > level) return std::min(wanted, std::max(2 * level, level + 4));
    return std::min(level, *std::max_element(recommended_.begin(), recommended_.end()));
  }

 private:
  std::vector<int> recommended_;
};

// Knative Pod Autoscaler (knative.dev, config-autoscaler defaults): tick 2 s, concurrency averaged over 60 s
// and 6 s, target 70 % of what a replica serves at once (1), panic when the 6 s want at least 200 % of the
// ready ones, for 60 s after the last such moment, no fall meanwhile; up at most x1000, down at most /2.
class Kpa : public Policy {
 public:
  int Decide(const std::vector<Second>& past, int level) override {
    const auto now = past.size();
    if (now % 2 != 0 || now < 6) return level;
    const double stable = Mean(past, now - std::min<std::size_t>(now, 60), now, &Second::in_flight);
    const double burst = Mean(past, now - 6, now, &Second::in_flight);
    const int ready = std::max(1, past.back().ready_now);
    const auto bounded = [&](double concurrency) {
      const double raw = std::ceil(concurrency / kTarget - 1e-9);
      return static_cast<int>(std::clamp(raw, std::floor(ready / 2.0), ready * 1000.0));
    };
    const int want_stable = bounded(stable), want_burst = bounded(burst);
    if (static_cast<double>(want_burst) / ready >= 2.0) {
      panic_until_ = now + 60;
    }
    if (now < panic_until_) {
      panic_most_ = std::max({panic_most_, want_burst, want_stable, level});
      return panic_most_;
    }
    panic_most_ = 0;
    return want_stable;
  }

 private:
  static constexpr double kTarget = 0.7;
  std::size_t panic_until_ = 0;
  int panic_most_ = 0;
};

class Follower : public Policy {
 public:
  explicit Follower(Plan plan) : plan_(std::move(plan)) {}
  int Decide(const std::vector<Second>& past, int /*level*/) override { return plan_.ready[past.size()]; }

 private:
  Plan plan_;
};

class Homeostat : public Policy {
 public:
  Homeostat(double startup_s, int level)
      : startup_(Duration(static_cast<std::int64_t>(startup_s * 1e9))),
        scaler_(Time{}, ScaleGoal{.min = 1, .max = kReplicasMax}, level) {}
  double Lag() const override { return 0.5; }
  int Decide(const std::vector<Second>& past, int level) override {
    if (past.empty()) return level;
    const Second& last = past.back();
    ScaleSample sample{.arrivals = last.arrivals,
                       .refused = last.refused,
                       .completions = last.completions,
                       .in_flight = last.in_flight,
                       .queued = last.queued,
                       .backlog = last.backlog,
                       .response_mean_s = last.response_mean,
                       .cpu_share = last.cpu,
                       .healthy = last.ready_now,
                       .starting = last.starting_now,
                       .start_up = startup_};
    const Time now = Time{} + 1s * static_cast<std::int64_t>(past.size());
    return static_cast<int>(scaler_.Step(now, sample).level);
  }

 private:
  Duration startup_;
  Scaler scaler_;
};

}  // namespace

Plan Optimum(const std::vector<int>& demand, double startup_s) {
  Plan plan;
  plan.ready = demand;
  const int most = *std::max_element(demand.begin(), demand.end());
  const int seconds = static_cast<int>(demand.size());
  double starts = 0;
  for (int rank = 1; rank <= most; ++rank) {
    int last = -1;  // the last second in which this many were needed
    for (int second = 0; second < seconds; ++second) {
      if (demand[static_cast<std::size_t>(second)] < rank) continue;
      const int gap = second - last - 1;
      if (last >= 0 && gap > 0 && gap <= startup_s) {
        for (int i = last + 1; i < second; ++i) {
          plan.ready[static_cast<std::size_t>(i)] = std::max(plan.ready[static_cast<std::size_t>(i)], rank);
        }
      } else if (gap > 0 && second >= kWarmUp) {
        starts += startup_s;
      }
      last = second;
    }
  }
  for (int second = kWarmUp; second < seconds; ++second) {
    plan.replica_seconds += plan.ready[static_cast<std::size_t>(second)];
  }
  plan.replica_seconds += starts;
  return plan;
}

std::unique_ptr<Policy> MakeHomeostat(double startup_s, int level) {
  return std::make_unique<Homeostat>(startup_s, level);
}
std::unique_ptr<Policy> MakeHpa() { return std::make_unique<Hpa>(); }
std::unique_ptr<Policy> MakeKpa() { return std::make_unique<Kpa>(); }
std::unique_ptr<Policy> MakeFollower(Plan plan) { return std::make_unique<Follower>(std::move(plan)); }

}  // namespace hs::elasticity
