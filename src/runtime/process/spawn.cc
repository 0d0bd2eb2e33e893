#include "runtime/process/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include <charconv>
#include <memory>

namespace hs {
namespace {

bool ParseNumber(const std::string& text, unsigned& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

void Fd::Close() {
  if (fd_ >= 0) close(fd_);
}

Result<RunAs> ResolveUser(const std::string& user) {
  RunAs run_as;
  if (user.empty()) return run_as;
  const std::size_t colon = user.find(':');
  const std::string name = user.substr(0, colon);
  unsigned number = 0;
  const bool numeric = ParseNumber(name, number);
  const passwd* entry = numeric ? getpwuid(number) : getpwnam(name.c_str());
  if (entry == nullptr && !numeric)
    return BadInput(fmt::format("user {}: there is no such user on this box", name));
  run_as.uid = numeric ? number : entry->pw_uid;
  run_as.gid = entry != nullptr ? entry->pw_gid : number;
  std::vector<gid_t> groups;
  if (entry != nullptr) {
    int count = 64;  // the shim takes no more
    groups.resize(64);
    if (getgrouplist(entry->pw_name, run_as.gid, groups.data(), &count) < 0) count = 64;
    groups.resize(static_cast<std::size_t>(count));
  }
  if (colon != std::string::npos) {
    const std::string group = user.substr(colon + 1);
    if (ParseNumber(group, number)) {
      run_as.gid = number;
    } else if (const struct group* found = getgrnam(group.c_str())) {
      run_as.gid = found->gr_gid;
    } else {
      return BadInput(fmt::format("group {}: there is no such group on this box", group));
    }
  }
  if (geteuid() != 0) {
    if (run_as.uid == geteuid()) return RunAs{};
    return BadInput(fmt::format("user {}: only an agent run by root can change the user", user));
  }
  run_as.words = fmt::format("{}:{}:{}", run_as.uid, run_as.gid, fmt::join(groups, ","));
  if (groups.empty()) run_as.words.pop_back();
  return run_as;
}

Result<pid_t> SpawnProgram(const SpawnRequest& request) {
  // Ours may be 3 or 4 themselves: move both out of the way first.
  const Fd third(request.fd3 < 0 ? -1 : fcntl(request.fd3, F_DUPFD_CLOEXEC, 10));
  const Fd fourth(request.fd4 < 0 ? -1 : fcntl(request.fd4, F_DUPFD_CLOEXEC, 10));
  if ((request.fd3 >= 0 && !third) || (request.fd4 >= 0 && !fourth))
    return Fail(Reaction::kRetryLater, fmt::format("{}: {}", request.argv[0], strerror(errno)));
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&files, 0, 1);
  posix_spawn_file_actions_adddup2(&files, 0, 2);
  if (third) posix_spawn_file_actions_adddup2(&files, third.get(), 3);
  if (fourth) posix_spawn_file_actions_adddup2(&files, fourth.get(), 4);
  posix_spawn_file_actions_addclosefrom_np(&files, fourth ? 5 : third ? 4 : 3);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t all;
  sigset_t none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  const int leads = request.leads_session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
  posix_spawnattr_setflags(&attributes,
                           static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | leads));

  pid_t pid = 0;
  const int error = posix_spawn(&pid, request.argv[0].c_str(), &files, &attributes,
                                Pointers(request.argv).data(), Pointers(request.environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Fail(Reaction::kRetryLater, fmt::format("{}: {}", request.argv[0], strerror(error)));
  return pid;
}

int SignalNumber(const std::string& name) {
  unsigned number = 0;
  if (ParseNumber(name, number))
    return number < static_cast<unsigned>(SIGRTMAX) ? static_cast<int>(number) : 0;
  const std::string bare = name.starts_with("SIG") ? name.substr(3) : name;
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* abbreviation = sigabbrev_np(signal);
    if (abbreviation != nullptr && bare == abbreviation) return signal;
  }
  return 0;
}

}  // namespace hs
