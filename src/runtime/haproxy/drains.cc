#include "runtime/haproxy/drains.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "runtime/haproxy/control.h"
#include "runtime/haproxy/processes.h"

namespace hs {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;

namespace {

constexpr Duration kLook = 250ms;
constexpr Duration kAskTimeout = 1s;

// What HAProxy tells of the watched, unless a process of before a reload may have more.
std::optional<std::vector<ServerCount>> CountsIn(const std::string& answer) {
  const std::size_t counts_at = std::min(answer.find("# pxname,"), answer.size());
  const auto processes = ParseProcesses(answer.substr(0, counts_at));
  if (!processes || !processes->old_workers.empty()) return std::nullopt;
  auto counts = ParseCounts(answer.substr(counts_at));
  if (!counts) return std::nullopt;
  return std::move(*counts);
}

}  // namespace

void DrainWatch::Take(const DoorTable& table) {
  std::map<Replica, Quiet> watched;
  std::set<std::string> tcp_before = std::exchange(tcp_, {});
  for (const DoorService& service : table.services) {
    if (!IsSafeName(service.name)) continue;
    const bool tcp = std::ranges::any_of(service.ports, [](const PublishedPort& port) { return !port.http; });
    const bool ended = !tcp && tcp_before.contains(service.name);
    if (tcp) tcp_.insert(service.name);
    for (const DoorServer& server : service.local) {
      if (server.state != ServerState::kDrain) continue;
      if (ended) {
        tcp_.insert(service.name);
        continue;
      }
      const Replica replica{service.name, server.name};
      const auto known = watched_.find(replica);
      watched.emplace(replica, known != watched_.end() ? known->second : Quiet{.tcp = tcp});
    }
  }
  watched_ = std::move(watched);
}

std::string DrainWatch::Question() const {
  std::string question = "show proc";
  std::set<std::string> asked;
  for (const auto& [replica, quiet] : watched_) {
    if (!asked.insert(replica.first).second) continue;
    question += fmt::format(";@1 show stat in_{} 6 -1", replica.first);
    if (quiet.tcp) question += fmt::format(";@1 show stat int_{} 6 -1", replica.first);
  }
  return question;
}

std::vector<DrainWatch::Replica> DrainWatch::Step(Time now, const std::vector<ServerCount>& counts) {
  std::vector<Replica> idle;
  for (auto& [replica, quiet] : watched_) {
    const auto& [service, server] = replica;
    std::size_t told = 0;
    bool busy = false;
    for (const ServerCount& count : counts) {
      if (count.backend != "in_" + service && count.backend != "int_" + service) continue;
      // One that HAProxy was never told of has nothing from it.
      if (count.server == "BACKEND") ++told;
      if (count.server == server) busy = busy || count.inside + count.queued > 0;
    }
    if (busy || told < (quiet.tcp ? 2u : 1u)) {
      quiet.since = kNever;
    } else if (quiet.since == kNever) {
      quiet.since = now;
    } else if (now - quiet.since >= kDrainQuiet && !std::exchange(quiet.told, true)) {
      idle.push_back(replica);
    }
  }
  return idle;
}

void DrainWatch::Missed() {
  for (auto& [replica, quiet] : watched_) quiet.since = kNever;
}

awaitable<void> WatchDrains(DoorConfig config, std::shared_ptr<Drains> drains) {
  const std::string socket = MasterSocketPath(config);
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (!drains->closed && !drains->watch.empty()) {
    const Result<std::string> answer = co_await AskHaproxy(socket, drains->watch.Question(), kAskTimeout);
    if (drains->closed) break;
    const auto counts = answer ? CountsIn(*answer) : std::nullopt;
    if (counts) {
      const Time now{
          std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
      for (const auto& [service, server] : drains->watch.Step(now, *counts)) drains->on_idle(server);
    } else {
      drains->watch.Missed();
    }
    timer.expires_after(kLook);
    boost::system::error_code error;
    co_await timer.async_wait(asio::redirect_error(use_awaitable, error));
  }
  drains->looking = false;
}

}  // namespace hs
