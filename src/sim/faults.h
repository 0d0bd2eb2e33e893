// Swarm testing (Groce et al. 2012): each seed switches on a random subset of the faults, because a fault
// that is always on hides the bugs that need its absence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/checkers.h"
#include "sim/world.h"

namespace hs::sim {

enum class Fault : std::uint8_t {
  kKillAgent,     // kill -9 and a restart some time later
  kPauseAgent,    // SIGSTOP and SIGCONT
  kPowerLoss,     // silence; back with its disk
  kKillBox,       // agent and work killed, the kernel answers
  kNewDisk,       // comes back as an empty box with a new id
  kOneWayCut,     // packets from A to B are dropped
  kPartition,     // the boxes in two groups that do not hear each other
  kClog,          // packets from A to B are held up
  kClockSkew,     // one box's calendar clock is wrong
  kSlowDisk,      // writes take up to a second
  kFullDisk,      // writes fail
  kStartFailure,  // half of the process starts fail
  kProcessExit,   // a replica ends by itself
  kLossyNetwork,  // loss, duplication, reordering everywhere
  kCount,
};
const char* ToString(Fault fault);

class FaultInjector {
 public:
  // About every `mean_gap` one of `enabled` happens.
  FaultInjector(World& world, std::vector<Fault> enabled, Duration mean_gap, Prng prng);

  static std::vector<Fault> RandomSubset(Prng& prng);

  // Schedules faults from now to `end`; every one is undone by then or by World::HealEverything.
  void Schedule(Time end);
  const std::vector<std::string>& log() const { return log_; }

 private:
  void Inject(Time end);
  void InjectLife(Fault fault, HostIndex victim, Duration span);
  void InjectNetwork(Fault fault, HostIndex victim, Duration span);
  void InjectLocal(Fault fault, HostIndex victim, Duration span);
  void Log(Fault fault, HostIndex victim, Duration span);

  World& world_;
  std::vector<Fault> enabled_;
  Duration mean_gap_;
  Prng prng_;
  std::size_t disks_lost_ = 0;
  Time lossy_until_{};
  Time fragments_until_{};  // not everyone may hold what was acknowledged before
  std::vector<std::string> log_;
};

// People changing their minds: deploys, new versions, bad versions, scales, drains and removals, through
// random nodes.
class Workload {
 public:
  Workload(World& world, Ledger& ledger, Prng prng);
  void Schedule(Time end, Duration mean_gap);
  // Through `host`: the last word, so that the end state is known and can be met.
  void Settle(HostIndex host);

 private:
  void Act();
  void Deploy(HostIndex host, bool broken);
  void Send(HostIndex host, std::vector<std::pair<std::string, DocumentBody>> documents);

  World& world_;
  Ledger& ledger_;
  Prng prng_;
  std::uint64_t version_ = 0;
};

}  // namespace hs::sim
