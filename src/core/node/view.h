// What a node knows, laid out for those who only read: the API, the simulator's checkers, tests.
// A copy at one instant; bodies are shared with the node and never change.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/door_totals.h"
#include "core/load.h"
#include "core/local_load.h"
#include "core/messages.h"
#include "core/types.h"

namespace hs {

// Steady: the controller is known, its plan is acknowledged by all alive, intent digests agree, and nothing
// is starting or draining. What cannot be placed is listed as short, which is steady too.
struct SteadyState {
  bool steady = false;
  Time since{};                      // of the present answer
  std::vector<std::string> pending;  // why not, in words; empty when steady
  std::vector<Shortage> shortages;
};

// How one node reaches another.
struct LinkView {
  NodeId from;
  NodeId to;
  std::vector<NodeId> relays;          // none: directly
  bool one_way = false;                // what `to` sends arrives directly
  bool line = false;                   // directly, over what `to` keeps open
  std::optional<Duration> round_trip;  // as `from` measured it; it is known of this node's own and of detours
};

// One region of a large cluster, as this node sees it.
struct RegionSeen {
  RegionId region = 0;
  NodeId controller;                          // zero until it has spoken
  std::size_t members = 0;                    // present
  NodeId ask;                                 // a present member that knows its replicas; zero: none
  std::shared_ptr<const RecordBody> summary;  // RegionReport; null until it has spoken
};

struct NodeView {
  Time now;
  ClusterId cluster;
  NodeId self;
  NodeId controller;  // as this node's own view elects; zero when unknown
  Term term = 0;
  // While there are several regions; of all but its own, `reports` and `slices` are not here, and summaries
  // say the rest.
  RegionId region = 0;
  NodeId steward;                   // who says how many there are of each service
  std::vector<RegionSeen> regions;  // in order of place; empty: there is one
  bool joined = false;          // by whoever asked the other regions: their reports and slices are here too
  std::vector<Member> members;  // sorted by id; includes self
  std::vector<Document> documents;                              // sorted by key; includes tombstones
  std::vector<Document> conflicts;                              // losers of conflicts, newest first
  std::vector<DesiredService> services;                         // sorted by name
  std::map<NodeId, std::shared_ptr<const RecordBody>> reports;  // NodeReport by owner
  std::map<NodeId, std::shared_ptr<const RecordBody>> slices;   // PlanSlice in force, by node
  std::vector<std::shared_ptr<const RecordBody>> events;        // Event, oldest first
  SteadyState steady;
  std::uint64_t intent_digest = 0;
  std::vector<LinkView> links;  // of this node to all present members, and of others what is not direct
  std::shared_ptr<const LocalLoad> local_load;  // of this node, by whoever runs it; null: not measured yet
  std::shared_ptr<const DoorTotalsByService>
      door_totals;                   // of this node's door; null: it has none or it did not tell yet
  std::map<NodeId, NodeLoad> loads;  // the newest word of each node that was heard of late
  std::map<std::string, ServiceLoad> service_loads;  // added up over the nodes that were heard
};

}  // namespace hs
