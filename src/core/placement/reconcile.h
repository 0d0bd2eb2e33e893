// The controller's decision: given what is asked for and what is seen, what should each box run?
//
// Intuition: a stage manager with a cast list and a view of the stage. Whoever is on stage and on the list
// stays where they are; an empty place is filled at once; nobody is sent off before the one who takes over
// stands there. It keeps no memory between calls: everything follows from the arguments, so the next
// controller goes on where this one died.
//
// Invariants (Plans in the design):
//  1. Absence stops nothing: everything known to run on a box that is not lost is in that box's list.
//  2. Every stop names a keeper: a healthy replica of the same service that stays, or itself where nothing
//     has to take over (scaled down, service removed).
//  3. Stops leave at least as many healthy replicas as asked for (replicas that have long been failing are
//     not waited for when a box is drained).
//  4. A redeploy starts at most one replica of the new version at a time, and no more once one has failed.
//  5. The same input gives the same output, and an output carried out gives itself: a steady cluster is
//     left alone.
//  6. A service with `x-singleton: pause` runs only with more than half of the boxes that count. Where a
//     box fell silent with it, its successor waits until that box must have noticed and stopped it.
//  7. A move for balance starts before it stops: the newcomer's assignment names whom it replaces, and that
//     one stops once the newcomer is healthy. It begins only where all of the service is well, makes the
//     spread strictly more even (fleet.h, FindMove), and is not begun again soon when it failed
//     (move_book.h).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/flat_map.h"
#include "base/prng.h"
#include "base/tunables.h"
#include "core/placement/move_book.h"
#include "core/placement/steady_view.h"
#include "core/types.h"

namespace hs {

// What a replica on a box without an agent says about itself by its port.
enum class WorkVerdict : std::uint8_t { kUnknown = 0, kAnswering = 1, kRefused = 2, kSilent = 3 };

struct ObservedReport {
  const NodeReport* report = nullptr;  // never null
  std::uint32_t boot = 0;              // of the agent's life that made it
};
using NodeReports = FlatMap<NodeId, ObservedReport>;
// The newest slice known for each box, from whichever controller.
using KnownSlices = FlatMap<NodeId, const PlanSlice*>;

// Since when each replica has been seen without being healthy; kept by HealthWatch.
using UnhealthySince = std::map<ReplicaId, Time>;

struct ReconcileInput {
  Time now;
  Time started_at;  // of this node
  const Tunables& tunables;
  const MemberTable& members;
  const std::set<NodeId>& drained;
  const std::vector<DesiredService>& services;   // unique names
  const std::map<SpecHash, ServiceSpec>& specs;  // of every revision still known
  const NodeReports& reports;
  const KnownSlices& previous;
  const std::map<ReplicaId, WorkVerdict>& evidence;  // of replicas on agent-down boxes
  const UnhealthySince& unhealthy_since;
  const MoveBook& moves;
  // Whether this part of the cluster is the greater one: for services with `x-singleton: pause`.
  SteadyView::Standing standing{1, 1};
  // This node's documents have been compared with the others'. Until then nothing is stopped or redeployed,
  // since what looks removed may only not have arrived.
  bool intent_known = true;
  // Of services that are wanted in other regions: a healthy replica there, or zero where none is known. It is
  // the keeper of the last one that goes here.
  std::map<std::string, ReplicaId> keepers_elsewhere{};
  // Names of boxes that this node's disk remembers and that it has not met since its start.
  std::vector<std::string> unmet{};
};

// A redeploy that failed: stays so until the replica gets healthy or another revision comes.
struct StoppedRollout {
  std::string service;
  SpecHash spec;
  ReplicaId failed;
  std::string cause;
  friend bool operator==(const StoppedRollout&, const StoppedRollout&) = default;
};

struct Decision {
  std::string kind;     // plan.start, plan.stop, plan.keep
  std::string subject;  // the replica's name
  std::string cause;
  friend bool operator==(const Decision&, const Decision&) = default;
};

struct PlanDraft {
  std::map<NodeId, std::vector<Assignment>> nodes;      // every box that is not lost; sorted by replica
  std::vector<Shortage> shortages;                      // sorted by service
  std::map<NodeId, std::vector<Allotment>> allotments;  // filled in by whoever deals them
  std::vector<std::string> pending;                     // what is on its way to the steady state
  std::vector<StoppedRollout> stopped_rollouts;
  std::vector<Decision> decisions;  // what differs from `previous`
  std::vector<SpecHash> moves_begun, moves_failed;
  Time look_again_at = kNever;  // something waits for this moment
};

// What is there of each service and stays, as Reconcile sees it. Of services of which any are wanted, with
// what was told to go though nobody stands in for it, and can still be told to stay.
std::map<std::string, std::uint32_t> CountStaying(const ReconcileInput& input);

// How long a `x-singleton: pause` service is not started elsewhere while a silent box may still run it.
Duration PauseWait(const Tunables& tunables, const ServiceSpec& spec);

// `prng` draws the ids of new replicas; nothing is drawn when nothing starts.
PlanDraft Reconcile(const ReconcileInput& input, Prng& prng);

}  // namespace hs
