#include "api/metrics.h"

#include <fmt/format.h>

#include <array>
#include <map>

#include "api/find.h"

namespace hs {
namespace {

// Label values: backslash, quote and newline are escaped (Prometheus exposition format, "Comments, help
// text...").
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

class Formatter {
 public:
  void Head(std::string_view name, std::string_view help) {
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", name, help);
  }
  void Row(std::string_view name, std::string_view labels, double value) {
    out_ += labels.empty() ? fmt::format("{} {}\n", name, value)
                           : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

}  // namespace

std::string MetricsText(const NodeView& view) {
  Formatter out;
  out.Head("homeostat_members", "Members of the cluster by state, as this node sees them.");
  for (const auto state : {MemberState::kAlive, MemberState::kSuspect, MemberState::kAgentDown,
                           MemberState::kUnreachable, MemberState::kDead, MemberState::kLeft}) {
    double count = 0;
    for (const auto& member : view.members) count += member.state == state;
    out.Row("homeostat_members", fmt::format("state=\"{}\"", ToString(state)), count);
  }

  out.Head("homeostat_replicas", "Replicas by service and health.");
  std::map<std::string, std::array<double, 3>> replicas;
  for (const auto& service : view.services) replicas[service.spec.name];
  std::map<std::string, double> restarts;
  for (const auto& row : ReplicasOf(view)) {
    const auto health = row.unreachable ? Health::kUnknown : row.status->health;
    ++replicas[row.status->service][static_cast<std::size_t>(health)];
    restarts[row.status->service] += row.status->restarts;
  }
  for (const auto& [service, counts] : replicas) {
    for (const auto health : {Health::kUnknown, Health::kHealthy, Health::kUnhealthy}) {
      out.Row("homeostat_replicas",
              fmt::format("service=\"{}\",health=\"{}\"", Escape(service), ToString(health)),
              counts[static_cast<std::size_t>(health)]);
    }
  }
  out.Head("homeostat_replica_restarts", "Restarts of the replicas that exist now, by service.");
  for (const auto& [service, count] : restarts) {
    out.Row("homeostat_replica_restarts", fmt::format("service=\"{}\"", Escape(service)), count);
  }
  out.Head("homeostat_replicas_desired", "Replicas asked for, by service.");
  for (const auto& service : view.services) {
    out.Row("homeostat_replicas_desired", fmt::format("service=\"{}\"", Escape(service.spec.name)),
            service.replicas);
  }
  out.Head("homeostat_replicas_short", "Replicas that cannot be placed now, by service.");
  for (const auto& shortage : view.steady.shortages) {
    out.Row("homeostat_replicas_short", fmt::format("service=\"{}\"", Escape(shortage.service)),
            shortage.missing);
  }
  out.Head("homeostat_steady", "1 while nothing is starting, draining or spreading.");
  out.Row("homeostat_steady", "", view.steady.steady ? 1 : 0);
  out.Head("homeostat_steady_seconds", "How long the present answer of homeostat_steady has held.");
  out.Row("homeostat_steady_seconds", "",
          view.now < view.steady.since ? 0 : ToSeconds(view.now - view.steady.since));
  out.Head("homeostat_is_controller", "1 on the node that controls its region.");
  out.Row("homeostat_is_controller", "", view.controller == view.self && view.self ? 1 : 0);
  out.Head("homeostat_term", "Term of the controller this node follows.");
  out.Row("homeostat_term", "", static_cast<double>(view.term));
  out.Head("homeostat_intent_documents", "Documents of intent held, tombstones included.");
  out.Row("homeostat_intent_documents", "", static_cast<double>(view.documents.size()));
  out.Head("homeostat_intent_conflicts", "Losers of conflicting writes that are kept readable.");
  out.Row("homeostat_intent_conflicts", "", static_cast<double>(view.conflicts.size()));
  return out.Take();
}

}  // namespace hs
