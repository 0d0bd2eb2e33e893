#include "runtime/process/prober.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <memory>

#include "runtime/process/proc_tree.h"
#include "runtime/process/spawn.h"

namespace hs {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// A timer this late means that the whole process was held up: answers may be waiting to be read.
constexpr Duration kLate = 100ms;
constexpr Duration kLateGrace = 250ms;

const IpAddress kLocalhost = IpAddress::V4(127, 0, 0, 1);

tcp::endpoint ToAsio(const Endpoint& address) {
  if (!address.ip.IsV4()) return {asio::ip::address_v6(address.ip.bytes), address.port};
  const auto& b = address.ip.bytes;
  return {asio::ip::address_v4({b[12], b[13], b[14], b[15]}), address.port};
}

// Calls `expired` once after `timeout`, and after a moment's grace when the timer itself was late.
void Arm(asio::steady_timer& timer, Duration timeout, std::function<void()> expired) {
  timer.expires_after(timeout);
  timer.async_wait([&timer, expired = std::move(expired)](error_code error) {
    if (error) return;
    if (std::chrono::steady_clock::now() - timer.expiry() > kLate) {
      timer.expires_after(kLateGrace);
      timer.async_wait([expired](error_code again) {
        if (!again) expired();
      });
      return;
    }
    expired();
  });
}

class NetworkProbe : public std::enable_shared_from_this<NetworkProbe> {
 public:
  NetworkProbe(asio::io_context& io, const ProbeReplica& probe, ProbeDone done)
      : probe_(probe), done_(std::move(done)), socket_(io), timer_(io), address_(probe.address) {}

  void Run() {
    Arm(timer_, probe_.check.timeout, [self = shared_from_this()] {
      self->Finish(false, fmt::format("no answer from {} within {} ms", self->address_.ToString(),
                                      ToMs(self->probe_.check.timeout)));
    });
    Connect();
  }

 private:
  void Connect() {
    socket_.async_connect(ToAsio(address_),
                          [self = shared_from_this()](error_code error) { self->Connected(error); });
  }

  void Connected(error_code error) {
    if (!done_) return;
    if (error == asio::error::connection_refused && address_.ip != kLocalhost) {
      address_.ip = kLocalhost;
      error_code ignored;
      socket_.close(ignored);
      Connect();
      return;
    }
    if (error) {
      Finish(false, fmt::format("{}: {}", probe_.address.ToString(), error.message()));
    } else if (probe_.check.kind == HealthKind::kTcp) {
      Finish(true, "");
    } else {
      Ask();
    }
  }

  void Ask() {
    request_.method(http::verb::get);
    request_.target(probe_.check.path.empty() ? "/" : probe_.check.path);
    request_.version(11);
    request_.set(http::field::host, address_.ToString());
    request_.set(http::field::user_agent, "homeostat-health");
    request_.set(http::field::connection, "close");
    http::async_write(socket_, request_, [self = shared_from_this()](error_code error, std::size_t) {
      if (!self->done_) return;
      if (error) return self->Finish(false, self->Http("sending the request: " + error.message()));
      http::async_read_header(self->socket_, self->buffer_, self->answer_,
                              [self](error_code read_error, std::size_t) { self->Answered(read_error); });
    });
  }

  void Answered(error_code error) {
    if (!done_) return;
    if (error) return Finish(false, Http(error.message()));
    const unsigned status = answer_.get().result_int();
    const bool healthy = status >= 200 && status < 400;
    Finish(healthy, healthy ? "" : Http(fmt::format("answered {}", status)));
  }

  std::string Http(const std::string& what) const {
    return fmt::format("GET {}{}: {}", address_.ToString(), probe_.check.path, what);
  }

  void Finish(bool healthy, std::string detail) {
    if (!done_) return;
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    ProbeResult result{probe_.id, probe_.probe, healthy, std::move(detail), {}};
    if (healthy && address_ != probe_.address) result.address = address_;
    std::exchange(done_, nullptr)(std::move(result));
  }

  ProbeReplica probe_;
  ProbeDone done_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  Endpoint address_;
  http::request<http::empty_body> request_;
  http::response_parser<http::empty_body> answer_;
  boost::beast::flat_buffer buffer_{64 * 1024};
};

class CommandProbe : public std::enable_shared_from_this<CommandProbe> {
 public:
  CommandProbe(asio::io_context& io, const ProbeReplica& probe, ProbeDone done)
      : probe_(probe), done_(std::move(done)), end_(io), timer_(io) {}

  void Run(const SpawnRequest& request) {
    const Result<pid_t> pid = SpawnProgram(request);
    if (!pid) return Finish(false, pid.error().message);
    pid_ = *pid;
    const int fd = OpenPidfd(pid_);
    if (fd < 0) {
      const std::string why = strerror(errno);
      kill(-pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      return Finish(false, "pidfd: " + why);
    }
    end_.assign(fd);
    AwaitEnd();
    Arm(timer_, probe_.check.timeout, [self = shared_from_this()] {
      self->timed_out_ = true;
      kill(-self->pid_, SIGKILL);  // its end is then noticed like any other
    });
  }

 private:
  void AwaitEnd() {
    end_.async_wait(asio::posix::descriptor_base::wait_read,
                    [self = shared_from_this()](error_code error) { self->Ended(error); });
  }

  void Ended(error_code error) {
    if (error) return;
    if (!HasEnded(end_.native_handle())) return AwaitEnd();
    siginfo_t info{};
    kill(-pid_,
         SIGKILL);  // not reaped yet, so the number is still its own; what it left in its group ends with it
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
    const std::string command = fmt::format("{}", fmt::join(probe_.check.command, " "));
    if (timed_out_)
      return Finish(false, fmt::format("{}: not done within {} ms", command, ToMs(probe_.check.timeout)));
    if (info.si_code != CLD_EXITED)
      return Finish(false, fmt::format("{}: killed by signal {}", command, info.si_status));
    Finish(info.si_status == 0,
           info.si_status == 0 ? "" : fmt::format("{}: exit code {}", command, info.si_status));
  }

  void Finish(bool healthy, std::string detail) {
    timer_.cancel();
    if (done_) std::exchange(done_, nullptr)({probe_.id, probe_.probe, healthy, std::move(detail), {}});
  }

  ProbeReplica probe_;
  ProbeDone done_;
  asio::posix::stream_descriptor end_;
  asio::steady_timer timer_;
  pid_t pid_ = 0;
  bool timed_out_ = false;
};

}  // namespace

void ProbeNetwork(asio::io_context& io, const ProbeReplica& probe, ProbeDone done) {
  std::make_shared<NetworkProbe>(io, probe, std::move(done))->Run();
}

void ProbeCommand(asio::io_context& io, const ProbeReplica& probe, std::vector<std::string> argv,
                  std::vector<std::string> environment, ProbeDone done) {
  auto command = std::make_shared<CommandProbe>(io, probe, std::move(done));
  asio::post(io, [command, request = SpawnRequest{std::move(argv), std::move(environment)}] {
    command->Run(request);
  });
}

}  // namespace hs
