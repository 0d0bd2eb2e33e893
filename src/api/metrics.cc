#include "api/metrics.h"

#include <array>
#include <map>

#include "api/exposition.h"
#include "api/find.h"
#include "api/load_metrics.h"

namespace hs {
namespace {

void MemberMetrics(const NodeView& view, Exposition& out) {
  out.Gauge("homeostat_members", "Members of the cluster by state, as this node sees them.");
  for (const auto state : {MemberState::kAlive, MemberState::kSuspect, MemberState::kAgentDown,
                           MemberState::kUnreachable, MemberState::kDead, MemberState::kLeft}) {
    double count = 0;
    for (const auto& member : view.members) count += member.state == state;
    out.Sample({{"state", ToString(state)}}, count);
  }
}

void ReplicaMetrics(const NodeView& view, Exposition& out) {
  std::map<std::string, std::array<double, 3>> replicas;
  for (const auto& service : view.services) replicas[service.spec.name];
  std::map<std::string, double> restarts;
  for (const auto& row : ReplicasOf(view)) {
    const auto health = row.unreachable ? Health::kUnknown : row.status->health;
    ++replicas[row.status->service][static_cast<std::size_t>(health)];
    restarts[row.status->service] += row.status->restarts;
  }
  out.Gauge("homeostat_replicas", "Replicas by service and health.");
  for (const auto& [service, counts] : replicas) {
    for (const auto health : {Health::kUnknown, Health::kHealthy, Health::kUnhealthy}) {
      out.Sample({{"service", service}, {"health", ToString(health)}},
                 counts[static_cast<std::size_t>(health)]);
    }
  }
  out.Gauge("homeostat_replica_restarts", "Restarts of the replicas that exist now, by service.");
  for (const auto& [service, count] : restarts) out.Sample({{"service", service}}, count);
  out.Gauge("homeostat_replicas_desired", "Replicas asked for, by service.");
  for (const auto& service : view.services) out.Sample({{"service", service.spec.name}}, service.replicas);
  out.Gauge("homeostat_replicas_short", "Replicas that cannot be placed now, by service.");
  std::map<std::string, std::uint32_t> missing;
  for (const auto& shortage : view.steady.shortages) missing[shortage.service] += shortage.missing;
  for (const auto& [service, count] : missing) out.Sample({{"service", service}}, count);
}

void ControlMetrics(const NodeView& view, Exposition& out) {
  out.Gauge("homeostat_steady", "1 while nothing is starting, draining or spreading.");
  out.Sample(view.steady.steady ? 1 : 0);
  out.Gauge("homeostat_steady_seconds", "How long the present answer of homeostat_steady has held.");
  out.Sample(view.now < view.steady.since ? 0 : ToSeconds(view.now - view.steady.since));
  out.Gauge("homeostat_is_controller", "1 on the node that controls its region.");
  out.Sample(view.controller == view.self && view.self ? 1 : 0);
  out.Gauge("homeostat_term", "Term of the controller this node follows.");
  out.Sample(static_cast<double>(view.term));
  out.Gauge("homeostat_intent_documents", "Documents of intent held, tombstones included.");
  out.Sample(static_cast<double>(view.documents.size()));
  out.Gauge("homeostat_intent_conflicts", "Losers of conflicting writes that are kept readable.");
  out.Sample(static_cast<double>(view.conflicts.size()));
}

}  // namespace

std::string MetricsText(const NodeView& view) {
  Exposition out;
  MemberMetrics(view, out);
  ReplicaMetrics(view, out);
  ControlMetrics(view, out);
  LoadMetrics(view, out);
  return out.Take();
}

}  // namespace hs
