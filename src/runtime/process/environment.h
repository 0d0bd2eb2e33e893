// What a replica is told: its environment, and ${...} in its command.
//
// The environment is clean: PATH, what the service says, and PORT, HOST, HOMEOSTAT_DOOR, HOMEOSTAT_SERVICE,
// HOMEOSTAT_REPLICA, HOMEOSTAT_NODE, which nobody can override. Nothing of the agent's own leaks in.
//
// Programs that take their port only as an argument or from a configuration line (nginx) get it by
// substitution: in command words and environment values, exactly ${PORT}, ${HOST} and ${HOMEOSTAT_...} of
// those names are replaced. Every other $ is left alone, so a shell's own variables work as written.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/types.h"

namespace hs {

struct ReplicaFacts {
  ReplicaId id;
  Endpoint address;
  std::string door_url;
  std::string node_name;
};

std::vector<std::string> EnvironmentOf(const ServiceSpec& spec, const ReplicaFacts& facts);  // NAME=value
// The NAME=value of it that tells one replica from all others.
std::string ReplicaVariable(const ServiceSpec& spec, ReplicaId id);
std::vector<std::string> CommandOf(const std::vector<std::string>& command, const ServiceSpec& spec,
                                   const ReplicaFacts& facts);

}  // namespace hs
