// Is the work of a box without an agent still there? Asked of its ports, again and again, while the agent is
// down.
//
// Intuition: the doorman is gone. Ring at every flat: who answers lives; a bell that is cut off means that
// the flat is empty; when the house door and all the flats are cut off, the house is.
//
// Invariants:
//  1. A refusal is evidence, a time-out is none: it leaves the verdict at unknown. Only where all ports of
//     the box, asked kSilentAfter times on end, say nothing, the box is taken to be silent as well.
//  2. A box is proven dead only by its inbound port, which a working HAProxy held, and every replica port
//     refusing. Where a replica lives that no port speaks for, nothing proves it: an agent's death alone
//     makes no port refuse, but HAProxy need not run for work that no door leads to.
//  3. A replica is asked only where its address is the box's own: 127.0.0.1 of another box is not reachable
//     from here, unless that is the box's very address.
//  4. Nor is one asked whose port nobody has a use for (no route, no port, no check that connects): such work
//     need not listen, and a port that nothing listens on refuses while the work goes on.
//
// It decides nothing about replicas: Reconcile reads verdicts().
#pragma once

#include <map>
#include <variant>
#include <vector>

#include "core/node/contract.h"
#include "core/placement/reconcile.h"

namespace hs {

// The state of the world; hand it in whenever members or reports changed, and at the deadline.
struct EvidenceWatch {
  bool enabled = false;  // controller or stand-by
  const MemberTable* members = nullptr;
  const NodeReports* reports = nullptr;
  const std::map<SpecHash, ServiceSpec>* specs = nullptr;  // what is not among them is taken to listen
};
using EvidenceInput = std::variant<EvidenceWatch, ConnectOutcome>;

struct NodeProvenDead {
  NodeId node;
  std::string cause;
};
// Some verdict is another than before: plan again.
struct VerdictChanged {};
using EvidenceOutput = std::variant<TryConnect, NodeProvenDead, VerdictChanged>;

class WorkEvidence {
 public:
  // Attempts of this part carry this bit, so that the node can tell whose outcome comes in.
  static constexpr std::uint64_t kAttemptBit = std::uint64_t{1} << 61;
  // Between rounds half of the time that the agent has been down, within these: what is killed with its agent
  // dies some moments before or after it.
  static constexpr Duration kFirstInterval = 20ms;
  static constexpr Duration kInterval = 200ms;
  static constexpr Duration kPatience = 350ms;  // longer than any way round the world
  static constexpr int kSilentAfter = 4;        // counted, so that a sleep of this node is no silence

  std::vector<EvidenceOutput> Step(Time now, const EvidenceInput& input);
  Time NextDeadline() const;
  bool IsIdle() const { return boxes_.empty(); }  // nobody is asked
  const std::map<ReplicaId, WorkVerdict>& verdicts() const { return verdicts_; }

 private:
  struct Target {
    ReplicaId replica;  // zero: the inbound port
    Endpoint address;
    std::uint64_t attempt = 0;  // under way; 0: none
    WorkVerdict verdict = WorkVerdict::kUnknown;
    int unanswered = 0;  // time-outs on end
  };
  struct Box {
    Time since;  // of agent-down: another time is another case
    Time next_round;
    std::vector<Target> targets;
    bool tells = false;  // refusals of all targets prove it dead
    bool proven = false;
    bool silent = false;
  };

  void Watch(Time now, const EvidenceWatch& watch, std::vector<EvidenceOutput>& outputs);
  void Round(Time now, Box& box, std::vector<EvidenceOutput>& outputs);
  void Outcome(const ConnectOutcome& outcome, std::vector<EvidenceOutput>& outputs);
  static std::vector<Target> TargetsOf(const Member& member, const NodeReport* report,
                                       const std::map<SpecHash, ServiceSpec>& specs);
  static bool Tells(const Box& box, IpAddress ip, const NodeReport* report,
                    const std::map<SpecHash, ServiceSpec>& specs);

  std::map<NodeId, Box> boxes_;
  std::map<ReplicaId, WorkVerdict> verdicts_;
  std::uint64_t attempts_ = 0;
};

}  // namespace hs
