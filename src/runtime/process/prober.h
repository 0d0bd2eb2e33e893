// One health probe, asynchronously: http, tcp or a command. Answers exactly once.
//
// If the address refuses and is another than 127.0.0.1, that with the same port is asked too: many programs
// listen on loopback only, and the replica's own node can reach them there. Where it answered is told.
//
// An agent that was stopped past a probe's deadline looks at what has arrived meanwhile before it calls it
// too late.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/node/contract.h"

namespace boost::asio {
class io_context;
}

namespace hs {

using ProbeDone = std::function<void(ProbeResult)>;

// kHttp (2xx and 3xx are healthy) and kTcp. For other kinds: unhealthy, saying so.
void ProbeNetwork(boost::asio::io_context& io, const ProbeReplica& probe, ProbeDone done);

// kCommand: argv[0] is a path; exit code 0 is healthy. Its process group is killed at the timeout.
void ProbeCommand(boost::asio::io_context& io, const ProbeReplica& probe, std::vector<std::string> argv,
                  std::vector<std::string> environment, ProbeDone done);

}  // namespace hs
