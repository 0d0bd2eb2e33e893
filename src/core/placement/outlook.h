// Where the replicas of all services would be if one controller placed them: how the steward finds out how
// many each region should have.
//
// Intuition: a map with pins in it. Pins are taken out where there are too many, put in where some are
// missing, and moved until no move makes it more even, all by the rules that place real replicas (fleet.h);
// then the pins in each district are counted. Where in its district a replica really goes is for those there
// to say.
//
// It keeps no memory, and starts from what is there: what is even already stays as it is.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/types.h"

namespace hs {

using CountByNode = std::map<NodeId, std::uint32_t>;

struct OutlookInput {
  Time now;
  Time settled;       // boxes that came later get nothing by moves
  Duration patience;  // for work on boxes whose agent is down
  const MemberTable& members;
  const std::set<NodeId>& drained;
  const std::vector<DesiredService>& services;         // `replicas` is what is wanted
  const std::map<std::string, CountByNode>& occupied;  // by service: what is there, or starting
};

// By service. What finds no room is in no count.
std::map<std::string, CountByNode> Outlook(const OutlookInput& input);

}  // namespace hs
