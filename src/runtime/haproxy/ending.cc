#include "runtime/haproxy/ending.h"

#include <signal.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>

#include "base/time.h"
#include "runtime/haproxy/files.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;

constexpr Duration kPoll = 10ms;

// Until it holds no more, or for `longest`.
awaitable<void> While(std::function<bool()> holds, Duration longest) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  boost::system::error_code error;
  for (Duration waited{}; waited < longest && holds(); waited += kPoll) {
    timer.expires_after(kPoll);
    co_await timer.async_wait(asio::redirect_error(use_awaitable, error));
  }
}

}  // namespace

awaitable<void> StopHaproxy(const DoorConfig& config) {
  const pid_t master = RunningMaster(config);
  if (master == 0) co_return;
  kill(master, SIGTERM);
  co_await While([&] { return RunningMaster(config) == master; }, 5s);
}

awaitable<void> KillHaproxy(const DoorConfig& config) {
  co_await While(
      [&] {
        const std::vector<pid_t> left = ProcessesOf(config);
        for (const pid_t pid : left) kill(pid, SIGKILL);
        return !left.empty();
      },
      2s);
}

}  // namespace hs
