// Where this node's door may send a request, and what its inbound listener offers to the other doors.
//
// Intuition: each box is a shop with a counter of its own. The door sends customers to its own assistants
// directly and otherwise to the counter of another shop, as often as there are assistants behind it; who of
// them serves is decided there.
//
// Invariants:
//  1. A pure function of what is observed; sorted, so that an unchanged world gives an equal table.
//  2. A box stays in while it is suspect or only its agent is down: its replicas may well serve, and the door
//     tries another one if not. Once unreachable, dead or left it is down: what waits for its answer is cut,
//     so that it can be asked elsewhere. It goes with its report. Where only unreachable boxes run a service
//     they stay: the silence may be this node's own, and what waits has nowhere else to go.
//  3. What still runs here of a service that nobody asks for any more gets nothing new, and stays in the
//     table until it has stopped: only so does HAProxy tell when nothing is left on it.
//  4. Unhealthy replicas get nothing while at least half of those that run are well; when fewer are, all
//     that run are used (panic, as Envoy has it): failing health checks must not turn a slow service into
//     an absent one, nor drown the few that still answer.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/flat_map.h"
#include "core/messages.h"

namespace hs {

// A node of another region, as its summary has it.
struct SummedServer {
  const Member* member = nullptr;     // never null
  const ServiceAtNode* at = nullptr;  // never null
};

using DoorReports = FlatMap<NodeId, const NodeReport*>;  // never null

struct DoorInput {
  NodeId self;
  const MemberTable& members;
  const std::vector<DesiredService>& services;  // routes; replicas of any version serve their service's
  const DoorReports& reports;                   // with this node's own, as of now
  // Of nodes in other regions, by service: what their summaries say. None of them is in `reports`.
  std::map<std::string_view, std::vector<SummedServer>> summed{};
};

DoorTable BuildDoorTable(const DoorInput& input);

// Which of this node's own replicas a server of that name is; none: it is another box.
std::optional<ReplicaId> ReplicaOf(std::string_view server_name);

}  // namespace hs
