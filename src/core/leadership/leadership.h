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
//  5. A member labelled homeostat.controller=never neither controls nor stands by.
//  6. No subgraph is larger than kSubgraphMax; from two members on there are at least two monitors.
//
// It does not send anything: the caller publishes `own` in the member's metadata, and decides what a role
// does.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/tunables.h"
#include "core/types.h"

namespace hs {

inline constexpr std::size_t kSubgraphMax = 16;
inline constexpr const char* kControllerLabel = "homeostat.controller";  // "never" bars the member

struct LeadershipInput {
  const std::map<NodeId, Member>& members;  // includes self
  const std::set<NodeId>& drained;
  // The member table has been compared with somebody's, or nobody is known to compare it with.
  bool table_known = false;
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

struct LeadershipOutcome {
  RegionView view;
  RoleClaim own;                    // what this node should say of itself
  bool changed = false;             // view or own differs from the step before
  std::vector<std::string> causes;  // for events: who took or lost control and stand-by, and why
};

class Leadership {
 public:
  Leadership(const Tunables& tunables, NodeId self, Time start);

  LeadershipOutcome Step(Time now, const LeadershipInput& input);
  // When waiting for others after the start ends; kNever once it has.
  Time NextDeadline() const;

 private:
  struct Pool;
  Pool MakePool(Time now, const LeadershipInput& input) const;
  NodeId ChooseController(const LeadershipInput& input, const Pool& pool, std::vector<std::string>& causes);
  NodeId ChooseStandby(const LeadershipInput& input, const Pool& pool, NodeId controller) const;
  std::vector<MonitorView> ChooseMonitors(const LeadershipInput& input, const Pool& pool, NodeId controller,
                                          NodeId standby) const;
  const RoleClaim& ClaimOf(const Member& member) const;
  void Explain(const LeadershipInput& input, const RegionView& view, std::vector<std::string>& causes) const;

  const NodeId self_;
  const Time patience_until_;
  bool settled_ = false;
  Term term_max_ = 0;  // greatest seen anywhere, ever
  RoleClaim own_;
  RegionView view_;
};

}  // namespace hs
