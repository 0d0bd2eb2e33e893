// Which peers this node cannot reach directly, and since when. Detours will be computed from what all nodes
// say here.
//
// Like a postman's note of doors nobody opens. Reaching everyone is the normal case, so only exceptions are
// kept. Invariant: a peer is listed exactly while its last direct outcome was a failure. Does not decide that
// a peer is dead (membership does), and probes nothing itself.
#pragma once

#include <map>
#include <variant>
#include <vector>

#include "base/time.h"
#include "core/types.h"

namespace hs {

// A direct answer: an ack of our own ping, a link that came up, an accepted connection.
struct Reached {
  NodeId peer;
};
// A direct attempt without success, or a link that ended other than by agreement.
struct NotReached {
  NodeId peer;
};
// Members only: everyone else is forgotten.
struct ReachabilityMembers {
  std::vector<NodeId> members;
};
using ReachabilityInput = std::variant<Reached, NotReached, ReachabilityMembers>;

// Direct contact with the peer was lost (or came back).
struct ReachabilityChanged {
  NodeId peer;
  bool reachable = false;
};

class Reachability {
 public:
  explicit Reachability(NodeId self) : self_(self) {}

  std::vector<ReachabilityChanged> Step(Time now, const ReachabilityInput& input);
  // It decides nothing by time.
  Time NextDeadline() const { return kNever; }

  // Peers we cannot reach directly, by the time of the first failure since the last success.
  const std::map<NodeId, Time>& unreachable() const { return unreachable_; }

 private:
  NodeId self_;
  std::map<NodeId, Time> unreachable_;
};

}  // namespace hs
