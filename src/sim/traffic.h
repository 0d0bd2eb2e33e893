// People who use one service of a simulated cluster: requests by a trace, answered by the replicas that are
// up.
//
// All ready replicas empty one queue; a request that would wait longer than the deadline is refused. Each
// second what happened is told to every agent as its own measurement, as HAProxy would, so the real control
// law acts on it. A model, to rehearse with: the same capacity for every replica, no network, no cold caches.
//
// Response time = the queue that is there + chance queueing (Erlang C, see core/control/staffing.h) + the
// service time, exponentially spread.
#pragma once

#include <string>
#include <vector>

#include "base/prng.h"
#include "core/load.h"
#include "sim/world.h"

namespace hs::sim {

struct TrafficOptions {
  std::string service;
  std::vector<double> rate;    // requests a second, by second
  double per_replica_s = 100;  // requests one replica answers in a second
  double deadline_s = 1;       // a request waits no longer
};

// One second as it was. Rates are per second.
struct TrafficSecond {
  double arrivals = 0;
  double completions = 0;
  double refused = 0;
  double backlog = 0;  // waiting at its end
  double ready = 0;    // replicas that answer, at its end
  LatencyCounts latency;
};

class Traffic {
 public:
  Traffic(World& world, Prng prng, TrafficOptions options);

  // From the next whole second of virtual time on, until the rates end. Called once; must outlive the world's
  // run.
  void Start();

  const std::vector<TrafficSecond>& past() const { return past_; }

 private:
  void Second();
  double Poisson(double mean);
  std::uint32_t Ready(std::vector<std::uint32_t>& by_host) const;
  void CountLatency(TrafficSecond& second, double requests, double wait_s, double load, std::uint32_t ready);
  void Tell(const TrafficSecond& second, const std::vector<std::uint32_t>& by_host);

  World& world_;
  Prng prng_;
  const TrafficOptions options_;
  double backlog_ = 0;
  std::vector<TrafficSecond> past_;
};

}  // namespace hs::sim
