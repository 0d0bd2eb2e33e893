// One line of a replica's output as a line of JSON: {"at_ms":..,"replica":"web-3fa9c1de","line":".."}.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace hs {

struct LogLine {
  WallMs at_ms = 0;  // 0: unknown
  std::string replica;
  std::string line;  // without its newline; bytes that are no UTF-8 arrive as U+FFFD
  friend bool operator==(const LogLine&, const LogLine&) = default;
};

std::string LogLineToJson(const LogLine& line);  // ends in a newline
std::optional<LogLine> LogLineFromJson(std::string_view text);

}  // namespace hs
