#include "runtime/haproxy/limits.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "runtime/haproxy/control.h"
#include "runtime/haproxy/limiter.h"

namespace hs {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using WallTimer = std::chrono::steady_clock;

namespace {

constexpr Duration kBusyPause = 100ms;
constexpr Duration kIdlePauseMax = 5s;
constexpr Duration kAskTimeout = 1s;
constexpr std::size_t kCommandsAtOnce = 100;  // a line is at most as long as HAProxy's buffer, 16 KB

awaitable<void> Tell(const std::string& socket, const std::vector<std::string>& commands) {
  std::string line;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    line += (line.empty() ? "@1 " : ";@1 ") + commands[i];
    if ((i + 1) % kCommandsAtOnce != 0 && i + 1 != commands.size()) continue;
    (void)co_await AskHaproxy(socket, std::exchange(line, {}), kAskTimeout);
  }
}

// All that HAProxy counts of these services; empty when it does not answer.
awaitable<std::string> Counts(const std::string& socket, const std::vector<std::string>& services) {
  std::string text;
  for (std::size_t i = 0; i < services.size(); i += kCommandsAtOnce) {
    const auto first = services.begin() + static_cast<std::ptrdiff_t>(i);
    const std::size_t size = std::min(kCommandsAtOnce, services.size() - i);
    const Result<std::string> answer = co_await AskHaproxy(
        socket, Limiter::Question({first, first + static_cast<std::ptrdiff_t>(size)}), kAskTimeout);
    if (!answer) co_return std::string();
    text += *answer;
  }
  co_return text;
}

}  // namespace

std::vector<std::string> WithReplicasHere(const DoorTable& table) {
  std::vector<std::string> names;
  for (const DoorService& service : table.services) {
    if (!service.local.empty() && IsSafeName(service.name)) names.push_back(service.name);
  }
  return names;
}

awaitable<void> KeepLimits(DoorConfig config, std::shared_ptr<LimitedServices> services) {
  const std::string socket = MasterSocketPath(config);
  Limiter limiter(config);
  Duration pause = kBusyPause;
  services->pause.emplace(co_await asio::this_coro::executor);
  while (!services->closed) {
    if (const std::vector<std::string> names = services->names; !names.empty()) {
      const std::string counts = co_await Counts(socket, names);
      const Time now{std::chrono::duration_cast<Duration>(WallTimer::now().time_since_epoch())};
      // A service that has only just come, or is going, has no counts: HAProxy says so in words, to be asked
      // again.
      const Result<std::vector<std::string>> commands = limiter.Step(now, counts);
      if (commands && !services->closed) co_await Tell(socket, *commands);
    }
    if (services->closed) break;
    pause = limiter.busy() ? kBusyPause : std::min(pause * 2, kIdlePauseMax);
    services->pause->expires_after(pause);
    boost::system::error_code error;
    co_await services->pause->async_wait(asio::redirect_error(use_awaitable, error));
  }
}

}  // namespace hs
