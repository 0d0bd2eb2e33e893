// A cluster on paper for tests of the API: three nodes, the shop stack, web as asked and api below its level.
#pragma once

#include "core/intent/desired.h"
#include "core/node/view.h"

namespace hs {

inline NodeId TestNode(std::uint8_t number) {
  NodeId id;
  id.bytes.fill(number);
  return id;
}
inline Time TestTime(std::int64_t seconds) { return Time(std::chrono::seconds(seconds)); }

inline Member TestMember(std::uint8_t number, MemberState state = MemberState::kAlive) {
  Member member;
  member.id = TestNode(number);
  member.state = state;
  member.meta.Edit().name = "n" + std::to_string(number);
  member.meta.Edit().address = *Endpoint::Parse("127.0.0." + std::to_string(10 + number) + ":7700");
  member.meta.Edit().labels = {{"rack", "r" + std::to_string(number)}};
  member.state_since = TestTime(50);
  member.alive_since = TestTime(10);
  return member;
}

inline ReplicaStatus TestReplica(const DesiredService& service, std::uint64_t id, ReplicaState state,
                                 Health health) {
  ReplicaStatus status;
  status.id = ReplicaId{id << 32};
  status.service = service.spec.name;
  status.spec = service.hash;
  status.state = state;
  status.health = health;
  status.address = *Endpoint::Parse("127.0.0.11:20001");
  status.pid = 4711;
  status.since_ms = 1'700'000'000'000;
  return status;
}

inline std::shared_ptr<const RecordBody> TestEvent(std::string kind, std::string subject, std::string cause,
                                                   WallMs at_ms = 1'700'000'000'000) {
  return std::make_shared<const RecordBody>(
      Event{at_ms, TestNode(1), std::move(kind), std::move(subject), std::move(cause)});
}

inline void SetReport(NodeView& view, std::uint8_t node, std::vector<ReplicaStatus> replicas,
                      std::vector<RoleHeld> roles = {}) {
  NodeReport report;
  report.roles = std::move(roles);
  report.replicas = std::move(replicas);
  view.reports[TestNode(node)] = std::make_shared<const RecordBody>(std::move(report));
}

inline ServiceSpec TestService(const std::string& name, std::uint32_t replicas) {
  ServiceSpec spec;
  spec.name = name;
  spec.command = {"/bin/" + name, "serve"};
  spec.replicas = replicas;
  return spec;
}

inline NodeView TestView() {
  NodeView view;
  view.now = TestTime(100);
  view.cluster.bytes.fill(0xcc);
  view.self = view.controller = TestNode(1);
  view.term = 3;
  view.members = {TestMember(1), TestMember(2), TestMember(3)};
  for (Member& member : view.members) member.meta.Edit().roles.worker = true;
  view.members[0].meta.Edit().roles.door = true;
  view.members[0].meta.Edit().door = *Endpoint::Parse("127.0.0.11:8080");
  view.members[1].meta.Edit().roles.standby = true;
  StackSpec shop{"shop", {TestService("api", 2), TestService("web", 2)}};
  Documents documents;
  documents[StackKey("shop", 1)] =
      Document{StackKey("shop", 1), Stamp{1'600'000'000'000, 0, TestNode(1)}, shop};
  for (const auto& [key, document] : documents) view.documents.push_back(document);
  view.services = DesiredServices(documents);
  const auto& api = view.services[0];
  const auto& web = view.services[1];
  auto broken = TestReplica(api, 0xa2, ReplicaState::kBackoff, Health::kUnhealthy);
  broken.restarts = 4;
  broken.last_error = "exit code 1";
  SetReport(view, 1,
            {TestReplica(web, 0xb1, ReplicaState::kRunning, Health::kHealthy),
             TestReplica(api, 0xa1, ReplicaState::kRunning, Health::kHealthy)});
  SetReport(view, 2, {TestReplica(web, 0xb2, ReplicaState::kRunning, Health::kHealthy), broken});
  view.events = {TestEvent("plan.start", "web", "web wants 2, 0 run"),
                 TestEvent("replica.exited", "api", "exit code 1")};
  view.steady.steady = true;
  view.steady.since = TestTime(66);
  return view;
}

}  // namespace hs
