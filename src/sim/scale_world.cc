#include "sim/scale_world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "wire/codec.h"

namespace hs::sim {
namespace {

constexpr std::size_t kDatagramEnvelope = 28 + 40;  // IP and UDP headers; sealing
constexpr std::size_t kLinkEnvelope = 52 + 29;      // IP and TCP headers; a TLS record
constexpr Duration kLatencyMin = 500us;  // nothing takes less, and for so long nobody looks at others
constexpr Duration kLatencyMax = 1500us;
constexpr Duration kLinkDelay = 5ms;  // of a whole table over a connection that may have to be made
constexpr Duration kDialDelay = 2ms;
constexpr Duration kStallTimeout = 15s;  // a link that moves nothing for this long breaks

}  // namespace

ScaleWorld::ScaleWorld(std::size_t nodes, const Tunables& tunables, std::uint64_t seed, std::size_t parts,
                       Together together)
    : tunables_(tunables),
      prng_(seed),
      nodes_(nodes),
      sides_(nodes, 0),
      shards_(std::clamp<std::size_t>(parts, 1, nodes)),
      together_(std::move(together)) {
  for (NodeState& state : nodes_) state.wires = prng_.Fork();
  for (Shard& shard : shards_) {
    shard.now = now_;
    for (auto& letters : shard.letters) letters.resize(shards_.size());
  }
}

NodeId ScaleWorld::IdOf(std::uint32_t node) {
  NodeId id;
  const std::uint64_t high = Mix64(node + 77);
  for (int b = 0; b < 8; ++b) id.bytes[b] = static_cast<std::uint8_t>(high >> (8 * b));
  for (int b = 0; b < 4; ++b) id.bytes[15 - b] = static_cast<std::uint8_t>(node >> (8 * b));
  return id;
}
std::uint32_t ScaleWorld::IndexOf(NodeId id) {
  return std::uint32_t{id.bytes[13]} << 16 | std::uint32_t{id.bytes[14]} << 8 | id.bytes[15];
}
Endpoint ScaleWorld::AddressOf(std::uint32_t node) {
  return {IpAddress::V4(10, static_cast<std::uint8_t>(node >> 16), static_cast<std::uint8_t>(node >> 8),
                        static_cast<std::uint8_t>(node)),
          7700};
}
std::optional<std::uint32_t> ScaleWorld::IndexAt(const Endpoint& address) const {
  const auto& bytes = address.ip.bytes;
  const std::uint32_t node =
      std::uint32_t{bytes[13]} << 16 | std::uint32_t{bytes[14]} << 8 | std::uint32_t{bytes[15]};
  if (node >= nodes_.size() || address != AddressOf(node)) return std::nullopt;
  return node;
}

// ------------------------------------------------------------------------------------------------ events

void ScaleWorld::Shard::Put(Event event, What what) {
  if (!std::holds_alternative<Tick>(what)) {
    if (free_whats.empty()) {
      event.slot = static_cast<std::uint32_t>(whats.size());
      whats.push_back(std::move(what));
    } else {
      event.slot = free_whats.back();
      free_whats.pop_back();
      whats[event.slot] = std::move(what);
    }
  }
  queue.push(event);
}

void ScaleWorld::Later(std::uint32_t by, Duration delay, std::uint32_t node, What what) {
  Shard& shard = Of(by);
  const Event event{shard.now + delay, nodes_[by].caused++, by, node};
  const std::size_t to = ShardOf(node);
  if (&shards_[to] == &shard) return shard.Put(event, std::move(what));
  shard.first_letter = std::min(shard.first_letter, event.at);
  shard.letters[writing_][to].push_back({event, std::move(what)});
}

Time ScaleWorld::NextEvent() const {
  Time next = starts_.empty() ? kNever : starts_.back().first;
  for (const Shard& shard : shards_) {
    if (!shard.queue.empty()) next = std::min(next, shard.queue.top().at);
    next = std::min(next, shard.first_letter);
  }
  return next;
}

void ScaleWorld::RunFor(Duration span) {
  const Time end = now_ + span;
  const auto set_now = [this](Time now) {
    now_ = now;
    for (Shard& shard : shards_) shard.now = now;
  };
  for (Time next = NextEvent(); next <= end; next = NextEvent()) {
    set_now(next);
    for (; !starts_.empty() && starts_.back().first == now_; starts_.pop_back()) Boot(starts_.back().second);
    Time until = std::min(end + Duration(1), now_ + kLatencyMin);
    if (!starts_.empty()) until = std::min(until, starts_.back().first);
    Round(until);
    set_now(until);
    // What is held for others takes effect for all at once.
    std::vector<Holding> holdings;
    for (Shard& shard : shards_) {
      for (Holding& holding : shard.holdings) holdings.push_back(std::move(holding));
      shard.holdings.clear();
    }
    std::ranges::stable_sort(holdings, {}, [](const Holding& h) { return std::pair(h.at, h.node); });
    for (const Holding& holding : holdings) Hold(holding.node, holding.links);
  }
  set_now(end);
}

// All that happens before `until`, which is no later than what it causes elsewhere.
void ScaleWorld::Round(Time until) {
  writing_ ^= 1;
  for (Shard& shard : shards_) shard.first_letter = kNever;
  const auto work = [this, until](std::size_t shard) { Work(shard, until); };
  if (together_ && !alone_) return together_(work);
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) work(shard);
}

void ScaleWorld::Work(std::size_t which, Time until) {
  Shard& shard = shards_[which];
  for (Shard& other : shards_) {
    std::vector<Letter>& letters = other.letters[writing_ ^ 1][which];
    for (Letter& letter : letters) shard.Put(letter.event, std::move(letter.what));
    letters = {};
  }
  while (!shard.queue.empty() && shard.queue.top().at < until) {
    const Event event = shard.queue.top();
    shard.queue.pop();
    shard.now = event.at;
    What what;
    if (event.slot != kTick) {
      what = std::move(shard.whats[event.slot]);
      shard.whats[event.slot] = Tick{};
      shard.free_whats.push_back(event.slot);
    }
    Happen(shard, event.node, what);
  }
}

std::optional<Duration> ScaleWorld::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Time start = now_;
  while (!done()) {
    if (now_ - start >= limit) return std::nullopt;
    RunFor(100ms);
  }
  return now_ - start;
}

Now ScaleWorld::NowOf(const Shard& shard) const {
  return {shard.now, 1'800'000'000'000 + ToMs(shard.now.time_since_epoch())};
}

void ScaleWorld::Happen(Shard& shard, std::uint32_t node, What& what) {
  NodeState& state = nodes_[node];
  const bool tick = std::holds_alternative<Tick>(what);
  if (state.life != Life::kUp) return;
  if (tick) {
    if (state.armed != shard.now) return;  // an earlier one took its place
    state.armed = kNever;
  }
  ++shard.counts.steps;
  const auto at = static_cast<std::uint64_t>(shard.now.time_since_epoch().count());
  state.digest = Mix64(state.digest ^ at ^ std::uint64_t{what.index()} << 56);
  const Now now = NowOf(shard);
  Membership& membership = *state.membership;
  if (const auto* datagram = std::get_if<DatagramReceived>(&what)) {
    Take(node, membership.Hear(now, *datagram));
  } else if (const auto* table = std::get_if<Table>(&what)) {
    Take(node, membership.Hear(now, table->from, table->message));
  } else if (const auto* up = std::get_if<LinkUp>(&what)) {
    Take(node, membership.Step(now, *up));
  } else if (const auto* down = std::get_if<LinkDown>(&what)) {
    Take(node, membership.Step(now, *down));
  } else if (const auto* outcome = std::get_if<ConnectOutcome>(&what)) {
    Take(node, membership.Step(now, *outcome));
  } else {
    Take(node, membership.Step(now, Tick{}));
  }
}

void ScaleWorld::Take(std::uint32_t node, std::vector<Membership::Output> outputs) {
  for (Membership::Output& output : outputs) Carry(node, output);
  NodeState& state = nodes_[node];
  const Time now = Of(node).now;
  const Time next = std::max(state.membership->NextDeadline(), now);
  if (next == kNever || next >= state.armed) return;
  state.armed = next;
  Later(node, next - now, node, Tick{});
}

// ------------------------------------------------------------------------------------------------ life

void ScaleWorld::StartAll(Duration span, std::size_t hints) {
  hints_ = std::min(hints, nodes_.size() - 1);
  for (std::uint32_t node = 0; node < nodes_.size(); ++node)
    starts_.emplace_back(now_ + prng_.Between(0ms, span), node);
  std::ranges::sort(starts_, std::greater{});
}

void ScaleWorld::Boot(std::uint32_t node) {
  NodeState& state = nodes_[node];
  MembershipSelf self;
  self.id = IdOf(node);
  self.boot_id = BootId{prng_.Next() | 1};
  self.boot_counter = 1;
  self.meta.name = "n" + std::to_string(node);
  self.meta.address = AddressOf(node);
  self.meta.door = {self.meta.address.ip, 8080};
  self.meta.inbound_http = 7701;
  self.meta.inbound_tcp = 7702;
  self.meta.capacity = {4000, 8ull << 30};
  self.meta.labels["zone"] = std::string(1, static_cast<char>('a' + node % 3));
  self.meta.version = "0.1.0";
  state.membership = std::make_unique<Membership>(tunables_, self, prng_.Fork(), now_);
  state.life = Life::kUp;
  Membership::Seeds seeds;
  while (seeds.peers.size() < hints_) {
    const auto other = static_cast<std::uint32_t>(prng_.Below(nodes_.size()));
    if (other != node) seeds.peers.emplace_back(IdOf(other), AddressOf(other));
  }
  Take(node, state.membership->Step(NowOf(Of(node)), seeds));
}

void ScaleWorld::Kill(std::uint32_t node) {
  NodeState& state = nodes_[node];
  state.life = Life::kKilled;
  for (const std::uint32_t peer : std::exchange(state.links, {})) {
    std::erase(nodes_[peer].links, node);
    Later(node, 1ms, peer, LinkDown{IdOf(node), LinkEnd::kReset});
  }
  state.membership.reset();
}

void ScaleWorld::PowerOff(std::uint32_t node) {
  NodeState& state = nodes_[node];
  state.life = Life::kOff;
  for (const std::uint32_t peer : std::exchange(state.links, {})) {
    std::erase(nodes_[peer].links, node);
    Later(node, kStallTimeout, peer, LinkDown{IdOf(node), LinkEnd::kTimeout});
  }
  state.membership.reset();
}

void ScaleWorld::Cut(std::vector<std::uint8_t> sides) {
  HS_CHECK(sides.size() == nodes_.size());
  sides_ = std::move(sides);
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    const std::vector<std::uint32_t> links = nodes_[node].links;
    for (const std::uint32_t peer : links) {
      if (sides_[peer] == sides_[node]) continue;
      Unlink(node, peer);
      Later(node, kStallTimeout, node, LinkDown{IdOf(peer), LinkEnd::kTimeout});
      Later(node, kStallTimeout, peer, LinkDown{IdOf(node), LinkEnd::kTimeout});
    }
  }
}

std::uint64_t ScaleWorld::digest() const {
  std::uint64_t digest = 1;
  for (const NodeState& state : nodes_) digest = Mix64(digest ^ state.digest);
  return digest;
}

ScaleWorld::Counts ScaleWorld::counts() const {
  Counts sum;
  for (const Shard& shard : shards_) {
    sum.steps += shard.counts.steps;
    sum.bytes += shard.counts.bytes;
    sum.messages += shard.counts.messages;
    sum.accused += shard.counts.accused;
  }
  return sum;
}

std::vector<std::uint32_t> ScaleWorld::Up() const {
  std::vector<std::uint32_t> up;
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    if (nodes_[node].life == Life::kUp) up.push_back(node);
  }
  return up;
}

bool ScaleWorld::AllAgree() const {
  struct Side {
    std::size_t count = 0;
    std::uint32_t digest = 0;
  };
  Side sides[256];
  const auto up = Up();
  for (const std::uint32_t node : up) ++sides[sides_[node]].count;
  for (const std::uint32_t node : up) {
    Side& side = sides[sides_[node]];
    const Membership& membership = *nodes_[node].membership;
    if (membership.PresentCount() != side.count) return false;
    if (side.digest == 0) side.digest = membership.MembersDigest();
    if (side.digest != membership.MembersDigest()) return false;
  }
  return std::ranges::none_of(nodes_, [](const NodeState& state) { return state.life == Life::kNotYet; });
}

// ------------------------------------------------------------------------------------------------ wires

bool ScaleWorld::Reaches(std::uint32_t from, std::uint32_t to) const {
  return sides_[from] == sides_[to] && nodes_[to].life == Life::kUp;
}

ConnectResult ScaleWorld::Knock(std::uint32_t from, std::uint32_t to) const {
  if (sides_[from] != sides_[to] || nodes_[to].life == Life::kOff) return ConnectResult::kTimeout;
  return nodes_[to].life == Life::kUp ? ConnectResult::kAccepted : ConnectResult::kRefused;
}

void ScaleWorld::Carry(std::uint32_t node, Membership::Output& output) {
  NodeState& state = nodes_[node];
  Counts& counts = Of(node).counts;
  const Duration latency = state.wires.Between(kLatencyMin, kLatencyMax);
  if (auto* send = std::get_if<SendDatagram>(&output)) {
    if (counting_) {
      ++counts.messages;
      counts.bytes += EncodeGossip(send->message).size() + kDatagramEnvelope;
    }
    const auto to = IndexAt(send->address);
    if (!to || !Reaches(node, *to) || state.wires.Chance(loss_)) return;
    Later(node, latency, *to, DatagramReceived{IdOf(node), AddressOf(node), std::move(send->message)});
  } else if (auto* link = std::get_if<SendLink>(&output)) {
    if (counting_) {
      ++counts.messages;
      counts.bytes += EncodeLinkMessage(link->message).size() + kLinkEnvelope;
    }
    const auto to = IndexAt(link->address);
    if (!to) return;
    if (Reaches(node, *to))
      return Later(node, latency + kLinkDelay, *to,
                   Table{IdOf(node), std::move(std::get<PushPull>(link->message))});
    const bool refused = Knock(node, *to) == ConnectResult::kRefused;
    Later(node, refused ? latency : Duration(1s), node,
          LinkDown{link->to, refused ? LinkEnd::kRefused : LinkEnd::kTimeout});
  } else if (auto* hold = std::get_if<HoldLinks>(&output)) {
    Of(node).holdings.push_back({Of(node).now, node, std::move(*hold)});
  } else if (const auto* attempt = std::get_if<TryConnect>(&output)) {
    const auto to = IndexAt(attempt->address);
    const ConnectResult result = to ? Knock(node, *to) : ConnectResult::kTimeout;
    Later(node, result == ConnectResult::kTimeout ? attempt->timeout : latency, node,
          ConnectOutcome{attempt->attempt, result});
  } else if (const auto* change = std::get_if<Membership::MemberChanged>(&output)) {
    if (!IsPresent(change->after.state)) {
      const std::uint32_t subject = IndexOf(change->after.id);
      if (nodes_[subject].life == Life::kUp && sides_[subject] == sides_[node]) ++counts.accused;
    }
  }
}

void ScaleWorld::Unlink(std::uint32_t a, std::uint32_t b) {
  std::erase(nodes_[a].links, b);
  std::erase(nodes_[b].links, a);
}

void ScaleWorld::Hold(std::uint32_t node, const HoldLinks& hold) {
  NodeState& state = nodes_[node];
  const std::vector<std::uint32_t> before = std::exchange(state.held, {});
  for (const auto& [id, address] : hold.peers) state.held.push_back(IndexOf(id));
  for (const std::uint32_t peer : before) {
    const auto holds = [](const NodeState& one, std::uint32_t other) {
      return std::ranges::find(one.held, other) != one.held.end();
    };
    if (!holds(state, peer) && !holds(nodes_[peer], node)) Unlink(node, peer);
  }
  for (const std::uint32_t peer : state.held) {
    if (std::ranges::find(state.links, peer) != state.links.end()) continue;
    if (!Reaches(node, peer)) {
      const bool refused = Knock(node, peer) == ConnectResult::kRefused;
      Later(node, refused ? kDialDelay : Duration(1s), node,
            LinkDown{IdOf(peer), refused ? LinkEnd::kRefused : LinkEnd::kTimeout});
      continue;
    }
    state.links.push_back(peer);
    nodes_[peer].links.push_back(node);
    Later(node, kDialDelay, node, LinkUp{IdOf(peer)});
    Later(node, kDialDelay, peer, LinkUp{IdOf(node)});
  }
}

}  // namespace hs::sim
