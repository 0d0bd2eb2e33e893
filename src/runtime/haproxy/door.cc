#include "runtime/haproxy/door.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "runtime/haproxy/commands.h"
#include "runtime/haproxy/control.h"
#include "runtime/haproxy/drains.h"
#include "runtime/haproxy/ending.h"
#include "runtime/haproxy/files.h"
#include "runtime/haproxy/limits.h"
#include "runtime/haproxy/processes.h"
#include "runtime/net/sockets.h"
#include "runtime/process/proc_tree.h"

namespace hs {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using boost::system::error_code;
using WallTimer = std::chrono::steady_clock;

namespace {

constexpr Duration kAskTimeout = 2s;
constexpr Duration kReloadTimeout = 10s;
constexpr Duration kStuck = 5s;  // three questions to a worker; more would fill its master's own socket
constexpr Duration kPoll = 10ms;
// The master starts itself afresh at a start and a reload, and forgets who was asking: ask again soon.
constexpr Duration kPollTimeout = 100ms;
constexpr Duration kRetry = 1s;         // something HAProxy could not do now, such as deleting a busy server
constexpr Duration kRetryRefused = 5s;  // a refused configuration or a port in use
constexpr Duration kLook = 5s;          // whether it still answers, when nothing else is asked of it
constexpr Duration kBackoffFirst = 200ms;
constexpr Duration kBackoffMax = 10s;

}  // namespace

struct HaproxyDoor::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& io_context, DoorConfig door_config, OnStatus callback)
      : io(io_context), config(std::move(door_config)), on_status(std::move(callback)), wake(io_context) {
    config.connections_max = ConnectionsWithinLimit(config.connections_max);
  }

  // One round's outcome.
  struct Round {
    std::vector<std::string> errors;
    std::optional<Duration> again;
    bool undecided = false;  // too early to say whether all is well
    void Retry(Duration after) { again = again ? std::min(*again, after) : after; }
    void Failed(std::string error, Duration after) {
      errors.push_back(std::move(error));
      Retry(after);
    }
  };

  awaitable<void> Run();
  awaitable<void> Converge(Round& round);
  awaitable<std::optional<HaproxyProcesses>> Processes(Duration timeout = kAskTimeout);
  awaitable<void> Start(const DoorTable& table, const std::string& wanted, Round& round);
  awaitable<bool> Reload(const DoorTable& table, const std::string& wanted, const HaproxyProcesses& before,
                         Round& round);
  awaitable<Result<void>> AwaitReload(std::uint32_t reloads_before);
  awaitable<void> AdjustServers(const DoorTable& table, const HaproxyProcesses& processes, Round& round);
  awaitable<void> AdjustMap(std::string path, std::optional<Routes>& known, Routes wanted, Round& round);
  awaitable<Result<std::string>> AskWorker(const std::string& command);
  awaitable<void> Watch(pid_t master);
  awaitable<void> Sleep(Duration duration);
  awaitable<void> End(std::function<void()> done);

  Result<void> WriteMaps(const DoorTable& table) const;
  std::set<Endpoint> TakenPorts(const DoorTable& table, bool running, Round& round) const;
  void AwaitAnswer(Round& round);
  // Its pid file is not written yet.
  bool IsStarting() const {
    return WallTimer::now() < started_at + kReloadTimeout && !ProcessesOf(config).empty();
  }
  void Report(const Round& round);
  void Wake() { wake.expires_at(WallTimer::time_point::min()); }

  asio::io_context& io;
  DoorConfig config;
  DoorPorts ports;
  OnStatus on_status;
  asio::steady_timer wake;

  std::shared_ptr<LimitedServices> limited = std::make_shared<LimitedServices>();
  std::shared_ptr<Drains> drains = std::make_shared<Drains>();
  DoorTable want;
  std::uint64_t generation = 0;
  bool closed = false;   // the owner is gone
  bool started = false;  // Run() runs

  std::string loaded;             // the configuration HAProxy runs; empty: not known to run
  std::optional<Routes> routes;   // as HAProxy has them; none: to be asked
  std::optional<Routes> removed;  // the same
  std::optional<Routes> boxes;    // the same
  std::string refused;            // shape of the configuration that was refused last
  std::string refusal;            // in HAProxy's words
  WallTimer::time_point refused_until{};
  Duration backoff = kBackoffFirst;
  WallTimer::time_point start_not_before{};
  WallTimer::time_point started_at{};
  std::optional<WallTimer::time_point> silent_since;  // the master
  std::optional<WallTimer::time_point> stuck_since;   // the worker, though its master answers
  pid_t watched = 0;
  std::optional<std::string> reported;
  std::set<std::string> served;  // backends it had when its status was told last
};

HaproxyDoor::HaproxyDoor(asio::io_context& io, DoorConfig config, OnStatus on_status, OnIdle on_idle)
    : impl_(std::make_shared<Impl>(io, std::move(config), std::move(on_status))) {
  impl_->drains->on_idle = std::move(on_idle);
}

HaproxyDoor::~HaproxyDoor() {
  impl_->closed = true;
  impl_->limited->Close();
  impl_->drains->closed = true;
  impl_->on_status = nullptr;
  impl_->Wake();
}

Result<DoorPorts> HaproxyDoor::Prepare() {
  constexpr std::size_t kSocketPathMax = 92;  // HAProxy binds PATH.PID.tmp first, of 107 bytes at most
  if (MasterSocketPath(impl_->config).size() > kSocketPathMax) {
    return BadInput(
        fmt::format("the path of the door's socket is longer than {} bytes: {}; use a shorter data directory",
                    kSocketPathMax, MasterSocketPath(impl_->config)));
  }
  if (const Result<void> made = MakeFolder(impl_->config.dir); !made) return std::unexpected(made.error());
  const Result<DoorPorts> ports = ChoosePorts(impl_->config);
  if (ports) impl_->ports = *ports;
  return ports;
}

void HaproxyDoor::Apply(DoorTable table) {
  impl_->want = std::move(table);
  ++impl_->generation;
  impl_->limited->names = WithReplicasHere(impl_->want);
  impl_->drains->watch.Take(impl_->want);
  if (impl_->drains->on_idle && !impl_->drains->watch.empty() && !impl_->drains->looking) {
    impl_->drains->looking = true;
    asio::co_spawn(impl_->io, WatchDrains(impl_->config, impl_->drains), asio::detached);
  }
  if (!impl_->started) {
    impl_->started = true;
    asio::co_spawn(impl_->io, KeepLimits(impl_->config, impl_->limited), asio::detached);
    asio::co_spawn(
        impl_->io, [impl = impl_]() { return impl->Run(); }, asio::detached);
  } else {
    impl_->Wake();
  }
}

bool HaproxyDoor::Serves(const std::string& service) const {
  return (impl_->reported && !impl_->reported->empty()) || impl_->served.contains("in_" + service);
}

void HaproxyDoor::LookAtLimits() { impl_->limited->Look(); }

void HaproxyDoor::Shutdown(std::function<void()> done) {
  impl_->closed = true;
  impl_->limited->Close();
  impl_->drains->closed = true;
  impl_->Wake();
  asio::co_spawn(
      impl_->io, [impl = impl_, call = std::move(done)]() mutable { return impl->End(std::move(call)); },
      asio::detached);
}

awaitable<void> HaproxyDoor::Impl::Run() {
  const auto self = shared_from_this();
  while (!closed) {
    const std::uint64_t seen = generation;
    Round round;
    wake.expires_at(WallTimer::time_point::max());
    co_await Converge(round);
    if (closed) co_return;
    if (seen != generation) continue;
    Report(round);
    if (closed || seen != generation) continue;
    // Woken during the round (HAProxy died, say): the timer was set to the past and is left alone.
    const Duration again =
        std::min(round.again.value_or(Duration::max()), loaded.empty() ? Duration::max() : kLook);
    if (wake.expiry() != WallTimer::time_point::min() && again != Duration::max()) wake.expires_after(again);
    error_code error;
    co_await wake.async_wait(asio::redirect_error(use_awaitable, error));
  }
}

void HaproxyDoor::Impl::Report(const Round& round) {
  const std::string error = fmt::format("{}", fmt::join(round.errors, "; "));
  if (round.undecided) return;
  served = BackendNamesOf(loaded);
  if (reported == error || !on_status) return;
  reported = error;
  on_status(error);
}

awaitable<void> HaproxyDoor::Impl::Sleep(Duration duration) {
  asio::steady_timer timer(io, duration);
  error_code error;
  co_await timer.async_wait(asio::redirect_error(use_awaitable, error));
}

awaitable<Result<std::string>> HaproxyDoor::Impl::AskWorker(const std::string& command) {
  co_return co_await AskHaproxy(MasterSocketPath(config), "@1 " + command, kAskTimeout);
}

awaitable<std::optional<HaproxyProcesses>> HaproxyDoor::Impl::Processes(Duration timeout) {
  const Result<std::string> answer = co_await AskHaproxy(MasterSocketPath(config), "show proc", timeout);
  if (!answer) co_return std::nullopt;
  co_return ParseProcesses(*answer);
}

// A dead master is noticed at once, not at the next change.
awaitable<void> HaproxyDoor::Impl::Watch(pid_t master) {
  const auto self = shared_from_this();
  const int fd = OpenPidfd(master);
  if (fd >= 0) {
    asio::posix::stream_descriptor ended(io, fd);
    error_code error;
    co_await ended.async_wait(asio::posix::stream_descriptor::wait_read,
                              asio::redirect_error(use_awaitable, error));
  } else {
    co_await Sleep(kRetry);
  }
  if (watched == master) watched = 0;
  Wake();
}

std::set<Endpoint> HaproxyDoor::Impl::TakenPorts(const DoorTable& table, bool running, Round& round) const {
  const std::set<Endpoint> ours = running ? BindsOf(loaded) : std::set<Endpoint>{};
  std::set<Endpoint> taken;
  for (const DoorBind& bind : DoorBinds(table, config)) {
    if (ours.contains(bind.endpoint) || taken.contains(bind.endpoint)) continue;
    std::string reason = WhyNotBindable(bind.endpoint);
    if (reason.empty()) continue;
    taken.insert(bind.endpoint);
    if (const std::string holder = HolderOf(bind.endpoint); !holder.empty()) reason = holder + " has it";
    round.Failed(fmt::format("{} cannot listen on {}: {}", bind.owner, bind.endpoint.ToString(), reason),
                 kRetryRefused);
  }
  return taken;
}

awaitable<void> HaproxyDoor::Impl::Converge(Round& round) {
  const DoorTable table = want;
  std::optional<HaproxyProcesses> processes = co_await Processes();
  if (!processes && table.services.empty() && loaded.empty()) {  // nothing to do yet
    if (FindProgram(config.binary).empty()) round.Failed(kHaproxyMissing, kRetryRefused);
    if (RunningMaster(config) == 0) (void)TakenPorts(table, false, round);  // said in `round`
    co_return;
  }
  const bool may_answer = !processes && (RunningMaster(config) != 0 || IsStarting());
  if (!processes && !may_answer) co_await KillHaproxy(config);
  round.errors = Problems(table, config);
  if (processes && loaded.empty()) loaded = ReadText(ConfigPath(config));  // taken over from an earlier agent
  const std::set<Endpoint> taken = TakenPorts(table, processes.has_value(), round);
  const std::string wanted = RenderConfig(table, config, ports, taken);
  if (!processes) {
    if (may_answer) {
      AwaitAnswer(round);
      if (!silent_since) co_await KillHaproxy(config);
    } else {
      co_await Start(table, wanted, round);
    }
    co_return;
  }
  silent_since.reset();
  if (watched != processes->master) {
    watched = processes->master;
    asio::co_spawn(io, Watch(watched), asio::detached);
  }
  // Before a reload too: the worker that gives way must cut what hangs on dead servers.
  co_await AdjustServers(table, *processes, round);
  if (ShapeOf(wanted) == ShapeOf(loaded)) {
    refused.clear();
    co_await AdjustMap(RoutesPath(config), routes, RoutesOf(table), round);
    co_await AdjustMap(RemovedPath(config), removed, RemovedOf(table), round);
    co_await AdjustMap(BoxesPath(config), boxes, BoxesOf(table), round);
    co_return;
  }
  if (co_await Reload(table, wanted, *processes, round)) {
    round.Retry(0ms);  // servers that changed meanwhile, and what the new worker says it has
  }
}

// The process is there and does not answer: it is starting, reloading, or stuck. Never start a second one
// beside it, since the kernel would let both have the ports.
void HaproxyDoor::Impl::AwaitAnswer(Round& round) {
  const auto now = WallTimer::now();
  if (!silent_since) silent_since = now;
  if (now - *silent_since < kAskTimeout) {
    round.undecided = true;
    round.Retry(kPoll);
    return;
  }
  round.Failed("HAProxy does not answer", kRetry);
  if (now - *silent_since > kReloadTimeout) silent_since.reset();  // it is ended
}

// What a configuration refers to.
Result<void> HaproxyDoor::Impl::WriteMaps(const DoorTable& table) const {
  Result<void> written = WriteText(RoutesPath(config), RenderRoutes(RoutesOf(table)));
  if (written) written = WriteText(RemovedPath(config), RenderRoutes(RemovedOf(table)));
  if (written) written = WriteText(BoxesPath(config), RenderRoutes(BoxesOf(table)));
  if (written) written = WriteText(RoomsPath(config), RenderRoutes(RoomsOf(table)));
  if (written) written = WriteText(RefusalPath(config), RenderRefusal());
  return written;
}

awaitable<void> HaproxyDoor::Impl::Start(const DoorTable& table, const std::string& wanted, Round& round) {
  const auto now = WallTimer::now();
  if (now < start_not_before) {
    round.Failed(refusal.empty() ? "HAProxy ended and is started again" : refusal, start_not_before - now);
    co_return;
  }
  start_not_before = now + backoff;
  const Duration wait = backoff;
  backoff = std::min(backoff * 2, kBackoffMax);
  const std::string binary = FindProgram(config.binary);
  if (binary.empty()) {
    refusal = kHaproxyMissing;
    round.Failed(refusal, wait);
    co_return;
  }
  Result<void> written = WriteMaps(table);
  if (written) written = WriteText(ConfigPath(config), wanted);
  if (!written) {
    round.Failed(written.error().message, wait);
    co_return;
  }
  const std::vector<std::string> argv = {binary,
                                         "-W",
                                         "-D",
                                         "-S",
                                         MasterSocketPath(config) + ",mode,600,level,admin",
                                         "-p",
                                         PidPath(config),
                                         "-f",
                                         ConfigPath(config)};
  const Result<ProgramEnd> end = co_await RunProgram(argv, kHaproxyStart);
  if (!end || end->exit_code != 0) {
    refusal = end ? "HAProxy does not start: " + AlertsOf(end->output) : end.error().message;
    round.Failed(refusal, wait);
    co_return;
  }
  refusal.clear();
  started_at = WallTimer::now();
  loaded = wanted;
  routes = RoutesOf(table);
  removed = RemovedOf(table);
  boxes = BoxesOf(table);
  // A start that lasts resets the back-off: the next round finds it running.
  for (Duration waited{}; waited < kAskTimeout; waited += kPoll) {
    if (co_await Processes(kPollTimeout)) {
      round.Retry(0ms);
      co_return;
    }
    co_await Sleep(kPoll);
  }
  round.Failed("HAProxy started and does not answer", wait);
}

awaitable<Result<void>> HaproxyDoor::Impl::AwaitReload(std::uint32_t reloads_before) {
  const auto deadline = WallTimer::now() + kReloadTimeout;
  while (WallTimer::now() < deadline) {
    const std::optional<HaproxyProcesses> now = co_await Processes(kPollTimeout);
    if (now && now->reloads != reloads_before) {
      if (now->failed == 0) co_return Result<void>{};
      co_return Fail(Reaction::kRetryLater,
                     "HAProxy could not take the new configuration; it keeps the old one");
    }
    co_await Sleep(kPoll);
  }
  co_return Fail(Reaction::kRetryLater, "HAProxy did not finish its reload in time");
}

awaitable<bool> HaproxyDoor::Impl::Reload(const DoorTable& table, const std::string& wanted,
                                          const HaproxyProcesses& before, Round& round) {
  const std::string shape = ShapeOf(wanted);
  if (shape == refused && WallTimer::now() < refused_until) {
    round.Failed(refusal, kRetryRefused);
    co_return false;
  }
  const std::string candidate = ConfigPath(config) + ".new";
  const std::string previous = ReadText(ConfigPath(config));
  Result<void> result = WriteMaps(table);
  if (result) result = WriteText(candidate, wanted);
  if (result) result = co_await CheckHaproxyConfig(config.binary, candidate);
  if (result) {
    result = WriteText(ConfigPath(config), wanted);
    if (result) (void)co_await AskHaproxy(MasterSocketPath(config), "reload", kAskTimeout);
    if (result) result = co_await AwaitReload(before.reloads);
    if (!result) (void)WriteText(ConfigPath(config), previous);
  }
  if (!result) {
    refused = shape;
    refusal = result.error().message;
    refused_until = WallTimer::now() + kRetryRefused;
    round.Failed(refusal, kRetryRefused);
    co_return false;
  }
  loaded = wanted;
  routes = RoutesOf(table);
  removed = RemovedOf(table);
  boxes = BoxesOf(table);
  refused.clear();
  co_return true;
}

awaitable<void> HaproxyDoor::Impl::AdjustServers(const DoorTable& table, const HaproxyProcesses& processes,
                                                 Round& round) {
  const Result<std::string> answer = co_await AskWorker("show servers state");
  Result<Backends> have = answer ? ParseServersState(*answer) : std::unexpected(answer.error());
  const auto now = WallTimer::now();
  if (!have) {
    if (!stuck_since) stuck_since = now;
    round.Failed("HAProxy's worker does not answer: " + have.error().message, kRetry);
    if (now - *stuck_since < kStuck) co_return;
    stuck_since.reset();
    kill(processes.worker, SIGKILL);  // its master ends with it, and is started afresh
    co_return;
  }
  stuck_since.reset();
  for (const std::string& name : BackendNamesOf(loaded)) (*have)[name];
  backoff = kBackoffFirst;
  for (const std::string& command : RuntimeCommands(*have, BackendsOf(table), config)) {
    const Result<std::string> done = co_await AskWorker(command);
    if (!done) {
      round.Failed(done.error().message, kRetry);
      co_return;
    }
    if (command.starts_with("shutdown sessions")) {
      for (const pid_t old : processes.old_workers) {
        (void)co_await AskHaproxy(MasterSocketPath(config), fmt::format("@!{} {}", old, command),
                                  kAskTimeout);
      }
    }
    if (IsAccepted(command, *done)) continue;
    if (command.starts_with("del server")) {
      round.Retry(kRetry);  // its last requests are still running
    } else {
      round.Failed(fmt::format("HAProxy refuses '{}': {}", command, done->substr(0, 200)), kRetry);
    }
  }
}

awaitable<void> HaproxyDoor::Impl::AdjustMap(std::string path, std::optional<Routes>& known, Routes wanted,
                                             Round& round) {
  // Without a door of its own, a box's HAProxy has no use for most maps, and refuses what it has not loaded.
  if (loaded.find(EscapeWord(path)) == std::string::npos) co_return;
  if (!known) {
    const Result<std::string> answer = co_await AskWorker("show map " + EscapeWord(path));
    if (!answer) {
      round.Failed(answer.error().message, kRetry);
      co_return;
    }
    known = ParseMap(*answer);
  }
  if (*known == wanted) co_return;
  const Routes have = *known;
  known.reset();  // to be asked again should anything go wrong below
  for (const std::string& command : MapCommands(have, wanted, path)) {
    const Result<std::string> done = co_await AskWorker(command);
    if (!done || !IsAccepted(command, *done)) {
      round.Failed(done ? fmt::format("HAProxy refuses '{}': {}", command, done->substr(0, 200))
                        : done.error().message,
                   kRetry);
      co_return;
    }
  }
  known = wanted;
  if (const Result<void> written = WriteText(path, RenderRoutes(wanted)); !written) {
    round.Failed(written.error().message, kRetry);
  }
}

awaitable<void> HaproxyDoor::Impl::End(std::function<void()> done) {
  const auto self = shared_from_this();
  co_await StopHaproxy(config);
  if (done) done();
}

}  // namespace hs
