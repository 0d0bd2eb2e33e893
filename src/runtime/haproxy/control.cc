#include "runtime/haproxy/control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "runtime/haproxy/processes.h"
#include "runtime/process/proc_tree.h"

extern char** environ;

namespace hs {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::experimental::awaitable_operators::operator||;
using boost::system::error_code;

namespace {

constexpr std::size_t kOutputMax = 16 * 1024;
constexpr std::size_t kAnswerUsual = 8 * 1024;
constexpr std::size_t kAnswerMax = 64 * 1024 * 1024;

// Calls `cut` unless the work is done in time; cancelled by destroying the timer.
awaitable<void> Expire(Duration timeout) {
  asio::steady_timer timer(co_await asio::this_coro::executor, timeout);
  error_code error;
  co_await timer.async_wait(asio::redirect_error(use_awaitable, error));
}

awaitable<Result<std::string>> Exchange(std::string socket_path, std::string line) {
  error_code error;
  asio::local::stream_protocol::socket socket(co_await asio::this_coro::executor);
  co_await socket.async_connect(asio::local::stream_protocol::endpoint(socket_path),
                                asio::redirect_error(use_awaitable, error));
  if (error) co_return Fail(Reaction::kReconnect, "HAProxy does not answer: " + error.message());
  line += '\n';
  co_await asio::async_write(socket, asio::buffer(line), asio::redirect_error(use_awaitable, error));
  if (!error) socket.shutdown(asio::local::stream_protocol::socket::shutdown_send, error);
  if (error) co_return Fail(Reaction::kReconnect, "HAProxy's command socket: " + error.message());
  // Most answers come with one read: a dynamic buffer offers the room that its string has.
  std::string answer;
  answer.reserve(kAnswerUsual);
  co_await asio::async_read(socket, asio::dynamic_buffer(answer, kAnswerMax),
                            asio::redirect_error(use_awaitable, error));
  if (error && error != asio::error::eof) {
    co_return Fail(Reaction::kReconnect, "HAProxy's command socket: " + error.message());
  }
  co_return answer;
}

struct Child {
  pid_t pid = -1;
  int output = -1;
};

Result<Child> Spawn(const std::vector<std::string>& argv) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return Fail(Reaction::kRetryLater, std::string("no pipe: ") + std::strerror(errno));
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  // The agent's signal mask and ignored signals must not pass on: HAProxy's master works by signals.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  Child child;
  const int error = posix_spawn(&child.pid, argv[0].c_str(), &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(pipe_ends[1]);
  if (error != 0) {
    close(pipe_ends[0]);
    return Fail(error == ENOENT ? Reaction::kFixInput : Reaction::kRetryLater,
                fmt::format("cannot run {}: {}", argv[0], std::strerror(error)));
  }
  child.output = pipe_ends[0];
  return child;
}

void ReadAvailable(int fd, std::string& output) {
  char buffer[4096];
  for (;;) {
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size <= 0) return;
    output.append(buffer, std::min<std::size_t>(static_cast<std::size_t>(size), kOutputMax - output.size()));
  }
}

// Until end of file; a daemon that the program leaves behind may hold the pipe open, so nobody waits for
// this.
awaitable<void> Collect(asio::posix::stream_descriptor& pipe, std::string& output) {
  error_code error;
  while (!error) {
    co_await pipe.async_wait(asio::posix::stream_descriptor::wait_read,
                             asio::redirect_error(use_awaitable, error));
    const std::size_t before = output.size();
    ReadAvailable(pipe.native_handle(), output);
    if (output.size() == before) break;
  }
  // The end of the program is what ends the run.
  co_await Expire(std::chrono::hours(24));
}

}  // namespace

awaitable<Result<std::string>> AskHaproxy(std::string socket_path, std::string line, Duration timeout) {
  if (socket_path.size() >= sizeof(sockaddr_un::sun_path))
    co_return BadInput("the path is too long: " + socket_path);
  auto answer = co_await (Exchange(std::move(socket_path), std::move(line)) || Expire(timeout));
  if (answer.index() == 0) co_return std::get<0>(std::move(answer));
  co_return Fail(Reaction::kRetryLater, fmt::format("HAProxy did not answer within {} ms", ToMs(timeout)));
}

awaitable<Result<ProgramEnd>> RunProgram(std::vector<std::string> argv, Duration timeout) {
  const auto executor = co_await asio::this_coro::executor;
  const Result<Child> child = Spawn(argv);
  if (!child) co_return std::unexpected(child.error());
  asio::posix::stream_descriptor pipe(executor, child->output);
  const int pidfd = OpenPidfd(child->pid);
  ProgramEnd end;
  if (pidfd >= 0) {
    asio::posix::stream_descriptor ended(executor, pidfd);
    error_code error;
    co_await (ended.async_wait(asio::posix::stream_descriptor::wait_read,
                               asio::redirect_error(use_awaitable, error)) ||
              Collect(pipe, end.output) || Expire(timeout));
  }
  int status = 0;
  if (waitpid(child->pid, &status, WNOHANG) != child->pid) {
    kill(child->pid, SIGKILL);
    waitpid(child->pid, &status, 0);
  }
  ReadAvailable(pipe.native_handle(), end.output);
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  co_return end;
}

std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path ? path : "") + ":/usr/sbin:/usr/local/sbin:/usr/bin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = folder + "/" + name;
    if (!folder.empty() && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

awaitable<Result<void>> CheckHaproxyConfig(std::string binary, std::string path) {
  const std::string program = FindProgram(binary);
  if (program.empty()) co_return Fail(Reaction::kRetryLater, kHaproxyMissing);
  const std::vector<std::string> argv = {program, "-c", "-q", "-f", path};
  const Result<ProgramEnd> end = co_await RunProgram(argv, kHaproxyStart);
  if (!end) co_return std::unexpected(end.error());
  if (end->exit_code != 0)
    co_return BadInput("HAProxy refuses the new configuration: " + AlertsOf(end->output));
  co_return Result<void>{};
}

}  // namespace hs
