#include "runtime/process/proc_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace hs {
namespace {

struct Stat {
  pid_t parent = 0;
  std::uint64_t start = 0;
  char state = '?';
};

bool ReadStat(pid_t pid, Stat& stat) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[1024];
  const ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return false;
  text[got] = '\0';
  const char* at = std::strrchr(text, ')');  // the name before it may hold anything
  if (at == nullptr || std::strlen(at) < 5) return false;
  stat.state = at[2];
  stat.parent = static_cast<pid_t>(std::strtol(at + 4, nullptr, 10));
  for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
  if (at == nullptr) return false;
  stat.start = std::strtoull(at + 1, nullptr, 10);
  return true;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  while (const dirent* entry = proc ? readdir(proc.get()) : nullptr) {
    const pid_t pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid > 0) all.push_back(pid);
  }
  return all;
}

// Without its leader.
std::vector<pid_t> MembersOf(pid_t session) {
  std::vector<pid_t> members = session > 1 ? AllProcesses() : std::vector<pid_t>{};
  std::erase_if(members, [&](pid_t pid) { return pid == session || getsid(pid) != session; });
  return members;
}

}  // namespace

std::uint64_t StartTimeOf(pid_t pid) {
  Stat stat;
  return ReadStat(pid, stat) ? stat.start : 0;
}

bool IsAlive(const ProcessName& process) {
  Stat stat;
  return process.pid > 0 && ReadStat(process.pid, stat) && stat.start == process.start && stat.state != 'Z';
}

int OpenPidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)); }

bool HasEnded(int pidfd) {
  pollfd wait{pidfd, POLLIN, 0};
  return poll(&wait, 1, 0) > 0;
}

std::vector<pid_t> DescendantsOf(pid_t root) { return std::move(DescendantsOfEach({root}).front()); }

std::vector<std::vector<pid_t>> DescendantsOfEach(const std::vector<pid_t>& roots) {
  std::multimap<pid_t, pid_t> children;
  for (const pid_t pid : AllProcesses()) {
    Stat stat;
    if (ReadStat(pid, stat) && stat.state != 'Z') children.emplace(stat.parent, pid);
  }
  std::vector<std::vector<pid_t>> found;
  for (const pid_t root : roots) {
    auto& below = found.emplace_back();
    std::vector<pid_t> open_ends{root};
    while (!open_ends.empty()) {
      const pid_t parent = open_ends.back();
      open_ends.pop_back();
      for (auto [it, end] = children.equal_range(parent); it != end; ++it) {
        below.push_back(it->second);
        open_ends.push_back(it->second);
      }
    }
  }
  return found;
}

void KillDescendants(pid_t root, pid_t group, int rounds) {
  if (group > 1) kill(-group, SIGKILL);
  std::set<pid_t> killed;
  for (int round = 0; round < rounds; ++round) {
    bool any_new = false;
    for (const pid_t pid : DescendantsOf(root)) {
      kill(pid, SIGKILL);
      any_new |= killed.insert(pid).second;
    }
    if (!any_new) return;
  }
}

void KillSession(pid_t session) {
  for (const pid_t pid : MembersOf(session)) kill(pid, SIGKILL);
}

bool SessionHas(pid_t session, const std::string& variable) {
  for (const pid_t pid : MembersOf(session)) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
    for (std::string word; std::getline(file, word, '\0');) {
      if (word == variable) return true;
    }
  }
  return false;
}

pid_t FindByArgument(const std::string& argument) {
  for (const pid_t pid : AllProcesses()) {
    const int fd = open(("/proc/" + std::to_string(pid) + "/cmdline").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    char text[4096];
    const ssize_t got = read(fd, text, sizeof text);
    close(fd);
    const std::string words(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    const std::size_t first = words.find('\0');
    if (first != std::string::npos &&
        words.compare(first + 1, argument.size() + 1, argument.c_str(), argument.size() + 1) == 0) {
      return pid;
    }
  }
  return 0;
}

}  // namespace hs
