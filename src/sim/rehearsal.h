// The user's own services against a load trace, in virtual time, before anything is deployed.
//
// Boxes, processes and traffic are simulated (world.h, traffic.h); membership, plans and levels are decided
// by the code that will decide them for real. What cannot be known here (how many requests one replica
// answers, how long it takes to start) is an option.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/types.h"
#include "sim/traffic.h"

namespace hs::sim {

struct RehearsalOptions {
  StackSpec stack;
  TrafficOptions traffic;  // its service is one of the stack's
  std::size_t nodes = 3;
  Duration start_up = 2s;  // from the start of a replica's process to its first answer
  struct Change {
    Duration at{};       // since the trace began
    HostIndex node = 0;  // below `nodes`
    bool back = false;   // false: power off
  };
  std::vector<Change> changes;
  std::uint64_t seed = 1;
};

struct RehearsalSecond {
  TrafficSecond traffic;
  double rate = 0;           // the trace's
  std::uint32_t wanted = 0;  // replicas, as the present controller has it
  std::uint32_t nodes = 0;   // that are powered
};

struct Rehearsal {
  std::vector<RehearsalSecond> seconds;
  std::vector<std::string> events;  // decisions on levels and losses: `SECOND kind subject: cause`
};

// Response times of the seconds in [from, to).
LatencyCounts LatencyBetween(const Rehearsal& rehearsal, std::size_t from, std::size_t to);

// An error when the stack cannot be placed on these nodes before the trace begins.
Result<Rehearsal> Rehearse(const RehearsalOptions& options);

}  // namespace hs::sim
