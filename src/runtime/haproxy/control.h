// The two ways to talk to HAProxy without blocking: a line to its master socket, and running a program to its
// end.
//
// Both are coroutines on an io_context; neither throws for what HAProxy or the box does wrong: errors are in
// words.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace hs {

// Sends one line to the master's command socket and returns all it answers until it closes.
boost::asio::awaitable<Result<std::string>> AskHaproxy(std::string socket_path, std::string line,
                                                       Duration timeout);

struct ProgramEnd {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string output;  // stdout and stderr, the first 16 KB
};

// Runs a program in a session of its own and waits for its end; killed when it takes longer than `timeout`.
// kFixInput when there is no such program.
boost::asio::awaitable<Result<ProgramEnd>> RunProgram(std::vector<std::string> argv, Duration timeout);

inline constexpr const char* kHaproxyMissing = "haproxy is not installed: apt-get install haproxy";
inline constexpr Duration kHaproxyStart = 20s;  // to read its configuration, at most

// Whether HAProxy takes this configuration; else its words.
boost::asio::awaitable<Result<void>> CheckHaproxyConfig(std::string binary, std::string path);

// The path of `name`, looked up in PATH and the usual system folders; empty when it is not installed.
std::string FindProgram(const std::string& name);

}  // namespace hs
