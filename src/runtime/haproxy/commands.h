// The difference between what HAProxy runs and what the table asks for, as run-time commands.
//
// Intuition: HAProxy is asked what it has (`show servers state`), never remembered, so a new agent, a lost
// command or a worker fresh from a reload all converge by the same comparison.
//
// Rules:
//  1. kDrain: no new requests, the running ones finish.
//  2. kDown: no new requests, and the running ones are cut at once, since nobody will answer them.
//  3. Absent from the table: no new requests, the running ones finish, then the server is deleted.
//  4. A server that is not there and not ready is not added.
// Pure: no sockets.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/types.h"
#include "runtime/haproxy/config.h"

namespace hs {

// The name of the server in b_SERVICE that stands for all replicas on this node: it leads over a socket of
// HAProxy's own to the same in_SERVICE that other nodes' doors reach, so that one place counts.
inline constexpr const char* kOwnServer = "own";

struct ServerRun {
  Endpoint address;  // none: the socket of this node's own inbound listener
  bool tls = false;
  std::uint32_t weight = 1;
  ServerState state = ServerState::kReady;
  friend bool operator==(const ServerRun&, const ServerRun&) = default;
};

// Backend name -> server name -> server.
using Backends = std::map<std::string, std::map<std::string, ServerRun>>;

Backends BackendsOf(const DoorTable& table);

// The words after the name of a server, both in the configuration and in `add server`.
std::string ServerWords(const std::string& backend, const ServerRun& server, const DoorConfig& config);

// Reads the answer to `show servers state`, file format 1. A line that cannot be read is an error.
Result<Backends> ParseServersState(const std::string& text);

// One line each, to be sent in order. Backends that are not in `have` are left alone: they come with a
// reload.
std::vector<std::string> RuntimeCommands(const Backends& have, const Backends& want,
                                         const DoorConfig& config);

// The same for two tables, as if HAProxy ran exactly `have`.
std::vector<std::string> RuntimeCommands(const DoorTable& have, const DoorTable& want,
                                         const DoorConfig& config);

// Of one of HAProxy's maps, which its file names.
std::vector<std::string> MapCommands(const Routes& have, const Routes& want, const std::string& file);

// Reads the answer to `show map FILE`: lines of "0x... KEY VALUE".
Routes ParseMap(const std::string& text);

// Whether HAProxy's answer to a command that changes something says that it was done.
bool IsAccepted(const std::string& command, const std::string& answer);

}  // namespace hs
