// A node's own replicas: started, watched, restarted, drained and stopped.
//
// Picture a nurse with a ward. The plan tells her whom to take in and, by name, whom to let go; a name
// missing from the list means nothing. She looks at each patient in turn, counts bad answers rather than
// hours (she may have been asleep), and lets someone go only when the one who takes over is seen well.
//
//   kPreparing -> kStarting -> kRunning -> kDraining -> kStopping -> forgotten
//        ^            |           |            (a stop was ordered and its keeper is healthy here)
//        +- kBackoff <+-----------+            (exit, failed start, or unhealthy for too long: for ever, with
//        back-off)
//
// Invariants:
//  1. Nothing stops but by an explicit order, and only while its keeper is in the set of healthy replicas.
//     A drain whose keeper falls ill, or whose order is withdrawn, is taken back; a signal once sent is
//     not.
//  2. A replica has at most one process: StartReplica goes out only when the last one's end (or failure)
//     was told.
//  3. Health follows from answers to probes, never from elapsed time; one probe is in flight per replica.
//  What
//     has no check is healthy once it has run for a second under the eyes of an agent that was awake.
//  4. An order to run what already runs changes nothing, so restarts of the agent neither double nor stop
//     work.
//
// It does not: choose what runs (the plan), fetch bundles, tell the door (the node reads statuses()).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "base/tunables.h"
#include "core/node/contract.h"
#include "core/types.h"

namespace hs {

// A plan slice for this node from the controller that its own view elects. `specs` holds what its assignments
// run; an assignment whose spec is not known yet is passed over: hand the slice in again when its document
// has come.
struct SliceReceived {
  PlanSlice slice;
  std::map<ReplicaId, ServiceSpec> specs;
};

// All replicas of the cluster that this node sees healthy on present members; the whole set each time.
struct KeeperHealth {
  std::set<ReplicaId> healthy;
};

// No longer on this box's disk.
struct BundleDropped {
  Digest digest;
};

// BundleReady is also handed in once for each bundle found on disk at the start.
using SupervisorInput =
    std::variant<Tick, SliceReceived, KeeperHealth, ReplicaStarted, ReplicaStartFailed, ReplicaExited,
                 ProbeResult, ReplicaIdle, BundleReady, BundleFailed, BundleDropped>;

// Fetch this bundle and answer with BundleReady or BundleFailed. Asked again, with back-off, after a failure.
struct NeedBundle {
  Digest digest;
};

// A replica's status changed. `before` is empty for a new one, `after` for one that is forgotten.
struct ReplicaChanged {
  std::optional<ReplicaStatus> before;
  std::optional<ReplicaStatus> after;
  std::string cause;  // one clause for the event
};

using SupervisorOutput = std::variant<StartReplica, SignalReplica, KillReplica, ForgetReplica, ProbeReplica,
                                      NeedBundle, ReplicaChanged>;

// Whether doors should send requests to it: it has been healthy since its start, or was found running by this
// agent and has not failed `retries` checks on end since.
inline bool IsRoutable(const ReplicaStatus& status) {
  return status.state == ReplicaState::kRunning && status.health != Health::kUnhealthy;
}

class Supervisor {
 public:
  Supervisor(const Tunables& tunables, NodeId self, std::vector<AdoptedReplica> adopted, Prng prng, Now now);

  std::vector<SupervisorOutput> Step(Now now, const SupervisorInput& input);
  // When Step(now, Tick{}) is due; kNever when nothing is waited for.
  Time NextDeadline() const;

  std::vector<ReplicaStatus> statuses() const;    // sorted by id
  const ServiceSpec* SpecOf(ReplicaId id) const;  // null when it is not one of ours

 private:
  enum class Process { kNone, kAsked, kAlive };

  struct Own {
    ServiceSpec spec;
    ReplicaStatus status;
    std::optional<ReplicaStatus> told;  // what the last ReplicaChanged said
    std::string cause;                  // of the latest change
    bool gone = false;

    Process process = Process::kNone;
    Time up_since{};
    Time start_at = kNever;      // of the next start, or of asking for the bundle again
    std::uint32_t attempts = 0;  // starts that ended early, in a row

    ReplicaId stop_keeper;  // zero: no order to stop
    std::string stop_cause;
    Time signal_at = kNever;   // end of the drain
    bool idle = false;         // which came before its time, since nothing was left
    bool terminating = false;  // the stop signal was sent
    Time kill_at = kNever;     // end of the grace after it; then again until it is gone

    std::uint64_t probe = 0;  // in flight; 0: none
    Time probe_lost_at = kNever;
    Time next_probe = kNever;
    Time next_counted{};  // while starting: failures before it do not count
    std::uint32_t failures = 0;
    bool unproven = false;  // adopted, and it has neither answered this agent nor failed to, `retries` times
  };

  void Apply(Now, const Tick&) {}
  void Apply(Now now, const SliceReceived& input);
  void Apply(Now now, const KeeperHealth& input);
  void Apply(Now now, const ReplicaStarted& input);
  void Apply(Now now, const ReplicaStartFailed& input);
  void Apply(Now now, const ReplicaExited& input);
  void Apply(Now now, const ProbeResult& input);
  void Apply(Now now, const ReplicaIdle& input);
  void Apply(Now now, const BundleReady& input);
  void Apply(Now now, const BundleFailed& input);
  void Apply(Now, const BundleDropped& input) { bundles_.erase(input.digest); }

  Own* Find(ReplicaId id);
  void Adopt(Now now, const AdoptedReplica& adopted);
  void Advance(Now now, Own& own);
  void WeighStop(Now now, Own& own);
  void BeginStop(Now now, Own& own);
  void Terminate(Now now, Own& own, std::string cause);
  void Start(Now now, Own& own);
  void BackOff(Now now, Own& own, const std::string& what);
  void Ended(Now now, Own& own, const std::string& what);
  static bool IsWatched(const Own& own);
  void Probe(Now now, Own& own);
  void ProbeSucceeded(Now now, Own& own);
  void ProbeFailed(Now now, Own& own, const std::string& detail);
  void Enter(Now now, Own& own, ReplicaState state, std::string cause);
  void AfterSleep(Now now);
  void Tell();
  Duration BackOffWait(std::uint32_t attempts);

  Tunables tunables_;
  NodeId self_;
  Prng prng_;
  std::map<ReplicaId, Own> owns_;
  std::set<ReplicaId> healthy_;
  std::set<Digest> bundles_;
  std::set<Digest> fetching_;
  std::uint64_t next_probe_number_ = 1;
  std::vector<SupervisorOutput> outputs_;
};

}  // namespace hs
