#include "runtime/agent/log.h"

#include <fmt/chrono.h>

#include <cstdio>

#include "runtime/agent/clock.h"

namespace hs {

std::string TimeText(WallMs wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), wall_ms % 1000);
}

void LogLine(std::string_view line) { fmt::print(stderr, "{} {}\n", TimeText(ReadClocks().wall_ms), line); }

}  // namespace hs
