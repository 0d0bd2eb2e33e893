// What the outputs of a simulated node do: disks, processes, bundles, answers.
#include <csignal>
#include <utility>

#include "base/check.h"
#include "sim/world.h"

namespace hs::sim {
namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

constexpr const char* kNoSpace = "No space left on device";

// A service whose environment says so never gets healthy: a bad version to roll out.
bool NeverHealthy(const ServiceSpec& spec) {
  for (const auto& [name, value] : spec.environment) {
    if (name == "SIM_BROKEN") return true;
  }
  return false;
}

}  // namespace

void World::CarryOut(Host& host, Output& output) {
  std::visit(Overloaded{
                 [&](SendDatagram& send) { SendDatagramFrom(host, send); },
                 [&](SendLink& send) { SendOnLink(host, send.to, send.address, std::move(send.message)); },
                 [&](HoldLinks& hold) {
                   host.held.clear();
                   for (const auto& [peer, address] : hold.peers) {
                     host.held[peer] = address;
                     const auto found = IndexAt(address.ip);
                     if (found && hosts_[*found]->disk.node == peer) Dial(host, *found);
                   }
                 },
                 [&](UseDetours& use) { FollowDetours(host, use); },
                 [&](UseLines& use) {
                   host.lines.clear();
                   for (const auto& [relay, address] : use.relays) host.lines.insert(IndexOf(relay));
                 },
                 [&](TryConnect& attempt) { ConnectFrom(host, attempt); },
                 [&](Persist& persist) { PersistOn(host, persist); },
                 [&](StartReplica& start) { StartProcess(host, start); },
                 [&](SignalReplica& signal) { SignalProcess(host, signal.id, SIGTERM); },
                 [&](KillReplica& kill) { SignalProcess(host, kill.id, SIGKILL); },
                 [&](ForgetReplica& forget) { host.processes.erase(forget.id); },
                 [&](ProbeReplica& probe) { ProbeProcess(host, probe); },
                 [&](FetchBundle& fetch) { FetchOnto(host, fetch); },
                 [&](DropBundle& drop) { host.disk.bundles.erase(drop.digest); },
                 [&](ApplyDoor&) {},
                 [&](Reply& reply) {
                   const auto found = requests_.find(reply.request);
                   if (found == requests_.end()) return;
                   auto done = std::move(found->second);
                   requests_.erase(found);
                   done(std::move(reply.result));
                 },
                 [&](EmitEvent&) {},
                 [&](TakeNewIdentity&) {},  // no simulated disk is ever copied
                 [&](Gone&) { EndAgent(host, true); },
                 [&](AskLan&) { AskLanFrom(host); },
             },
             output);
}

void World::CheckDisk(HostIndex index, std::uint32_t life) {
  Host& host = *hosts_[index];
  const bool full = host.disk_full;
  Deliver(index, life,
          DiskChecked{.fault = full ? DiskFault::kFull : DiskFault::kNone,
                      .reason = full ? kNoSpace : "",
                      .written = !full});
  if (host.life != life || !host.Running()) return;
  const auto self = host.node->Members().find(host.disk.node);
  host.checks_disk = full || self->second.meta->roles.disk != DiskFault::kNone;
  if (host.checks_disk) At(now_ + 1s, [this, index, life] { CheckDisk(index, life); });
}

void World::PersistOn(Host& host, Persist& persist) {
  At(now_ + host.disk_delay,
     [this, index = host.index, life = host.life, id = persist.id, documents = std::move(persist.documents)] {
       Host& target = *hosts_[index];
       // An agent that ended between asking and writing left nothing behind.
       if (target.life != life) return;
       if (target.disk_full) {
         Deliver(index, life, PersistFailed{id, kNoSpace, DiskFault::kFull});
         return;
       }
       for (const Document& document : documents) {
         if (document.stamp == Stamp{}) {
           target.disk.documents.erase(document.key);
         } else {
           target.disk.documents[document.key] = document;
         }
       }
       Deliver(index, life, Persisted{id});
     });
}

void World::StartProcess(Host& host, const StartReplica& start) {
  At(now_ + 1ms, [this, index = host.index, life = host.life, start] {
    Host& target = *hosts_[index];
    if (target.life != life || !target.powered) return;
    if (target.disk_full) return Deliver(index, life, ReplicaStartFailed{start.id, kNoSpace});
    if (prng_.Chance(target.start_failure)) {
      Deliver(index, life, ReplicaStartFailed{start.id, "simulated: exec failed"});
      return;
    }
    Process& process = target.processes[start.id];
    HS_CHECK(!process.alive);  // the core asked to start what runs: work would be doubled
    process.spec = *start.spec;
    if (process.address.port == 0) process.address = {target.address.ip, target.next_port++};
    process.pid = next_pid_++;
    process.restarts = start.restarts;
    process.alive = true;
    process.exit_code = process.term_signal = 0;
    process.listens_at = NeverHealthy(*start.spec) ? kNever : now_ + target.start_delay;
    process.started_ms = NowOf(target).wall_ms;
    Deliver(index, life, ReplicaStarted{start.id, process.pid, process.address});
  });
}

void World::SignalProcess(Host& host, ReplicaId id, int signal) {
  At(now_ + (signal == SIGKILL ? 1ms : 20ms),
     [this, index = host.index, id, signal] { EndProcess(index, id, 0, signal); });
}

void World::ProbeProcess(Host& host, const ProbeReplica& probe) {
  At(now_ + 500us, [this, index = host.index, life = host.life, probe] {
    Host& target = *hosts_[index];
    const auto found = target.processes.find(probe.id);
    const bool healthy = found != target.processes.end() && found->second.Answers(now_);
    if (healthy) found->second.last_healthy = now_;
    Deliver(index, life,
            ProbeResult{probe.id, probe.probe, healthy, healthy ? "" : "connection refused", probe.address});
  });
}

void World::FetchOnto(Host& host, const FetchBundle& fetch) {
  At(now_ + 50ms, [this, index = host.index, life = host.life, fetch] {
    Host& target = *hosts_[index];
    if (target.disk_full) return Deliver(index, life, BundleFailed{fetch.digest, kNoSpace});
    for (const auto& [holder, address] : fetch.holders) {
      const auto found = IndexAt(address.ip);
      if (!found) continue;
      const Host& source = *hosts_[*found];
      if (!source.Thinking() || !source.disk.bundles.contains(fetch.digest)) continue;
      const std::vector<HostIndex> way = WayTo(target, source.index);
      if (!Admits(index, source.index, way) || !WayOpen(index, source.index, way)) continue;
      target.disk.bundles.insert(fetch.digest);
      Deliver(index, life, BundleReady{fetch.digest});
      return;
    }
    Deliver(index, life, BundleFailed{fetch.digest, "no holder answers"});
  });
}

}  // namespace hs::sim
