#include "runtime/bundle/helper.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

extern char** environ;

namespace hs {
namespace {

constexpr std::size_t kErrorMax = 4096;

std::string ReadAll(int fd) {
  std::string text;
  char buffer[1024];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    // Beyond the bound it is read and dropped, so that the helper never waits for us.
    text.append(buffer,
                std::min(static_cast<std::size_t>(got), kErrorMax - std::min(text.size(), kErrorMax)));
  }
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

std::filesystem::path DefaultBundleHelper() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "homeostat-bundle";
}

Result<void> RunBundleHelper(const std::filesystem::path& helper, const std::vector<std::string>& arguments,
                             int stdin_fd) {
  std::vector<char*> argv = {const_cast<char*>(helper.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return Fail(Reaction::kRetryLater, std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (stdin_fd >= 0) {
    posix_spawn_file_actions_adddup2(&actions, stdin_fd, 0);
  } else {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 2);
  // The agent may block or ignore signals; the helper should die of them as usual.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, helper.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  if (failed != 0) {
    close(pipe_fds[0]);
    return Fail(Reaction::kRetryLater, helper.string() + ": " + std::strerror(failed));
  }
  const std::string said = ReadAll(pipe_fds[0]);
  close(pipe_fds[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return Fail(Reaction::kRetryLater, helper.string() + ": " + std::strerror(errno));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const Reaction reaction =
      WIFEXITED(status) && WEXITSTATUS(status) == 1 ? Reaction::kFixInput : Reaction::kRetryLater;
  if (!said.empty()) return Fail(reaction, said);
  return Fail(reaction, helper.string() + " ended with " +
                            (WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                                 : "code " + std::to_string(WEXITSTATUS(status))));
}

}  // namespace hs
