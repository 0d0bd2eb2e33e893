#include "runtime/agent/log.h"

#include <fmt/chrono.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "runtime/agent/clock.h"

namespace hs {

std::string TimeText(WallMs wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), wall_ms % 1000);
}

bool WriteAtOnce(int fd, std::string_view text) {
  while (!text.empty()) {
    // A pipe that polls as writable has room for PIPE_BUF bytes (pipe(7)).
    pollfd ready{fd, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
    const ssize_t written = ::write(fd, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void LogLine(std::string_view line) {
  static std::size_t dropped = 0;  // the log is of the process, as stderr is
  std::string text = TimeText(ReadClocks().wall_ms) + " ";
  if (dropped > 0) text += fmt::format("({} lines before this one could not be written) ", dropped);
  text.append(line);
  text += '\n';
  dropped = WriteAtOnce(STDERR_FILENO, text) ? 0 : dropped + 1;
}

}  // namespace hs
