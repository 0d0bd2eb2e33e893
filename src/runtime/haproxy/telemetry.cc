#include "runtime/haproxy/telemetry.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <utility>

#include "runtime/haproxy/control.h"
#include "runtime/haproxy/files.h"
#include "runtime/haproxy/processes.h"

namespace hs {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using LineSocket = asio::local::datagram_protocol::socket;

namespace {

constexpr Duration kMeasureTimeout = 800ms;
constexpr std::size_t kLineMax = 1024;
// Lines read before others get their turn.
constexpr int kLinesAtOnce = 256;
constexpr std::size_t kOldWorkersMax = 8;
constexpr const char* kStatsHead = "# pxname,";

}  // namespace

struct DoorTelemetry::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& io_context, DoorConfig door_config, Clock now)
      : io(io_context), config(std::move(door_config)), clock(std::move(now)), socket(io_context) {}

  void AwaitLines();
  awaitable<void> Run(Done done);
  awaitable<std::optional<std::vector<WorkerStats>>> AskWorkers();

  asio::io_context& io;
  DoorConfig config;
  Clock clock;
  LineSocket socket;
  DoorTraffic traffic;
  pid_t known_worker = 0;  // of the last second
  bool measuring = false;
  bool closed = false;
};

DoorTelemetry::DoorTelemetry(asio::io_context& io, DoorConfig config, Clock clock)
    : impl_(std::make_shared<Impl>(io, std::move(config), std::move(clock))) {}

DoorTelemetry::~DoorTelemetry() {
  impl_->closed = true;
  error_code ignored;
  impl_->socket.close(ignored);
}

const DoorTraffic& DoorTelemetry::traffic() const { return impl_->traffic; }

Result<void> DoorTelemetry::Open() {
  const std::string path = RequestLogPath(impl_->config);
  ::unlink(path.c_str());
  error_code error;
  impl_->socket.open(asio::local::datagram_protocol(), error);
  if (!error) impl_->socket.bind(asio::local::datagram_protocol::endpoint(path), error);
  if (!error) impl_->socket.non_blocking(true, error);
  if (error)
    return Fail(Reaction::kRetryLater, fmt::format("cannot listen on {}: {}", path, error.message()));
  impl_->AwaitLines();
  return {};
}

void DoorTelemetry::Impl::AwaitLines() {
  socket.async_wait(LineSocket::wait_read, [self = shared_from_this()](const error_code& failure) {
    if (failure || self->closed) return;
    std::array<char, kLineMax> line;
    const Time now = self->clock();
    for (int i = 0; i < kLinesAtOnce; ++i) {
      error_code error;
      const std::size_t size = self->socket.receive(asio::buffer(line), 0, error);
      if (error) break;
      self->traffic.Add(now, {line.data(), size});
    }
    self->AwaitLines();
  });
}

void DoorTelemetry::Measure(Done done) {
  if (std::exchange(impl_->measuring, true)) return done(std::nullopt);
  asio::co_spawn(
      impl_->io, [impl = impl_, call = std::move(done)]() mutable { return impl->Run(std::move(call)); },
      asio::detached);
}

awaitable<void> DoorTelemetry::Impl::Run(Done done) {
  const auto self = shared_from_this();
  const std::optional<std::vector<WorkerStats>> workers = co_await AskWorkers();
  measuring = false;
  if (closed) co_return;
  done(workers ? traffic.Take(clock(), *workers) : std::nullopt);
}

// All workers of this HAProxy; none at all when there is no HAProxy. Nothing when one that is there does not
// tell.
awaitable<std::optional<std::vector<WorkerStats>>> DoorTelemetry::Impl::AskWorkers() {
  const Time deadline = clock() + kMeasureTimeout;
  const std::string socket_path = MasterSocketPath(config);
  const auto question = [](pid_t pid) { return fmt::format("@!{} show stat -1 2 -1", pid); };
  // Nearly always the worker is the one of the last second: then one question tells all.
  const std::string both = known_worker == 0 ? "show proc" : "show proc;" + question(known_worker);
  const Result<std::string> answer = co_await AskHaproxy(socket_path, both, kMeasureTimeout);
  const std::size_t stats_at = answer ? std::min(answer->find(kStatsHead), answer->size()) : 0;
  const std::optional<HaproxyProcesses> processes =
      answer ? ParseProcesses(answer->substr(0, stats_at)) : std::nullopt;
  std::vector<WorkerStats> workers;
  if (!processes) {
    known_worker = 0;
    if (RunningMaster(config) == 0) co_return workers;
    co_return std::nullopt;
  }
  const bool known = std::exchange(known_worker, processes->worker) == processes->worker;
  std::vector<pid_t> pids = processes->old_workers;
  if (pids.size() > kOldWorkersMax) pids.resize(kOldWorkersMax);
  pids.push_back(processes->worker);
  for (const pid_t pid : pids) {
    const bool is_told = known && pid == processes->worker && stats_at < answer->size();
    const Time now = clock();
    if (!is_told && now >= deadline) co_return std::nullopt;
    Result<std::string> text;
    if (is_told) {
      text = answer->substr(stats_at);
    } else {
      text = co_await AskHaproxy(socket_path, question(pid), deadline - now);
    }
    Result<std::vector<BackendStats>> backends = text ? ParseStats(*text) : std::unexpected(text.error());
    if (backends) {
      workers.push_back({pid, std::move(*backends)});
    } else if (pid == processes->worker) {
      co_return std::nullopt;
    }
    // An old one may have ended since.
  }
  co_return workers;
}

}  // namespace hs
