#include "core/membership/mini_network.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hs {
namespace {

constexpr std::size_t kEnvelope = 28 + 40;  // IP and UDP headers; sealing

std::size_t BytesOf(const GossipMessage& message) {
  std::size_t bytes = 60;
  if (std::holds_alternative<Ping>(message.body)) bytes += 18;
  if (std::holds_alternative<PingRequest>(message.body)) bytes += 42;
  for (const auto& update : message.updates) bytes += EncodedBytes(update);
  return bytes;
}

}  // namespace

NodeId MiniNetwork::IdOf(int i) {
  NodeId id;
  const std::uint64_t high = Mix64(static_cast<std::uint64_t>(i) + 77);
  for (int b = 0; b < 8; ++b) id.bytes[b] = static_cast<std::uint8_t>(high >> (8 * b));
  id.bytes[14] = static_cast<std::uint8_t>(i >> 8);
  id.bytes[15] = static_cast<std::uint8_t>(i);
  return id;
}
int MiniNetwork::IndexOf(NodeId id) { return id.bytes[14] << 8 | id.bytes[15]; }
Endpoint MiniNetwork::AddressOf(int i) {
  return {IpAddress::V4(10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)), 7700};
}
Now MiniNetwork::NowOf(int i) const {
  // Node i's calendar is i seconds ahead.
  return {now_, 1'000'000 + ToMs(now_.time_since_epoch()) + 1000 * i};
}

void MiniNetwork::Start(int i, const std::vector<int>& seeds, bool by_hint) {
  NodeState& state = nodes_[i];
  state.id = IdOf(i);
  ++state.boot;
  Boot(i, seeds, by_hint);
}

void MiniNetwork::StartCopy(int i, int original, std::uint32_t boot_counter, const std::vector<int>& seeds) {
  NodeState& state = nodes_[i];
  state.id = IdOf(original);
  state.boot = boot_counter;
  state.salt += 100;
  for (const int peer : std::exchange(state.links, {})) nodes_.at(peer).links.erase(i);
  Boot(i, seeds, false);
}

void MiniNetwork::Boot(int i, const std::vector<int>& seeds, bool by_hint) {
  NodeState& state = nodes_.at(i);
  MembershipSelf self;
  self.id = state.id;
  self.boot_counter = state.boot;
  self.boot_id = {Mix64(seed_ ^ static_cast<std::uint64_t>(i * 1000 + state.boot + state.salt))};
  self.meta.name = "10.0.0." + std::to_string(i);
  self.meta.address = AddressOf(i);
  self.meta.version = "0.1.0";
  state.membership = std::make_unique<Membership>(tunables_, self, prng_.Fork(), now_);
  state.life = Life::kUp;
  state.waiting.clear();
  Membership::Seeds list;
  for (const int seed : seeds) list.peers.emplace_back(by_hint ? NodeId{} : IdOf(seed), AddressOf(seed));
  StepNode(i, list);
}

void MiniNetwork::Grow(int n) {
  for (int i = 0; i < n; ++i) {
    Start(i, i == 0 ? std::vector<int>{} : std::vector<int>{0});
    Run(20ms);
  }
  Run(5s);
}

void MiniNetwork::Kill(int i) {
  NodeState& state = nodes_.at(i);
  state.life = Life::kKilled;
  state.waiting.clear();
  for (const int peer : std::exchange(state.links, {})) {
    nodes_.at(peer).links.erase(i);
    if (!cut_(i, peer)) Later(1ms, peer, LinkDown{state.id, LinkEnd::kReset});
  }
}
void MiniNetwork::Reject(int a, int b) {
  rejected_.emplace(a, b);
  nodes_.at(a).links.erase(b);
  nodes_.at(b).links.erase(a);
  for (const auto& [at, peer] : {std::pair{a, b}, std::pair{b, a}})
    Later(1ms, at, LinkDown{nodes_.at(peer).id, LinkEnd::kReset});
}
void MiniNetwork::PowerOff(int i) { nodes_.at(i).life = Life::kOff; }
void MiniNetwork::Stop(int i) { nodes_.at(i).life = Life::kStopped; }
void MiniNetwork::Go(int i) {
  NodeState& state = nodes_.at(i);
  state.life = Life::kUp;
  // The buffer of a socket holds some hundreds of packets; the later ones were dropped.
  for (const auto& input : std::exchange(state.waiting, {})) StepNode(i, input);
  StepNode(i, Tick{});
}

void MiniNetwork::Hand(int i, const Membership::Input& input) { StepNode(i, input); }

void MiniNetwork::Later(Duration delay, int node, Membership::Input input) {
  events_.emplace(now_ + delay, Event{node, std::move(input)});
}

void MiniNetwork::StepNode(int i, const Membership::Input& input) {
  NodeState& state = nodes_.at(i);
  auto outputs = state.membership->Step(NowOf(i), input);
  for (auto& output : outputs) Carry(i, output);
  const Time next = state.membership->NextDeadline();
  if (next != state.armed && next != kNever) {
    state.armed = next;
    events_.emplace(std::max(next, now_), Event{i, Tick{}});
  }
}

void MiniNetwork::Link(int a, int b) {
  if (!nodes_.contains(b) || nodes_.at(a).links.contains(b)) return;
  if (Silent(b) || cut_(a, b) || cut_(b, a))
    return Later(1s, a, LinkDown{nodes_.at(b).id, LinkEnd::kTimeout});
  if (nodes_.at(b).life == Life::kKilled || rejected_.contains({a, b}))
    return Later(1ms, a, LinkDown{nodes_.at(b).id, LinkEnd::kRefused});
  nodes_.at(a).links.insert(b);
  nodes_.at(b).links.insert(a);
  nodes_.at(a).latest[nodes_.at(b).id] = b;
  nodes_.at(b).latest[nodes_.at(a).id] = a;
  Later(2ms, a, LinkUp{nodes_.at(b).id});
  Later(2ms, b, LinkUp{nodes_.at(a).id});
}

void MiniNetwork::Carry(int i, Membership::Output& output) {
  const Duration latency = prng_.Between(100us, 900us);
  if (auto* send = std::get_if<SendDatagram>(&output)) {
    const int to = IndexAt(send->address);
    const std::size_t size = BytesOf(send->message);
    largest_datagram = std::max(largest_datagram, size);
    ++datagrams;
    bytes += size + kEnvelope;
    digest = Mix64(digest ^ static_cast<std::uint64_t>(i * 7919 + to) ^ size ^
                   static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    if (Silent(to) || nodes_.at(to).life == Life::kKilled || cut_(i, to) || prng_.Chance(loss_)) return;
    Later(latency, to, DatagramReceived{nodes_.at(i).id, AddressOf(i), std::move(send->message)});
  } else if (auto* link = std::get_if<SendLink>(&output)) {
    int to = IndexAt(link->address);
    const auto latest = nodes_.at(i).latest.find(link->to);
    if (latest != nodes_.at(i).latest.end() && nodes_.at(i).links.contains(latest->second))
      to = latest->second;
    auto& push = std::get<PushPull>(link->message);
    std::size_t size = 60;
    for (const auto& update : push.members) size += EncodedBytes(update);
    link_bytes += size;
    Link(i, to);
    if (!nodes_.at(i).links.contains(to)) return;
    Later(latency + 5ms, to, Membership::PushPullReceived{nodes_.at(i).id, std::move(push)});
  } else if (auto* hold = std::get_if<HoldLinks>(&output)) {
    for (const auto& [id, address] : hold->peers) Link(i, IndexAt(address));
  } else if (auto* connect = std::get_if<TryConnect>(&output)) {
    const int to = IndexAt(connect->address);
    ConnectResult result = ConnectResult::kAccepted;
    if (Silent(to) || cut_(i, to) || cut_(to, i)) {
      result = ConnectResult::kTimeout;
    } else if (nodes_.at(to).life == Life::kKilled || rejected_.contains({i, to})) {
      result = ConnectResult::kRefused;
    }
    Later(result == ConnectResult::kTimeout ? connect->timeout : latency, i,
          ConnectOutcome{connect->attempt, result});
  } else if (auto* change = std::get_if<Membership::MemberChanged>(&output)) {
    if (!change->before || change->before->state != change->after.state) {
      changes.push_back({now_, i, IndexOf(change->after.id),
                         change->before ? change->before->state : MemberState::kLeft, change->after.state,
                         change->cause});
    }
  } else {
    noted.emplace_back(i, std::move(output));
  }
}

void MiniNetwork::Run(Duration length) {
  const Time end = now_ + length;
  while (!events_.empty() && events_.begin()->first <= end) {
    now_ = std::max(now_, events_.begin()->first);
    const Event event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    NodeState& state = nodes_.at(event.node);
    if (starved_ > 0ms && state.runs_at < now_) state.runs_at = now_ + prng_.Between(0ms, starved_);
    if (state.runs_at > now_) {
      events_.emplace(state.runs_at, event);
      continue;
    }
    const bool tick = std::holds_alternative<Tick>(event.input);
    if (tick) state.armed = kNever;
    if (state.life == Life::kStopped && !tick && state.waiting.size() < 300)
      state.waiting.push_back(event.input);
    if (state.life == Life::kUp) StepNode(event.node, event.input);
  }
  now_ = end;
}

Duration MiniNetwork::RunUntil(const std::function<bool()>& condition, Duration limit) {
  const Time start = now_;
  while (!condition() && now_ - start < limit) Run(5ms);
  return now_ - start;
}

bool MiniNetwork::Sees(int i, int j, MemberState state) {
  const auto it = node(i).members().find(IdOf(j));
  return it != node(i).members().end() && it->second.state == state;
}
bool MiniNetwork::AllSee(int j, MemberState state) {
  return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
    return entry.first == j || entry.second.life != Life::kUp || Sees(entry.first, j, state);
  });
}
bool MiniNetwork::AllAgree() {
  std::vector<NodeId> up;
  for (const auto& [i, state] : nodes_) {
    if (state.life == Life::kUp) up.push_back(IdOf(i));
  }
  std::sort(up.begin(), up.end());
  return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
    return entry.second.life != Life::kUp || entry.second.membership->PresentIds() == up;
  });
}

}  // namespace hs
