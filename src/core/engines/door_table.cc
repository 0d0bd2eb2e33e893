#include "core/engines/door_table.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

namespace hs {
namespace {

constexpr std::uint32_t kWeightMax = 256;  // HAProxy's

std::string ServerName(ReplicaId id) {
  std::string hex(16, '0');
  for (int i = 0; i < 16; ++i) hex[i] = "0123456789abcdef"[id.value >> (60 - 4 * i) & 15];
  return hex;
}

// Replicas that a restarted agent has just adopted count: they served a moment ago.
bool Ready(const ReplicaStatus& status, bool panic) {
  return status.state == ReplicaState::kRunning && (panic || status.health != Health::kUnhealthy) &&
         status.address;
}

struct Found {
  NodeId node;
  const Member* member;  // null: not in the table, which only this node itself may be
  bool reachable;
  const ReplicaStatus* status;
};

DoorServer Local(const ReplicaStatus& status, ServerState state) {
  DoorServer server;
  server.name = ServerName(status.id);
  server.address = status.address;
  server.state = state;
  return server;
}

DoorServer Remote(const Member& member, std::uint32_t ready, bool reachable) {
  DoorServer server;
  server.name = member.id.Hex();
  server.address = {member.meta->address.ip, member.meta->inbound_http};
  server.tls = true;
  server.tcp_port = member.meta->inbound_tcp;
  server.weight = std::clamp<std::uint32_t>(ready, 1, kWeightMax);
  server.state = !reachable ? ServerState::kDown : ready > 0 ? ServerState::kReady : ServerState::kDrain;
  return server;
}

bool Reachable(const Member& member) {
  return IsPresent(member.state) || member.state == MemberState::kAgentDown;
}

// Most of what runs looks unhealthy: then the checks tell more of an overload, or of themselves, than of the
// replicas, and the few that look well would get what all of them could hardly carry.
bool Panic(const std::vector<Found>& found, const std::vector<SummedServer>& summed) {
  std::size_t running = 0, well = 0;
  for (const SummedServer& server : summed) {
    if (!Reachable(*server.member)) continue;
    running += server.at->running;
    well += server.at->well;
  }
  for (const Found& f : found) {
    if (!f.reachable) continue;
    running += Ready(*f.status, true);
    well += Ready(*f.status, false);
  }
  return 2 * well < running || well == 0;
}

void AddServers(const DoorInput& input, const std::vector<Found>& found,
                const std::vector<SummedServer>& summed, DoorService& service) {
  const bool panic = Panic(found, summed);
  // Silence may be this node's own; where nobody else could answer, the silent are asked all the same.
  const bool deserted = std::none_of(found.begin(), found.end(),
                                     [&](const Found& f) { return Ready(*f.status, true) && f.reachable; }) &&
                        std::ranges::none_of(summed, [](const SummedServer& server) {
                          return server.at->running > 0 && Reachable(*server.member);
                        });
  struct Elsewhere {
    const Member* member;
    bool reachable;
    std::uint32_t ready;  // replicas; 0: only draining ones
  };
  std::vector<Elsewhere> elsewhere;
  for (const Found& f : found) {
    const bool ready = Ready(*f.status, panic);
    const bool draining = f.status->state == ReplicaState::kDraining && f.status->address;
    if (!ready && !draining) continue;
    if (f.node == input.self) {
      service.local.push_back(Local(*f.status, ready ? ServerState::kReady : ServerState::kDrain));
    } else {
      // What is found of one node comes in a row.
      if (elsewhere.empty() || elsewhere.back().member != f.member)
        elsewhere.push_back({f.member, f.reachable, 0});
      elsewhere.back().ready += ready;
    }
  }
  for (const auto& [member, at] : summed) {
    const std::uint32_t ready = panic ? at->running : at->well;
    if (ready > 0 || at->draining > 0) elsewhere.push_back({member, Reachable(*member), ready});
  }
  std::ranges::sort(elsewhere, {}, [](const Elsewhere& of) { return of.member->id; });
  const auto by_name = [](const DoorServer& a, const DoorServer& b) { return a.name < b.name; };
  std::sort(service.local.begin(), service.local.end(), by_name);
  service.servers = service.local;
  for (const auto& [of, reachable, ready] : elsewhere) {
    const Member& member = *of;
    if (member.meta->inbound_http == 0 && member.meta->inbound_tcp == 0) continue;
    const bool asked = reachable || (deserted && member.state == MemberState::kUnreachable);
    service.servers.push_back(Remote(member, ready, asked));
  }
}

// One that nobody asks for any more.
DoorService Remains(std::string_view name, const std::vector<Found>& found, NodeId self) {
  DoorService service;
  service.name = name;
  for (const Found& f : found) {
    const bool draining = f.status->state == ReplicaState::kDraining && f.status->address;
    if (f.node == self && (draining || Ready(*f.status, true)))
      service.local.push_back(Local(*f.status, ServerState::kDrain));
  }
  std::ranges::sort(service.local, {}, &DoorServer::name);
  service.servers = service.local;
  return service;
}

}  // namespace

std::optional<ReplicaId> ReplicaOf(std::string_view server_name) {
  std::uint64_t value = 0;
  const char* end = server_name.data() + server_name.size();
  const auto [parsed, error] = std::from_chars(server_name.data(), end, value, 16);
  if (server_name.size() != 16 || parsed != end || error != std::errc()) return std::nullopt;
  return ReplicaId{value};
}

DoorTable BuildDoorTable(const DoorInput& input) {
  std::map<std::string_view, std::vector<Found>> by_service;
  auto known = input.members.begin();  // both are sorted by id
  for (const auto& [node, report] : input.reports) {
    while (known != input.members.end() && known->first < node) ++known;
    const Member* member = known != input.members.end() && known->first == node ? &known->second : nullptr;
    if (node != input.self && member == nullptr) continue;
    const bool reachable = node == input.self || Reachable(*member);
    for (const ReplicaStatus& status : report->replicas)
      by_service[status.service].push_back({node, member, reachable, &status});
  }
  DoorTable table;
  for (const DesiredService& desired : input.services) {
    DoorService service;
    service.name = desired.spec.name;
    service.http = desired.spec.http;
    service.ports = desired.spec.ports;
    const auto found = by_service.find(service.name);
    const auto summed = input.summed.find(service.name);
    static const std::vector<Found> kNoneFound;
    static const std::vector<SummedServer> kNoneSummed;
    AddServers(input, found == by_service.end() ? kNoneFound : found->second,
               summed == input.summed.end() ? kNoneSummed : summed->second, service);
    table.services.push_back(std::move(service));
    if (found != by_service.end()) by_service.erase(found);
  }
  for (const auto& [name, found] : by_service) {
    DoorService service = Remains(name, found, input.self);
    if (!service.local.empty()) table.services.push_back(std::move(service));
  }
  std::sort(table.services.begin(), table.services.end(),
            [](const DoorService& a, const DoorService& b) { return a.name < b.name; });
  return table;
}

}  // namespace hs
