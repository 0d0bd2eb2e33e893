#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "core/intent/keys.h"

namespace hs::sim {
namespace {

constexpr WallMs kWallStart = 1'800'000'000'000;

NodeId DrawNodeId(Prng& prng) {
  NodeId id;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(prng.Below(256));
  return id;
}

// Where a box lives says which one it is, by the last three bytes.
IpAddress IpOf(HostIndex i) {
  return IpAddress::V4(10, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8),
                       static_cast<std::uint8_t>(i));
}

}  // namespace

std::optional<HostIndex> World::IndexAt(const IpAddress& ip) const {
  const HostIndex index = HostIndex{ip.bytes[13]} << 16 | HostIndex{ip.bytes[14]} << 8 | ip.bytes[15];
  if (index >= hosts_.size() || hosts_[index]->address.ip != ip) return std::nullopt;
  return index;
}

World::World(const WorldOptions& options)
    : options_(options), prng_(options.seed), network_(options.network, options.hosts, prng_.Fork()) {
  now_ = Time(1h);  // so that "never happened" (zero) is long ago
  links_of_.resize(options.hosts);
  CloseIdleLinks();
  for (auto& byte : cluster_.bytes) byte = static_cast<std::uint8_t>(prng_.Below(256));
  for (HostIndex i = 0; i < options.hosts; ++i) {
    auto host = std::make_unique<Host>();
    host->index = i;
    host->address = {IpOf(i), 7700};
    host->disk.node = DrawNodeId(prng_);
    host->meta.name = "n" + std::to_string(i);
    host->meta.address = host->address;
    host->meta.door = {host->address.ip, 8080};
    host->meta.inbound_http = 7701;
    host->meta.inbound_tcp = 7702;
    host->meta.capacity = {4000, 8ull << 30};
    host->meta.version = "sim";
    if (!options.zones.empty()) host->meta.labels["zone"] = options.zones[i % options.zones.size()];
    host->behind_nat = host->meta.dials_out = i + options.behind_nat >= options.hosts;
    by_id_[host->disk.node] = i;
    hosts_.push_back(std::move(host));
  }
}

HostIndex World::IndexOf(NodeId id) const {
  const auto found = by_id_.find(id);
  HS_CHECK(found != by_id_.end());
  return found->second;
}

void World::At(Time at, Action action) {
  std::size_t slot = actions_.size();
  if (free_actions_.empty()) {
    actions_.push_back(std::move(action));
  } else {
    slot = free_actions_.back();
    free_actions_.pop_back();
    actions_[slot] = std::move(action);
  }
  queue_.push(Event{std::max(at, now_), next_event_++, slot});
}

void World::RunUntil(Time end) {
  while (!queue_.empty() && queue_.top().at <= end) {
    const Event event = queue_.top();
    queue_.pop();
    now_ = event.at;
    Action action = std::move(actions_[event.action]);
    free_actions_.push_back(event.action);
    action();
  }
  now_ = end;
}

bool World::RunUntilTrue(Duration limit, const std::function<bool()>& done, Duration step) {
  const Time end = now_ + limit;
  while (!done()) {
    if (now_ >= end) return false;
    RunUntil(std::min(end, now_ + step));
  }
  return true;
}

Now World::NowOf(const Host& host) const {
  return {now_, kWallStart + ToMs(now_.time_since_epoch()) + ToMs(host.wall_skew)};
}

void World::Deliver(HostIndex index, std::uint32_t life, Input input) {
  Host& host = *hosts_[index];
  if (host.life != life || !host.Running()) return;
  if (host.paused) {
    host.inbox.push_back(std::move(input));
    return;
  }
  Step(host, input);
}

void World::Step(Host& host, const Input& input) {
  ++steps_;
  Fold(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  Fold(host.index * 64 + input.index());
  for (Watcher* watcher : watchers_) watcher->OnInput(now_, host, input);
  Outputs outputs = host.node->Step(NowOf(host), input);
  const std::uint32_t life = host.life;
  for (Output& output : outputs) {
    Fold(output.index());
    for (Watcher* watcher : watchers_) watcher->OnOutput(now_, host, output);
    CarryOut(host, output);
    if (host.life != life) return;
  }
  ArmTick(host);
}

void World::ArmTick(Host& host) {
  const Time due = std::max(host.node->NextDeadline(), now_);
  if (due == kNever || due >= host.tick_at) return;
  host.tick_at = due;
  At(due, [this, index = host.index, life = host.life, due] {
    Host& target = *hosts_[index];
    if (target.life != life || target.tick_at != due) return;  // an earlier tick took its place
    target.tick_at = kNever;
    if (target.Thinking() && target.node->NextDeadline() > now_) {
      ArmTick(target);
    } else {
      Deliver(index, life, Tick{});
    }
  });
}

// ------------------------------------------------------------------------------------------------ life

void World::StartAgent(HostIndex index) {
  Host& host = *hosts_[index];
  HS_CHECK(host.powered);
  if (host.node) return;
  ++host.life;
  host.inbox.clear();
  host.tick_at = kNever;
  host.paused = false;
  host.held.clear();
  host.redials.clear();
  host.disk.cluster = cluster_;
  BootState boot;
  boot.cluster = cluster_;
  boot.node = host.disk.node;
  boot.boot_id = BootId{prng_.Next() | 1};
  boot.boot_counter = ++host.disk.boot_counter;
  boot.meta = host.meta;
  for (const auto& [key, document] : host.disk.documents) boot.documents.push_back(document);
  for (const auto& [id, process] : host.processes) {
    boot.replicas.push_back({id, process.spec, process.address, process.pid, process.restarts, process.alive,
                             process.exit_code, process.term_signal, process.started_ms});
  }
  boot.bundles.assign(host.disk.bundles.begin(), host.disk.bundles.end());
  boot.peers = host.disk.peers;
  // One hint, as `--join` would give: any box that runs.
  for (const auto& other : hosts_) {
    if (host.told && other->index != index && other->Running()) {
      boot.peers.emplace_back(NodeId{}, other->address);
      break;
    }
  }
  boot.asks_lan = host.asks_lan;
  boot.seed = prng_.Next();
  host.node = std::make_unique<Node>(options_.tunables, std::move(boot), NowOf(host));
  for (Watcher* watcher : watchers_) watcher->OnStarted(now_, host);
  Deliver(index, host.life, Tick{});
  host.checks_disk = false;
  if (host.disk_full) FillDisk(index);
}

void World::EndAgent(Host& host, bool kernel_tells) {
  if (!host.node) return;
  // What it knew of others is on its disk, as the runtime keeps it: also whom it has not met in this life.
  std::erase_if(host.disk.peers, [&](const auto& peer) {
    const Document* key = host.node->FindDocument(NodeKey(peer.first));
    return !peer.first || host.node->Members().contains(peer.first) || (key != nullptr && key->IsTombstone());
  });
  for (const auto& [id, member] : host.node->Members()) {
    if (member.id != host.disk.node && member.state != MemberState::kLeft)
      host.disk.peers.emplace_back(member.id, member.meta->address);
  }
  ++host.life;
  host.detours.clear();
  host.node.reset();
  host.inbox.clear();
  host.tick_at = kNever;
  for (const auto& [peer, known] : links_of_[host.index]) {
    const Link& link = *known;
    if (!link.up && !link.dialing) continue;
    if (kernel_tells) {
      EndLink(host.index, peer, LinkEnd::kReset, false, true);
    } else {
      // Nobody says anything; the peer's transport gives up after a while.
      const std::uint64_t generation = link.generation;
      At(now_ + 15s, [this, a = host.index, peer = peer, generation] {
        Link& old = LinkOf(a, peer);
        if (old.generation == generation && old.up) EndLink(a, peer, LinkEnd::kTimeout, false, true);
      });
    }
  }
}

void World::KillAgent(HostIndex index) { EndAgent(*hosts_[index], true); }

void World::PauseAgent(HostIndex index) {
  if (hosts_[index]->Running()) hosts_[index]->paused = true;
}

void World::ResumeAgent(HostIndex index) {
  Host& host = *hosts_[index];
  if (!host.paused) return;
  host.paused = false;
  if (!host.Running()) return;
  std::deque<Input> inbox = std::exchange(host.inbox, {});
  const std::uint32_t life = host.life;
  for (Input& input : inbox) Deliver(index, life, std::move(input));
  if (host.life == life && host.Running()) Deliver(index, life, Tick{});
}

void World::PowerOff(HostIndex index) {
  Host& host = *hosts_[index];
  if (!host.powered) return;
  EndAgent(host, false);
  host.powered = false;
  for (auto& [id, process] : host.processes) {
    process.alive = false;
    process.term_signal = 9;
  }
}

void World::PowerOn(HostIndex index) {
  Host& host = *hosts_[index];
  if (host.powered) return;
  host.powered = true;
  // The kernel answers with a reset to whoever still holds a link of the former life.
  for (const auto& [peer, link] : links_of_[index]) {
    if (link->up) EndLink(index, peer, LinkEnd::kReset, false, true);
  }
}

void World::KillBox(HostIndex index) {
  Host& host = *hosts_[index];
  EndAgent(host, true);
  for (auto& [id, process] : host.processes) {
    process.alive = false;
    process.term_signal = 9;
  }
}

void World::WipeDisk(HostIndex index) {
  Host& host = *hosts_[index];
  HS_CHECK(!host.node);
  host.disk = Disk{};
  host.disk.node = DrawNodeId(prng_);
  by_id_[host.disk.node] = index;
  host.processes.clear();
}

void World::Renumber(HostIndex index) {
  Host& host = *hosts_[index];
  HS_CHECK(!host.node);
  const auto move = [](Endpoint& endpoint) { endpoint.ip.bytes[12] ^= 1; };  // 10.x.y.z, 11.x.y.z
  move(host.address);
  move(host.meta.address);
  move(host.meta.door);
  for (auto& [id, process] : host.processes) move(process.address);
  host.told = false;
}

void World::FillDisk(HostIndex index) {
  Host& host = *hosts_[index];
  host.disk_full = true;
  if (!host.Running() || std::exchange(host.checks_disk, true)) return;
  At(now_ + 1s, [this, index, life = host.life] { CheckDisk(index, life); });
}

void World::EndProcess(HostIndex index, ReplicaId id, int exit_code, int term_signal) {
  Host& host = *hosts_[index];
  const auto found = host.processes.find(id);
  if (found == host.processes.end() || !found->second.alive) return;
  found->second.alive = false;
  found->second.exit_code = exit_code;
  found->second.term_signal = term_signal;
  Deliver(index, host.life, ReplicaExited{id, exit_code, term_signal});
}

void World::MendWires() {
  network_.MendAll();
  FlushStalled();
}

void World::CutWires(const std::vector<std::pair<HostIndex, HostIndex>>& directions) {
  for (const auto& [from, to] : directions) network_.Cut(from, to);
}

void World::MendWires(const std::vector<std::pair<HostIndex, HostIndex>>& directions) {
  for (const auto& [from, to] : directions) network_.Mend(from, to);
  FlushStalled();
}

void World::HealEverything() {
  network_.Clear();
  MendWires();
  for (HostIndex i = 0; i < hosts_.size(); ++i) {
    Host& host = *hosts_[i];
    host.disk_delay = 1ms;
    host.disk_full = false;
    host.wall_skew = 0s;
    host.start_failure = 0.0;
    ResumeAgent(i);
    PowerOn(i);
    StartAgent(i);
  }
}

WallMs World::TrueWall() const { return kWallStart + ToMs(now_.time_since_epoch()); }

// ------------------------------------------------------------------------------------------------ people

void World::Write(HostIndex index, std::vector<std::pair<std::string, DocumentBody>> documents,
                  std::function<void(Result<Stamp>)> done) {
  const RequestId request{++next_request_};
  requests_[request] = std::move(done);
  Deliver(index, hosts_[index]->life, ClientWrite{request, std::move(documents)});
}

}  // namespace hs::sim
