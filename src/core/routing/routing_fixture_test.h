// Some nodes' Routing in virtual time, for the tests beside it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/routing/routing.h"

namespace hs {

inline NodeId Node(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  id.bytes[15] = 1;
  return id;
}

// Some nodes' Routing over a table of cut directions; what one reports, the others hear at once.
class RoutingTest : public ::testing::Test {
 protected:
  void Start(int nodes) {
    for (int n = 1; n <= nodes; ++n) {
      Member& member = members_[Node(n)];
      member.id = Node(n);
      member.meta.Edit().name = "n" + std::to_string(n);
    }
    for (int n = 1; n <= nodes; ++n) {
      routings_.emplace(n, Routing(Tunables{}, Node(n), Prng(static_cast<std::uint64_t>(n))));
    }
  }
  void Cut(int a, int b) {
    cuts_.insert({a, b});
    cuts_.insert({b, a});
  }
  void Mend(int a, int b) {
    cuts_.erase({a, b});
    cuts_.erase({b, a});
  }
  static int Number(NodeId id) { return id.bytes[0]; }

  bool Open(const std::vector<int>& way) const {
    for (std::size_t i = 1; i < way.size(); ++i) {
      if (cuts_.contains({way[i - 1], way[i]}) || dead_.contains(way[i])) return false;
    }
    return true;
  }
  bool Lost(const std::vector<int>& way) {
    for (std::size_t i = 1; i < way.size(); ++i) {
      const auto worse = losses_.find({std::min(way[i - 1], way[i]), std::max(way[i - 1], way[i])});
      if (prng_.Chance(worse == losses_.end() ? loss_ : worse->second)) return true;
    }
    return false;
  }
  void WatchAll(int nodes) {
    for (int n = 1; n <= nodes; ++n) {
      WatchPaths watch;
      for (int other = 1; other <= nodes; ++other) {
        if (other != n) watch.peers.push_back(Node(other));
      }
      Step(n, watch);
    }
  }
  Duration Delay(int a, int b) const {
    const auto slow = delays_.find({std::min(a, b), std::max(a, b)});
    return slow == delays_.end() ? Duration(500us) : slow->second;
  }

  void Step(int n, const RoutingInput& input) {
    const std::uint64_t version = routings_.at(n).version();
    for (RoutingOutput& output : routings_.at(n).Step(now_, members_, input)) {
      if (const auto* ping = std::get_if<SendPathPing>(&output)) OnPing(n, *ping);
      if (const auto* change = std::get_if<RouteChanged>(&output)) changes_.push_back({n, *change});
      if (const auto* answered = std::get_if<AnsweredByDetour>(&output))
        alive_.insert({n, Number(answered->peer)});
    }
    if (routings_.at(n).version() == version) return;
    const auto body = std::make_shared<const RecordBody>(routings_.at(n).Report());
    for (auto& [other, routing] : routings_) {
      if (other != n && !dead_.contains(other)) Later(2ms, other, ReachSaid{Node(n), body});
    }
  }

  void OnPing(int n, const SendPathPing& ping) {
    if (n == 1) ++pings_;
    if (n == 1 && asked_at_ != nullptr) asked_at_->insert(now_);
    std::vector<int> way{n};
    for (const NodeId& relay : ping.relays) way.push_back(Number(relay));
    way.push_back(Number(ping.to));
    Duration there{};
    for (std::size_t i = 1; i < way.size(); ++i) there += Delay(way[i - 1], way[i]);
    if (!Open(way) || Lost(way)) return;
    if (ping.relays.empty()) Later(there, way.back(), HeardDirectly{Node(n)});
    std::vector<int> back(way.rbegin(), way.rend());
    if (!Open(back) || Lost(back)) return;
    Later(2 * there, n, PathAnswered{ping.to, ping.sequence});
    if (ping.relays.empty()) Later(2 * there, n, HeardDirectly{ping.to});
  }

  void Later(Duration after, int n, RoutingInput input) {
    queue_.emplace(now_ + after, std::pair{n, std::move(input)});
  }

  void Run(Duration span) {
    const Time end = now_ + span;
    while (true) {
      Time next = queue_.empty() ? kNever : queue_.begin()->first;
      int ticks = 0;
      for (auto& [n, routing] : routings_) {
        if (routing.NextDeadline() < next && !dead_.contains(n)) {
          next = routing.NextDeadline();
          ticks = n;
        }
      }
      if (next > end) break;
      now_ = std::max(now_, next);
      if (ticks != 0) {
        Step(ticks, RoutingTick{});
        continue;
      }
      auto [n, input] = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      if (!dead_.contains(n)) Step(n, input);
    }
    now_ = end;
  }

  Relays Way(int from, int to) const { return routings_.at(from).ForLinks(Node(to)); }

  Time now_ = Time{} + 1h;
  MemberTable members_;
  std::map<int, Routing> routings_;
  std::set<std::pair<int, int>> cuts_;
  std::set<int> dead_;
  std::map<std::pair<int, int>, Duration> delays_;
  std::map<std::pair<int, int>, double> losses_;  // where other than loss_
  double loss_ = 0;
  Prng prng_{7};
  std::multimap<Time, std::pair<int, RoutingInput>> queue_;
  std::vector<std::pair<int, RouteChanged>> changes_;
  std::set<std::pair<int, int>> alive_;
  int pings_ = 0;                       // of the first node
  std::set<Time>* asked_at_ = nullptr;  // the same, when
};

}  // namespace hs
