// Who controls, stands by and monitors: computed by every node from its own member table, without votes.
//
// Intuition: a ship's company without elections. Whoever holds the wheel says so aloud and keeps it as long
// as the others see them fit; when they fall, the mate steps up, and without a mate the one that a fixed rule
// names. Two at the wheel (a healed partition, a race) see each other's claim, and the one with the lesser
// claim lets go.
//
// Invariants:
//  1. A fit member that claims a role keeps it: with steady membership no role ever changes.
//  2. Suspicion takes no role away; agent-down, unreachable, dead and left do, at once.
//  3. Of several controller claims all nodes that see them prefer the same: greatest (term, id).
//  4. A new claim's term is above every term this node has ever seen.
//  5. What roles there are, how many, and who is fit for them is said by the table in roles.h alone.
//  6. A controller that is drained, overloaded or on a disk that takes no writes controls until its
//     successor's claim is seen.
//  7. No subgraph is larger than kSubgraphMax; from two members on there are at least two monitors.
//
// It does not send anything: the caller publishes `own` in the member's metadata, and decides what a role
// does.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/tunables.h"
#include "core/leadership/roles.h"
#include "core/types.h"

namespace hs {

struct LeadershipInput {
  const MemberTable& members;  // of the region; includes self
  const std::set<NodeId>& drained;
  // The member table has been compared with somebody's, or nobody is known to compare it with.
  bool table_known = false;
  bool holds_work = false;  // replicas are on this node, whatever their state
  bool strained = false;    // by this node's own gauges
  DiskFault disk = DiskFault::kNone;
  RegionId region = 0;
};

// The members one monitor watches.
struct MonitorView {
  NodeId monitor;
  std::vector<NodeId> watches;  // sorted; at most kSubgraphMax
  friend bool operator==(const MonitorView&, const MonitorView&) = default;
};

struct RegionView {
  RegionId region = 0;
  NodeId controller;                  // zero until somebody fit claims it
  Term term = 0;                      // of that claim
  NodeId standby;                     // zero: nobody suitable
  std::vector<MonitorView> monitors;  // sorted by monitor
  friend bool operator==(const RegionView&, const RegionView&) = default;
};

// Of this node's own roles.
struct RoleChange {
  Role role = Role::kWorker;
  bool taken = false;
  std::string cause;  // why this node and not another
  friend bool operator==(const RoleChange&, const RoleChange&) = default;
};

struct LeadershipOutcome {
  RegionView view;
  RoleClaim own;                    // what this node should say of itself
  bool changed = false;             // view or own differs from the step before
  std::vector<RoleChange> changes;  // by role
};

class Leadership {
 public:
  Leadership(const Tunables& tunables, NodeId self, Time start);

  LeadershipOutcome Step(Time now, const LeadershipInput& input);
  // When waiting for others after the start ends, and when this node is no newcomer any more; kNever once
  // both are over.
  Time NextDeadline() const;

 private:
  struct Pool;
  // Whatever is needed to judge members, worked out once a step.
  struct Look;

  Pool PoolFor(const Look& look, const RoleRow& row) const;
  NodeId ChooseController(const Look& look, const Pool& pool);
  std::vector<NodeId> Relieved(const Look& look) const;
  NodeId ChooseStandby(const Look& look, const Pool& pool, NodeId controller) const;
  std::vector<NodeId> ChooseMonitors(const Look& look, const Pool& pool, std::size_t watched,
                                     NodeId controller, NodeId standby) const;
  std::vector<MonitorView> DivideAmong(std::vector<NodeId> monitors,
                                       const std::vector<NodeId>& watched) const;
  RoleClaim OwnClaim(const Look& look, const RegionView& view) const;
  std::string WhyTaken(const Look& look, Role role, const RegionView& view, std::size_t watched) const;
  std::string WhyGiven(const Look& look, Role role, const RegionView& view, std::size_t watched) const;
  std::string PassedOver(const Look& look, const RoleRow& row) const;
  const RoleClaim& ClaimOf(const Member& member) const;
  Standing StandingOf(const Look& look, const Member& member) const;

  const NodeId self_;
  const Time patience_until_;
  const Time grown_at_;  // a newcomer until then
  bool grown_ = false;
  bool settled_ = false;
  Term term_max_ = 0;  // greatest seen anywhere, ever
  RoleClaim own_;
  RegionView view_;
  std::string elected_by_;  // why this node took control, when it last did
};

}  // namespace hs
