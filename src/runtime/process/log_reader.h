// Reads what a replica printed: the last lines, or what is new since a mark, across rotations.
//
// The files are out.log (newest), out.log.1, out.log.2, each line "2026-11-22T08:36:11.123Z o text", so that
// lines compare by time as text. A reader that falls behind by more than two rotations loses what was
// deleted, no more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace hs {

// The last `n` lines, oldest first, at or after `since` if given. Empty when there is no output.
std::vector<std::string> ReadLog(const std::filesystem::path& dir, std::size_t n,
                                 std::optional<WallMs> since = {});

// Where a follower has got to. Default: before the oldest line there is.
struct LogMark {
  std::uint64_t inode = 0;
  std::uint64_t offset = 0;
};
// The end of the output as it is now: follow from here.
LogMark LogEnd(const std::filesystem::path& dir);
// Whole lines after the mark, at most about max_bytes of them (at least one line), and moves the mark behind
// them.
std::vector<std::string> ReadLogAfter(const std::filesystem::path& dir, LogMark& mark,
                                      std::size_t max_bytes = 1 << 20);

}  // namespace hs
