// What HAProxy's master tells of its processes, and what HAProxy says when it refuses something. Pure text.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hs {

struct HaproxyProcesses {
  pid_t master = 0;
  std::uint32_t reloads = 0;  // tried since the master's start
  std::uint32_t failed = 0;   // of them in a row, up to now
  pid_t worker = 0;
  std::vector<pid_t> old_workers;  // finishing their connections after a reload
};

// Reads the answer to `show proc`; none when it is not one, or when there is no worker.
std::optional<HaproxyProcesses> ParseProcesses(const std::string& text);

// The lines that name what is wrong, without HAProxy's prefixes, in one line of at most 600 bytes.
std::string AlertsOf(const std::string& output);

}  // namespace hs
