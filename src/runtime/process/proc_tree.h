// What /proc says about processes: who they are and what descends from them.
//
// A pid alone is a number that may be used again; a pid with its start time names one process. Nothing here
// waits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace hs {

struct ProcessName {
  pid_t pid = 0;
  std::uint64_t start = 0;  // clock ticks since boot: field 22 of /proc/PID/stat; 0: there is no such process

  explicit operator bool() const { return pid > 0; }
  friend bool operator==(const ProcessName&, const ProcessName&) = default;
};

// The start time of a process that has not been reaped; 0 when there is none.
std::uint64_t StartTimeOf(pid_t pid);
bool IsAlive(const ProcessName& process);

// A descriptor that becomes readable when the process ends; -1 with errno set. (glibc 2.36's header for it
// does not link from C++.)
int OpenPidfd(pid_t pid);
// Whether it has. Wake-ups on a pidfd were seen here while its process lived, so nobody acts on one without
// asking.
bool HasEnded(int pidfd);

// Every process below `root`, without `root` itself, in no particular order.
std::vector<pid_t> DescendantsOf(pid_t root);
// The same for several roots by one walk; in their order.
std::vector<std::vector<pid_t>> DescendantsOfEach(const std::vector<pid_t>& roots);

// SIGKILL to all descendants of `root` and to the process group `group` (0: none), again until a walk finds
// nothing new or `rounds` are over. `root` itself is spared: it is the shim, which has an end to write down.
void KillDescendants(pid_t root, pid_t group, int rounds = 16);

// SIGKILL to every process of a session, for when the shim that led it is gone. Those that left it are
// missed.
void KillSession(pid_t session);

// Whether some process of the session was started with `variable` ("NAME=value") in its environment, as far
// as /proc shows it to us. If so, all of them belong together: a session's number is not given away while it
// has members.
bool SessionHas(pid_t session, const std::string& variable);

// The process whose first argument is `argument`, e.g. the shim of a directory; 0 when there is none.
pid_t FindByArgument(const std::string& argument);

}  // namespace hs
