#include "sim/garbage.h"

#include <utility>

#include "core/intent/desired.h"

namespace hs::sim {
namespace {

constexpr const char* kServices[] = {"shop0", "shop1", "blog0", "ghost"};

NodeId DrawNode(Prng& prng) {
  NodeId id;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(prng.Below(256));
  return id;
}

ServiceSpec DrawSpec(Prng& prng) {
  ServiceSpec spec;
  spec.name = kServices[prng.Below(std::size(kServices))];
  spec.command = {"serve"};
  spec.environment = {{"VERSION", "old" + std::to_string(prng.Below(3))}};
  spec.replicas = static_cast<std::uint32_t>(prng.Below(4));
  return spec;
}

void RunSomething(World& world, Host& host, Prng& prng) {
  Process process;
  process.spec = DrawSpec(prng);
  process.address = {host.address.ip, host.next_port++};
  process.pid = static_cast<std::uint32_t>(100 + prng.Below(800));
  process.restarts = static_cast<std::uint32_t>(prng.Below(4));
  process.alive = prng.Chance(0.8);
  process.listens_at = prng.Chance(0.8) ? world.now() : kNever;
  process.started_ms = world.TrueWall() - static_cast<WallMs>(prng.Below(1'000'000'000));
  // Few ids, so that some are on two boxes.
  host.processes[ReplicaId{1 + prng.Below(3 * world.size())}] = process;
}

// Revisions of months ago, of which each disk kept some.
std::vector<Document> OldDocuments(World& world, Prng& prng) {
  Documents all;
  const std::vector<NodeId> writers{DrawNode(prng), world.host(0).disk.node};
  for (const char* stack : {"shop", "blog", "shop", "ghost"}) {
    StackSpec spec{stack, {}};
    for (std::size_t i = 0; i < 2; ++i) {
      ServiceSpec service = DrawSpec(prng);
      service.name = stack + std::to_string(i);
      spec.services.push_back(std::move(service));
    }
    for (auto& [key, body] : DeployWrites(all, spec, 3)) {
      const Stamp stamp{world.TrueWall() - static_cast<WallMs>(prng.Below(8'000'000'000)), 0,
                        writers[prng.Below(writers.size())]};
      all[key] = {key, stamp, std::move(body), {}};
    }
  }
  const NodeId drained = world.host(prng.Below(world.size())).disk.node;
  all[DrainKey(drained)] = {
      DrainKey(drained), {world.TrueWall() - 1'000'000, 0, writers[0]}, DrainOrder{drained}, {}};
  std::vector<Document> documents;
  for (auto& [key, document] : all) documents.push_back(std::move(document));
  return documents;
}

void HalfWrite(World& world, Host& host, const std::vector<Document>& documents, Prng& prng) {
  for (const Document& document : documents) {
    if (prng.Chance(0.4)) continue;
    Document held = document;
    if (prng.Chance(0.2)) {
      // This disk missed the last word on it, or is the only one that has it.
      held.stamp.wall_ms += static_cast<WallMs>(prng.Below(2'000'000)) - 1'000'000;
      if (prng.Chance(0.3)) held.body = std::monostate{};
    }
    host.disk.documents[held.key] = held;
  }
  host.disk.boot_counter = static_cast<std::uint32_t>(prng.Below(1000));
  for (std::uint64_t i = prng.Below(4); i > 0; --i) {
    const Host& other = world.host(prng.Below(world.size()));
    // Addresses of another life: somebody else may live there now.
    host.disk.peers.emplace_back(prng.Chance(0.5) ? NodeId{} : other.disk.node,
                                 world.host(prng.Below(world.size())).address);
  }
  host.meta.region = static_cast<RegionId>(prng.Below(4));
  RoleClaim& roles = host.meta.roles;
  for (bool* role :
       {&roles.controller, &roles.standby, &roles.monitor, &roles.door, &roles.worker, &roles.strained})
    *role = prng.Chance(0.3);
  roles.term = prng.Below(100);
}

}  // namespace

void ScatterGarbage(World& world, Prng& prng) {
  const std::vector<Document> documents = OldDocuments(world, prng);
  for (HostIndex i = 0; i < world.size(); ++i) {
    Host& host = world.host(i);
    for (std::uint64_t n = prng.Below(5); n > 0; --n) RunSomething(world, host, prng);
    if (prng.Chance(0.8)) HalfWrite(world, host, documents, prng);
  }
}

void TellStalePlans(World& world, Prng& prng) {
  for (HostIndex i = 0; i < world.size(); ++i) {
    if (!world.host(i).Thinking()) continue;
    RecordPush push;
    for (std::uint64_t n = prng.Below(4); n > 0; --n) {
      const Host& target = world.host(prng.Below(world.size()));
      // Of somebody who is gone, or of a former life: the contract promises that boot counters only grow.
      const Host& former = world.host(prng.Below(world.size()));
      const bool gone = prng.Chance(0.5);
      const NodeId owner = gone ? DrawNode(prng) : former.disk.node;
      const auto boot = static_cast<std::uint32_t>(prng.Below(gone ? 1000 : former.disk.boot_counter));
      if (owner == world.host(i).disk.node) continue;  // nobody hears his own words from others as news
      PlanSlice slice;
      slice.stamp = {prng.Below(50), owner, prng.Below(1000)};
      slice.members_digest = prng.Next();
      slice.node = target.disk.node;
      for (const auto& [id, process] : target.processes) {
        const bool stop = prng.Chance(0.5);
        slice.assignments.push_back(
            {id, process.spec.name, HashOf(process.spec),
             stop ? (prng.Chance(0.5) ? id : ReplicaId{prng.Next() | 1}) : ReplicaId{}, "a stale plan"});
      }
      slice.allotments = {{"service.shop1", prng.Below(20)}};
      const RecordKey key{RecordKind::kPlanSlice, owner, slice.node.Prefix64()};
      push.records.push_back(
          {key, {boot, prng.Below(100)}, std::make_shared<const RecordBody>(std::move(slice))});
    }
    const HostIndex from = (i + 1) % world.size();
    if (!push.records.empty()) world.Feed(i, LinkReceived{world.host(from).disk.node, std::move(push)});
  }
}

}  // namespace hs::sim
