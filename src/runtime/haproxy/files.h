// The door's files and ports on this box: small synchronous helpers, none of which can block for long.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/types.h"
#include "runtime/haproxy/config.h"

namespace hs {

// Empty when there is no such file.
std::string ReadText(const std::string& path);

// Replaces a file as a whole, mode 0600.
Result<void> WriteText(const std::string& path, const std::string& text);

Result<void> MakeFolder(const std::string& path);  // mode 0700

// Why a listener cannot be opened there, in words; empty when it can.
std::string WhyNotBindable(const Endpoint& endpoint);

// Whether somebody accepts on a Unix socket now.
bool IsListening(const std::string& socket_path);

// The master process that runs this configuration, by its pid file and command line; 0 when there is none.
pid_t RunningMaster(const DoorConfig& config);

// All processes that run it, masters and workers, whoever started them.
std::vector<pid_t> ProcessesOf(const DoorConfig& config);

// See HaproxyDoor::Prepare.
Result<DoorPorts> ChoosePorts(const DoorConfig& config);

// The most connections that the limit on open files allows, at most `wish`.
std::uint32_t ConnectionsWithinLimit(std::uint32_t wish);

}  // namespace hs
