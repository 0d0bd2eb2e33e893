// What people call things: finds nodes, services, replicas and stacks by the names that tables show.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/leadership/roles.h"
#include "core/node/view.h"

namespace hs {

// A replica as its own node reports it, with that node.
struct ReplicaRow {
  const ReplicaStatus* status = nullptr;  // points into the view
  NodeId node;
  const Member* member = nullptr;  // null when its node is no member any more
  // Its node cannot be asked: the status is the last word heard.
  bool unreachable = false;
};

// Replicas of all nodes that are not dead and have not left, sorted by service, then node name, then id.
std::vector<ReplicaRow> ReplicasOf(const NodeView& view);
std::vector<ReplicaRow> ReplicasOf(const NodeView& view, const std::string& service);

const Member* FindMember(const NodeView& view, NodeId id);
// By name, full id, id prefix of at least 4 digits, or address. Errors say what is there, or that it is
// ambiguous.
Result<const Member*> FindNode(const NodeView& view, std::string_view word);
// For a word that means all of these: says the id and the state of each.
Error SeveralNodes(const NodeView& view, std::string_view word, const std::vector<const Member*>& found);
const DesiredService* FindService(const NodeView& view, std::string_view name);
// What the service is short of; null when nothing. A version that does not get healthy goes before all else,
// as long as the wanted one is there and is not healthy: the controller may speak of an earlier one.
const Shortage* ShortageOf(const NodeView& view, const DesiredService& service);
std::optional<ReplicaRow> FindReplica(const NodeView& view, std::string_view name);
// Names of the stacks that are deployed now, sorted.
std::vector<std::string> StackNames(const NodeView& view);
// The live stack document with the greatest stamp; null when there is none.
const Document* FindStack(const NodeView& view, std::string_view name);
bool IsDrained(const NodeView& view, NodeId node);
// By people, for good: its key is trusted no more.
bool IsRemoved(const NodeView& view, NodeId node);
// What the node says of itself; null when nothing was heard.
const NodeReport* ReportOf(const NodeView& view, NodeId node);
// The roles it has now, the highest first; none when it is gone.
std::vector<Role> RolesOf(const NodeView& view, const Member& member);
// What it said of one of its roles; null when nothing was heard.
const RoleHeld* HeldBy(const NodeView& view, NodeId node, Role role);
// Calendar time as people read it.
std::string WhenText(WallMs wall_ms);
// The same words of several nodes, together.
struct NodesSaying {
  std::string what;
  std::vector<std::string> nodes;  // names, sorted
};
// Doors of present nodes that do not work as they should.
std::vector<NodesSaying> DoorTroubles(const NodeView& view);
// The same, and what present nodes were told and cannot understand or do.
std::vector<NodesSaying> AllTroubles(const NodeView& view);
// What is less sure on present nodes than it could be.
std::vector<NodesSaying> ContainmentNotes(const NodeView& view);
std::string ToText(const NodesSaying& saying);  // "n1, n2: what"
// Of the member, or the id's first digits when it is unknown.
std::string NodeName(const NodeView& view, NodeId id);

struct ServiceCount {
  std::uint32_t desired = 0;
  std::uint32_t running = 0;  // have been healthy since their start
  std::uint32_t healthy = 0;
  std::uint32_t starting = 0;
};
ServiceCount CountService(const NodeView& view, const DesiredService& service);

// Is an event with this subject about what was asked for? A service's replicas, also those that are gone,
// belong to it.
bool IsAbout(std::string_view subject, std::string_view asked);
// The events about any of `subjects`, newest first, at most `count`.
std::vector<const Event*> EventsAbout(const NodeView& view, const std::vector<std::string>& subjects,
                                      std::size_t count);

}  // namespace hs
