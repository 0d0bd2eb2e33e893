// What `homeostat up` was asked for, checked.
#pragma once

#include <optional>
#include <string>

#include "base/endpoint.h"
#include "base/result.h"
#include "base/tunables.h"
#include "core/types.h"

namespace hs {

inline constexpr std::uint16_t kDefaultPort = 7700;
inline constexpr std::uint16_t kDefaultDoorPort = 8080;

struct AgentOptions {
  std::string data_dir;
  Endpoint listen{IpAddress::V4(0, 0, 0, 0), kDefaultPort};
  std::optional<Endpoint> advertise;
  std::optional<Endpoint> door;  // nothing: the listen address, port 8080; port 0: no door
  std::string name;              // empty: the advertised address without its port
  Labels labels;
  std::string join;       // a token, or IP:PORT as a hint for a node that was a member before
  bool dial_out = false;  // nobody can connect to this box
  bool discovery = true;  // asks the local network, and answers there
  Tunables tunables;
  std::uint64_t replica_files = 0;  // soft limit of open files for replicas; 0: the agent's own
  std::string program_dir;          // where homeostat-shim and homeostat-bundle lie
};

}  // namespace hs
