// For tests: boxes that carry out their slices a step at a time, so that a plan can be followed to its
// fixpoint.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/placement/health_watch.h"
#include "core/placement/plan_book.h"
#include "core/placement/reconcile.h"

namespace hs {

inline NodeId Box(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

// Boxes that do what their slices say, a step at a time.
class World {
 public:
  Tunables tunables;
  Time now = Time{} + 1000s;
  Time started_at{};
  std::vector<std::string> unmet;
  MemberTable members;
  std::set<NodeId> drained;
  std::vector<DesiredService> services;
  std::map<SpecHash, ServiceSpec> specs;
  std::map<NodeId, NodeReport> reports;
  std::map<ReplicaId, WorkVerdict> evidence;
  std::set<SpecHash> broken;        // versions that never get healthy
  std::set<ReplicaId> broken_ones;  // replicas that never do
  std::set<NodeId> broken_boxes;    // where none ever does
  std::set<NodeId> full_boxes;      // where none can even be started
  bool intent_known = true;
  SteadyView::Standing standing{1, 1};
  bool boxes_act = true;
  HealthWatch watch;
  MoveBook moves{tunables};
  PlanBook book{Box(1)};
  Prng prng{7};
  PlanDraft draft;
  PlanUpdate update;
  int healthy_min = 1 << 20;  // fewest healthy replicas of any wanted service seen while running

  explicit World(int boxes) {
    for (int n = 1; n <= boxes; ++n) AddBox(n);
  }
  void AddBox(int n) {
    Member member;
    member.id = Box(n);
    member.meta.Edit().name = "n" + std::to_string(n);
    member.meta.Edit().capacity = {4000, std::uint64_t{8} << 30};
    member.alive_since = now;
    member.state_since = now;
    member.seen_this_run = true;
    members[member.id] = member;
    reports[member.id];
  }
  void SetState(int n, MemberState state) {
    members[Box(n)].state = state;
    members[Box(n)].state_since = now;
  }
  ServiceSpec Spec(const std::string& name, const std::string& version) {
    ServiceSpec spec;
    spec.name = name;
    spec.command = {version};
    return spec;
  }
  void Want(ServiceSpec spec, std::uint32_t replicas) {
    std::erase_if(services, [&](const DesiredService& s) { return s.spec.name == spec.name; });
    const SpecHash hash = HashOf(spec);
    specs[hash] = spec;
    services.push_back({spec, hash, "stack", {}, replicas});
  }

  NodeReports Seen() const {
    NodeReports seen;
    for (const auto& [node, report] : reports) seen[node] = {&report, members.at(node).incarnation.boot};
    return seen;
  }
  ReconcileInput InputOf(const NodeReports& seen, const KnownSlices& known,
                         std::map<std::string, ReplicaId> elsewhere = {}) const {
    return {now,           started_at, tunables, members,      drained,
            services,      specs,      seen,     known,        evidence,
            watch.since(), moves,      standing, intent_known, std::move(elsewhere),
            unmet};
  }
  void Plan() {
    const NodeReports seen = Seen();
    watch.Observe(now, seen);
    const KnownSlices known = book.Known({});
    draft = Reconcile(InputOf(seen, known), prng);
    moves.Note(now, draft.moves_begun, draft.moves_failed);
    update = book.Apply(1, draft, {}, members, seen);
  }
  void Act() {
    for (const auto& [node, slice] : book.slices()) {
      if (!IsPresent(members[node].state)) continue;
      NodeReport& report = reports[node];
      std::map<ReplicaId, ReplicaStatus> own;
      for (const auto& status : report.replicas) own[status.id] = status;
      for (const Assignment& a : slice.assignments) {
        auto it = own.find(a.replica);
        if (a.stop_keeper) {
          if (it == own.end()) continue;
          if (it->second.state == ReplicaState::kStopping) {
            own.erase(it);
          } else if (a.stop_keeper == a.replica || HealthyAnywhere(a.stop_keeper)) {
            it->second.state = ReplicaState::kStopping;
          }
          continue;
        }
        if (it == own.end()) {
          ReplicaStatus status;
          status.id = a.replica;
          status.service = a.service;
          status.spec = a.spec;
          status.state = ReplicaState::kStarting;
          if (full_boxes.contains(node)) {
            status.state = ReplicaState::kBackoff;
            status.last_error = "No space left on device";
          }
          own[a.replica] = status;
        } else if (!broken.contains(a.spec) && !broken_ones.contains(a.replica) &&
                   !broken_boxes.contains(node) && !full_boxes.contains(node) &&
                   it->second.state != ReplicaState::kStopping) {
          it->second.state = ReplicaState::kRunning;
          it->second.health = Health::kHealthy;
        }
      }
      report.replicas.clear();
      for (const auto& [id, status] : own) report.replicas.push_back(status);
      report.plan = slice.stamp;
    }
  }
  bool HealthyAnywhere(ReplicaId id) const {
    for (const auto& [node, report] : reports) {
      for (const auto& status : report.replicas) {
        if (status.id == id && status.state == ReplicaState::kRunning && status.health == Health::kHealthy)
          return true;
      }
    }
    return false;
  }
  void Round() {
    Plan();
    if (boxes_act) Act();
    now += 1s;
    for (const auto& service : services) healthy_min = std::min(healthy_min, Healthy(service.spec.name));
  }
  // Until three plans in a row change nothing; fails when that takes too long.
  void Settle(int rounds_max = 100) {
    int quiet = 0;
    for (int i = 0; i < rounds_max && quiet < 3; ++i) {
      Round();
      quiet = update.changed.empty() ? quiet + 1 : 0;
    }
    EXPECT_EQ(quiet, 3) << "no fixpoint";
  }
  int Healthy(const std::string& service, std::optional<SpecHash> spec = {}) const {
    int count = 0;
    for (const auto& [node, report] : reports) {
      if (!IsPresent(members.at(node).state)) continue;
      for (const auto& s : report.replicas) {
        count += s.service == service && s.state == ReplicaState::kRunning && s.health == Health::kHealthy &&
                 (!spec || s.spec == *spec);
      }
    }
    return count;
  }
  int On(int n, const std::string& service = "web") const {
    const auto& replicas = reports.at(Box(n)).replicas;
    return std::count_if(replicas.begin(), replicas.end(),
                         [&](const auto& s) { return s.service == service; });
  }
  int Decided(const std::string& kind) const {
    return std::count_if(update.decisions.begin(), update.decisions.end(),
                         [&](const auto& d) { return d.kind == kind; });
  }
  std::map<ReplicaId, NodeId> Where() const {
    std::map<ReplicaId, NodeId> where;
    for (const auto& [node, report] : reports) {
      if (!IsPresent(members.at(node).state)) continue;
      for (const auto& s : report.replicas) where[s.id] = node;
    }
    return where;
  }
};

}  // namespace hs
