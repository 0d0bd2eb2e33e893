// The agent: one Node in the real world.
//
// It reads clocks, sockets, disks and processes into inputs, carries outputs out, and decides nothing. One
// thread runs the loop; disks (documents, bundles, replica directories) have threads of their own and answer
// by posting.
//
// Invariants: every input is stepped in the order in which it happened, also when carrying out an output
// causes one; what the contract (core/node/contract.h) demands of a caller holds here.
#pragma once

#include <memory>

#include "base/result.h"
#include "runtime/agent/options.h"

namespace hs {

// Runs until it is told to go (SIGINT, SIGTERM) or cannot start. SIGTERM and SIGINT end the agent and leave
// its replicas running, as a restart does. The error is for the person who typed `up`.
Result<void> RunAgent(const AgentOptions& options);

}  // namespace hs
