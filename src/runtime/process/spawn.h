// Starting programs cheaply from a large process: posix_spawn (a vfork underneath), nothing inherited but
// what is named.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace hs {

// A file descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Close(), fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Fd() { Close(); }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  void Close();
  int fd_ = -1;
};

// The user a replica runs as, in the form the shim takes: "UID:GID:GROUP,GROUP", or "-" for the agent's own.
struct RunAs {
  std::string words = "-";
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};
// Accepts "", NAME, UID, NAME:GROUP and UID:GID, as Compose does.
Result<RunAs> ResolveUser(const std::string& user);

struct SpawnRequest {
  std::vector<std::string> argv;  // argv[0] is the program's path
  std::vector<std::string> environment;
  int fd3 = -1;  // becomes descriptor 3; -1: none
  int fd4 = -1;
  bool leads_session = false;  // or else a process group alone
};
// stdin, stdout and stderr are /dev/null, signals are at their defaults, the process group is its own.
Result<pid_t> SpawnProgram(const SpawnRequest& request);

// Number of a signal by name ("SIGTERM", "TERM") or digits; 0 when there is no such signal.
int SignalNumber(const std::string& name);

}  // namespace hs
