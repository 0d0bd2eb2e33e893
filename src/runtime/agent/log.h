// The agent's own words, on stderr: a time and one line each.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "base/time.h"

namespace hs {

// Best effort: whoever reads may have stopped, gone away, or have a full disk, and the agent goes on without
// him. A line that cannot be taken at once is dropped, and counted in the next one that can.
void LogLine(std::string_view line);

// All of it without waiting, or false.
bool WriteAtOnce(int fd, std::string_view text);

// "2026-11-22T08:36:11.123Z"
std::string TimeText(WallMs wall_ms);

template <typename... Args>
void Log(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace hs
