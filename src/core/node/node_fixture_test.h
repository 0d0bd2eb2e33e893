// Test only: a few whole Nodes in virtual time on a network without faults (src/sim has the faults).
//
// Datagrams and link messages take a millisecond, disks two, a process starts at once and is healthy when
// asked. Everything that a node puts out is kept with its time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/intent/keys.h"
#include "core/node/node.h"

namespace hs {

class NodeFixture : public ::testing::Test {
 protected:
  struct Said {
    Time at;
    Output output;
  };
  struct Box {
    NodeId id;
    std::unique_ptr<Node> node;
    Time ticked_at{};
    std::vector<Said> said;
    std::set<NodeId> links;
    std::vector<Detour> detours;
    std::map<ReplicaId, StartReplica> running;
    std::set<Digest> disk;
    bool gone = false;
  };

  static NodeId IdOf(int i) {
    NodeId id;
    id.bytes[0] = static_cast<std::uint8_t>(i + 1);
    return id;
  }
  static Endpoint AddressOf(int i) {
    return {IpAddress::V4(10, 0, 0, static_cast<std::uint8_t>(i + 1)), 7700};
  }
  static Digest DigestOf(int n) {
    Digest digest;
    digest.bytes[0] = static_cast<std::uint8_t>(n);
    return digest;
  }

  // Node `i`; it finds the others by the address of `seed`, or forms a cluster of its own when that is -1.
  Box& Start(int i, int seed = -1, std::function<void(BootState&)> change = {}) {
    Box& box = boxes_[i];
    box = Box{};
    box.id = IdOf(i);
    BootState boot;
    boot.node = box.id;
    boot.cluster.bytes.fill(7);
    boot.boot_id = BootId{static_cast<std::uint64_t>(++boots_)};
    boot.boot_counter = static_cast<std::uint32_t>(boots_);
    boot.meta.name = "n" + std::to_string(i);
    boot.meta.address = AddressOf(i);
    boot.meta.door = {AddressOf(i).ip, 8080};
    boot.meta.inbound_http = 7701;
    boot.meta.capacity = {4000, 8ULL << 30};
    boot.seed = static_cast<std::uint64_t>(100 + boots_);
    if (seed >= 0) boot.peers = {{NodeId{}, AddressOf(seed)}};
    if (change) change(boot);
    box.disk.insert(boot.bundles.begin(), boot.bundles.end());
    box.node = std::make_unique<Node>(tunables_, std::move(boot), Clocks(i));
    Hand(i, Tick{});
    return box;
  }
  void GrowTo(int count) {
    Start(0);
    for (int i = 1; i < count; ++i) Start(i, 0);
    const auto whole = [&] {
      for (auto& [i, box] : boxes_) {
        if (ViewOf(i).members.size() != static_cast<std::size_t>(count)) return false;
      }
      return AllSteady();
    };
    ASSERT_TRUE(RunUntil(whole, 30s));
  }

  WallMs TrueWall() const { return 1'700'000'000'000 + ToMs(now_.time_since_epoch()); }
  Now Clocks(int i) const { return {now_, TrueWall() + (skew_.contains(i) ? skew_.at(i) : 0)}; }
  Node& node(int i) { return *boxes_.at(i).node; }
  NodeView ViewOf(int i) { return node(i).View(Clocks(i)); }
  bool AllSteady() {
    for (auto& [i, box] : boxes_) {
      if (!box.gone && !ViewOf(i).steady.steady) return false;
    }
    return true;
  }

  void Hand(int i, const Input& input) {
    Box& box = boxes_.at(i);
    if (box.gone) return;
    Outputs outputs = box.node->Step(Clocks(i), input);
    for (Output& output : outputs) {
      Carry(i, box, output);
      box.said.push_back({now_, std::move(output)});
    }
    // A deadline that stays in the past after its Tick would keep a real agent's loop turning for ever.
    if (std::holds_alternative<Tick>(input)) {
      EXPECT_GT(box.node->NextDeadline(), now_) << "node " << i;
    }
  }

  // Runs until the condition holds; false when it did not within `limit`.
  bool RunUntil(const std::function<bool()>& condition, Duration limit) {
    const Time end = now_ + limit;
    while (!condition()) {
      int due = -1;
      Time at = events_.empty() ? kNever : events_.begin()->first;
      for (auto& [i, box] : boxes_) {
        if (box.gone) continue;
        const Time deadline = std::max(box.node->NextDeadline(), now_);
        if (deadline < at) {
          at = deadline;
          due = i;
        }
      }
      if (at > end) {
        now_ = end;
        return condition();
      }
      now_ = at;
      if (due >= 0) {
        Hand(due, Tick{});
        continue;
      }
      const auto event = events_.begin();
      const auto [to, input] = std::move(event->second);
      events_.erase(event);
      Hand(to, input);
    }
    return true;
  }
  void Run(Duration length) {
    RunUntil([] { return false; }, length);
  }

  template <typename T>
  std::vector<std::pair<Time, T>> SaidBy(int i) {
    std::vector<std::pair<Time, T>> found;
    for (const Said& said : boxes_.at(i).said) {
      if (const T* output = std::get_if<T>(&said.output)) found.emplace_back(said.at, *output);
    }
    return found;
  }
  // As it was told last.
  DoorTable DoorOf(int i) {
    const auto told = SaidBy<ApplyDoor>(i);
    return told.empty() ? DoorTable{} : *told.back().second.table;
  }
  std::vector<Event> EventsOf(int i, const std::string& kind) {
    std::vector<Event> found;
    for (const auto& [at, emitted] : SaidBy<EmitEvent>(i)) {
      if (emitted.event.kind == kind) found.push_back(emitted.event);
    }
    return found;
  }

  static ServiceSpec Service(const std::string& name, std::uint32_t replicas) {
    ServiceSpec spec;
    spec.name = name;
    spec.command = {"/bin/" + name};
    spec.replicas = replicas;
    return spec;
  }
  void Deploy(int i, std::vector<ServiceSpec> services, std::uint64_t revision = 1) {
    Write(i, StackKey("shop", revision), StackSpec{"shop", std::move(services)});
  }
  void Write(int i, std::string key, DocumentBody body) {
    Hand(i, ClientWrite{RequestId{++requests_}, {{std::move(key), std::move(body)}}});
  }
  std::size_t RunningOn(int i) { return boxes_.at(i).running.size(); }
  std::size_t RunningInAll() {
    std::size_t count = 0;
    for (const auto& [i, box] : boxes_) count += box.gone ? 0 : box.running.size();
    return count;
  }

  // Box `i` is behind NAT from now on: only its relays reach it by link, and a datagram reaches it where its
  // own to the same box came from, less than 30 s ago.
  void HideBehindNat(int i) { sent_from_[i]; }
  static Endpoint NatAddressOf(int i) {
    return {IpAddress::V4(192, 0, 2, static_cast<std::uint8_t>(i + 1)), 40000};
  }

  Tunables tunables_;
  std::map<int, WallMs> skew_;  // of calendars
  std::map<int, Box> boxes_;
  Time now_{1h};

 private:
  void Later(Duration wait, int to, Input input) {
    events_.emplace(now_ + wait, std::pair(to, std::move(input)));
  }
  int IndexAt(const Endpoint& address) const {
    const int i = address.ip.bytes[15] - 1;
    return boxes_.contains(i) && !boxes_.at(i).gone ? i : -1;
  }

  // A box that is gone says nothing, not even that a port is closed.
  bool IsSilent(const Endpoint& address) const {
    const int i = address.ip.bytes[15] - 1;
    return boxes_.contains(i) && boxes_.at(i).gone;
  }

  void Carry(int from, Box& box, const Output& output) {
    if (const auto* send = std::get_if<SendDatagram>(&output)) {
      const int to = IndexAt(send->address);
      if (to < 0 || (send->to && send->to != IdOf(to)) || !PassesNat(from, to, send->address)) return;
      if (sent_from_.contains(from)) sent_from_[from][to] = now_;
      const Endpoint source = sent_from_.contains(from) ? NatAddressOf(from) : AddressOf(from);
      Later(1ms, to, DatagramReceived{box.id, source, send->message});
    } else if (const auto* use = std::get_if<UseDetours>(&output)) {
      box.detours = use->detours;
    } else if (const auto* message = std::get_if<SendLink>(&output)) {
      const int to = IndexAt(message->address);
      if (to < 0) return;
      Link(from, to);
      Later(1ms, to, LinkReceived{box.id, message->message});
    } else if (const auto* hold = std::get_if<HoldLinks>(&output)) {
      for (const auto& [id, address] : hold->peers) {
        if (const int to = IndexAt(address); to >= 0) Link(from, to);
      }
    } else if (const auto* attempt = std::get_if<TryConnect>(&output)) {
      const int to = IndexAt(attempt->address);
      const auto result = to >= 0                      ? ConnectResult::kAccepted
                          : IsSilent(attempt->address) ? ConnectResult::kTimeout
                                                       : ConnectResult::kRefused;
      Later(result == ConnectResult::kTimeout ? attempt->timeout : 1ms, from,
            ConnectOutcome{attempt->attempt, result});
    } else if (const auto* persist = std::get_if<Persist>(&output)) {
      Later(2ms, from, Persisted{persist->id});
    } else if (const auto* start = std::get_if<StartReplica>(&output)) {
      box.running.emplace(start->id, *start);
      Later(1ms, from, ReplicaStarted{start->id, 4000, {AddressOf(from).ip, 20000}});
    } else if (const auto* signal = std::get_if<SignalReplica>(&output)) {
      if (box.running.erase(signal->id) > 0) Later(1ms, from, ReplicaExited{signal->id, 0, 15});
    } else if (const auto* probe = std::get_if<ProbeReplica>(&output)) {
      Later(1ms, from, ProbeResult{probe->id, probe->probe, true, "", probe->address});
    } else if (const auto* fetch = std::get_if<FetchBundle>(&output)) {
      for (const auto& [holder, address] : fetch->holders) {
        const int at = IndexAt(address);
        if (at < 0 || !boxes_.at(at).disk.contains(fetch->digest)) continue;
        box.disk.insert(fetch->digest);
        return Later(1ms, from, BundleReady{fetch->digest});
      }
      Later(1ms, from, BundleFailed{fetch->digest, "nobody has it"});
    } else if (const auto* drop = std::get_if<DropBundle>(&output)) {
      box.disk.erase(drop->digest);
    } else if (std::holds_alternative<Gone>(output)) {
      box.gone = true;
      for (auto& [i, other] : boxes_) {
        if (other.links.erase(box.id) > 0) Later(1ms, i, LinkDown{box.id, LinkEnd::kClosed});
      }
    }
  }

  bool PassesNat(int from, int to, const Endpoint& address) {
    const auto hidden = sent_from_.find(to);
    if (hidden == sent_from_.end()) return true;
    const auto mapping = hidden->second.find(from);
    return address == NatAddressOf(to) && mapping != hidden->second.end() && mapping->second + 30s > now_;
  }

  void Link(int a, int b) {
    const auto goes_round = [&](const Detour& detour) { return detour.peer == IdOf(b); };
    if (sent_from_.contains(b) && std::ranges::none_of(boxes_.at(a).detours, goes_round)) {
      return Later(500ms, a, LinkDown{IdOf(b), LinkEnd::kTimeout});
    }
    if (a == b || !boxes_.at(a).links.insert(IdOf(b)).second) return;
    boxes_.at(b).links.insert(IdOf(a));
    Later(500us, a, LinkUp{IdOf(b)});
    Later(500us, b, LinkUp{IdOf(a)});
  }

  std::multimap<Time, std::pair<int, Input>> events_;
  std::map<int, std::map<int, Time>> sent_from_;  // of boxes behind NAT: when to whom
  int boots_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace hs
