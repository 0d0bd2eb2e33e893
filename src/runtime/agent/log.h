// The agent's own words, on stderr: a time and one line each.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "base/time.h"

namespace hs {

void LogLine(std::string_view line);

// "2026-11-22T08:36:11.123Z"
std::string TimeText(WallMs wall_ms);

template <typename... Args>
void Log(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace hs
