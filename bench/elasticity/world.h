// One service under one policy: arrivals, a queue in front of all replicas, starts and stops.
//
// Time goes in ticks of 20 ms. Requests of a tick bring their service times with them; all wait in one queue
// that the ready replicas empty together. A request that would wait longer than the deadline is refused on
// arrival, whatever the policy. Arrivals and service times are drawn once per trace, so that all policies
// meet the same.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/elasticity/service.h"
#include "bench/elasticity/trace.h"

namespace hs::elasticity {

inline constexpr int kTicks = 50;         // a second
inline constexpr double kDeadline = 1.0;  // seconds a request waits at most
inline constexpr int kWarmUp = 600;       // seconds played before the trace begins, not counted

// What came: the first kWarmUp seconds are the trace's beginning played backwards.
struct Arrivals {
  std::vector<std::uint16_t> requests;  // by tick
  std::vector<float> work;              // by tick: seconds of service they bring
  std::vector<int> demand;              // by second, warm-up included
  int Seconds() const { return static_cast<int>(demand.size()); }
};
enum class DemandOf { kRate, kCount };
Arrivals DrawArrivals(const Trace& trace, const ServiceTime& service, const DemandTable& table,
                      DemandOf demand, std::uint64_t seed);

// What a policy may see of a second that has passed.
struct Second {
  double arrivals = 0, refused = 0, completions = 0;
  double in_flight = 0, queued = 0;  // means
  double backlog = 0;                // at its end
  double cpu = 0;                    // mean share of the ready replicas' CPU
  double response_mean = 0;
  double ready = 0;  // mean
  int ready_now = 0, starting_now = 0;
};

class Policy {
 public:
  virtual ~Policy() = default;
  // Called at the start of each second with all seconds that have passed. The replicas that should exist.
  virtual int Decide(const std::vector<Second>& past, int level) = 0;
  // Seconds from a second's end to the moment a decision about it reaches the nodes.
  virtual double Lag() const { return 0; }
};

struct Score {
  double theta_u = 0, theta_o = 0, tau_u = 0, tau_o = 0, instability = 0;  // percent
  double replica_seconds = 0, optimum_replica_seconds = 0;
  double requests = 0, refused = 0, p99_ms = 0;
  int changes = 0;
};

Score Run(const Arrivals& arrivals, const ServiceTime& service, double startup_s, Policy& policy, int level);

// The clairvoyant: at every second exactly as many as needed, and between two needs a replica is kept when
// that costs less than starting another.
struct Plan {
  std::vector<int> ready;      // by second
  double replica_seconds = 0;  // after the warm-up, starts included
};
Plan Optimum(const std::vector<int>& demand, double startup_s);

std::unique_ptr<Policy> MakeHomeostat(double startup_s, int level);
std::unique_ptr<Policy> MakeHpa();
std::unique_ptr<Policy> MakeKpa();
// Follows the plan: starts are made in time.
std::unique_ptr<Policy> MakeFollower(Plan plan);

}  // namespace hs::elasticity
