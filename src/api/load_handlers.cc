// Handlers of what was measured: /v1/top and /v1/history.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "api/find.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/loads.h"
#include "core/observation/history.h"

namespace hs {
namespace {

constexpr std::size_t kHistorySeriesMax = 64;

// Three digits behind the point are more than anything here is worth; a whole number is written as one.
json::value Rounded(double value) {
  const double rounded = std::round(value * 1000) / 1000;
  if (rounded == std::floor(rounded) && std::abs(rounded) < 1e15) return static_cast<std::int64_t>(rounded);
  return rounded;
}

json::value OrNull(const std::optional<double>& value) {
  return value ? Rounded(*value) : json::value(nullptr);
}
json::value Share(float pressure) { return pressure < 0 ? json::value(nullptr) : Rounded(pressure); }

bool IsListed(const Member& member) {
  return member.state != MemberState::kDead && member.state != MemberState::kLeft;
}

json::object NodeTop(const Member& member, const std::map<NodeId, NodeLoad>& loads, std::size_t replicas) {
  json::object out{
      {"node", SafeText(member.meta->name)}, {"state", ToString(member.state)}, {"replicas", replicas}};
  const auto found = loads.find(member.id);
  out["measured"] = found != loads.end();
  if (found == loads.end()) return out;
  const NodeLoad& load = found->second;
  out["cpu"] = Rounded(load.cpu);
  out["cores"] = Rounded(load.cores);
  out["memory_used_bytes"] = load.memory_used_bytes;
  out["memory_total_bytes"] = load.memory_total_bytes;
  out["disk_free_bytes"] = load.disk_free_bytes;
  out["disk_total_bytes"] = load.disk_total_bytes;
  out["disk_bytes_s"] = Rounded(load.disk_bytes_s);
  out["net_bytes_s"] = Rounded(load.net_bytes_s);
  out["pressure_cpu"] = Share(load.pressure_cpu);
  out["pressure_memory"] = Share(load.pressure_memory);
  out["pressure_io"] = Share(load.pressure_io);
  out["lag_ms"] = Rounded(load.lag_ms);
  return out;
}

json::object ServiceTop(const NodeView& view, const DesiredService& service,
                        const std::map<std::string, ServiceLoad>& loads) {
  const auto count = CountService(view, service);
  std::uint32_t missing = 0;
  for (const Shortage& shortage : view.steady.shortages) {
    // Where a rollout stopped the version before serves on.
    if (shortage.service == service.spec.name && shortage.of != ShortOf::kVersion)
      missing += shortage.missing;
  }
  json::object out{{"service", SafeText(service.spec.name)},
                   {"desired", count.desired},
                   {"granted", count.desired - std::min(count.desired, missing)},
                   {"running", count.running},
                   {"healthy", count.healthy}};
  if (service.spec.scale) {
    out["min"] = service.spec.scale->min;
    out["max"] = service.spec.scale->max;
  }
  const auto found = loads.find(service.spec.name);
  out["measured"] = found == loads.end() ? 0 : found->second.replicas;
  if (found == loads.end()) return out;
  const ServiceLoad& load = found->second;
  out["arrivals_s"] = Rounded(load.arrivals_s);
  out["completions_s"] = Rounded(load.completions_s);
  out["refused_s"] = Rounded(load.refused_s);
  out["errors_s"] = Rounded(load.errors_s);
  out["in_flight"] = Rounded(load.in_flight);
  out["queued"] = Rounded(load.queued);
  out["p50_ms"] = OrNull(LatencyQuantileMs(load.latency, 0.5));
  out["p99_ms"] = OrNull(LatencyQuantileMs(load.latency, 0.99));
  out["cpu"] = Rounded(load.cpu);
  out["memory_bytes"] = load.memory_bytes;
  if (load.metric_replicas > 0) {
    out["metric"] = Rounded(load.metric);
    out["metric_replicas"] = load.metric_replicas;
  }
  return out;
}

struct ClusterSum {
  std::size_t nodes = 0;
  std::size_t present = 0;
  std::size_t measured = 0;
  double cpu = 0;
  double cores = 0;
  std::uint64_t memory_used_bytes = 0;
  std::uint64_t memory_total_bytes = 0;
};

ClusterSum SumOf(const NodeView& view, const std::map<NodeId, NodeLoad>& loads) {
  ClusterSum sum;
  for (const Member& member : view.members) {
    if (!IsListed(member)) continue;
    ++sum.nodes;
    if (!IsPresent(member.state)) continue;
    ++sum.present;
    const auto found = loads.find(member.id);
    if (found == loads.end()) continue;
    ++sum.measured;
    sum.cpu += found->second.cpu;
    sum.cores += found->second.cores;
    sum.memory_used_bytes += found->second.memory_used_bytes;
    sum.memory_total_bytes += found->second.memory_total_bytes;
  }
  return sum;
}

json::object ClusterTop(const NodeView& view, const std::map<NodeId, NodeLoad>& loads) {
  const ClusterSum sum = SumOf(view, loads);
  json::array pending;
  for (const auto& reason : view.steady.pending) pending.push_back(SafeText(reason));
  json::array shortages;
  for (const auto& shortage : view.steady.shortages)
    shortages.push_back(
        SafeText(fmt::format("{} of {}: {}", shortage.missing, shortage.service, shortage.reason)));
  const bool held = view.steady.since < view.now;
  return {{"nodes", sum.nodes},
          {"present", sum.present},
          {"measured", sum.measured},
          {"cpu", Rounded(sum.cpu)},
          {"cores", Rounded(sum.cores)},
          {"memory_used_bytes", sum.memory_used_bytes},
          {"memory_total_bytes", sum.memory_total_bytes},
          {"steady", view.steady.steady},
          {"steady_s", held ? Rounded(ToSeconds(view.now - view.steady.since)) : json::value(0)},
          {"pending", std::move(pending)},
          {"short", std::move(shortages)},
          {"controller", SafeText(view.controller ? NodeName(view, view.controller) : "")}};
}

json::object TopJson(const NodeView& view) {
  const auto loads = NodeLoadsOf(view);
  std::map<NodeId, std::size_t> replicas;
  for (const auto& row : ReplicasOf(view)) ++replicas[row.node];
  json::array nodes, services;
  for (const Member& member : view.members) {
    if (IsListed(member)) nodes.push_back(NodeTop(member, loads, replicas[member.id]));
  }
  const auto service_loads = ServiceLoadsOf(view);
  for (const auto& service : view.services) services.push_back(ServiceTop(view, service, service_loads));
  return {{"by", SafeText(NodeName(view, view.self))},
          {"cluster", ClusterTop(view, loads)},
          {"nodes", std::move(nodes)},
          {"services", std::move(services)}};
}

std::optional<std::int64_t> QuerySeconds(const RouteCall& call, const char* key, std::int64_t otherwise) {
  const auto it = call.query.find(key);
  if (it == call.query.end()) return otherwise;
  std::int64_t value = 0;
  const auto& text = it->second;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || value < 1) return std::nullopt;
  return std::min(value, History::kSeconds);
}

std::vector<std::string> SplitNames(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    if (end > begin) names.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

}  // namespace

// The controller hears of all, and of several the steward; others know their own box, so they ask it. `local`
// stops a question from going round when two nodes take each other for the controller.
ApiResult GetTop(const RouteCall& call) {
  const NodeView& view = call.view;
  ApiResponse own{200, json::serialize(TopJson(view)), "application/json"};
  const NodeId knows = view.regions.empty() ? view.controller : view.steward;
  const Member* controller = FindMember(view, knows);
  const bool ask = controller != nullptr && knows != view.self && IsPresent(controller->state);
  if (!ask || call.HasFlag("local")) return own;
  return AskNodeCommand{knows, "/v1/top?local=1", std::move(own)};
}

ApiResult GetHistory(const RouteCall& call) {
  ReadHistoryCommand command;
  const auto since = QuerySeconds(call, "since", 300);
  const auto step = QuerySeconds(call, "step", 1);
  if (!since || !step) return ErrorResponse(400, "since and step must be whole numbers of seconds above 0");
  command.since_s = *since;
  command.step_s = *step;
  const auto series = call.query.find("series");
  if (series != call.query.end()) command.series = SplitNames(series->second);
  if (series != call.query.end() && command.series.empty())
    return ErrorResponse(400, "series must name at least one; without it all names are listed");
  if (command.series.size() > kHistorySeriesMax)
    return ErrorResponse(400, fmt::format("at most {} series at once", kHistorySeriesMax));
  return command;
}

ApiResponse HistoryShown(const ReadHistoryCommand& command, const History& history, Now now) {
  json::array rows;
  if (command.series.empty()) {
    for (const auto& name : history.Series()) rows.push_back(SafeText(name));
  }
  for (const auto& name : command.series) {
    if (!history.Has(name))
      return ErrorResponse(404, fmt::format("no series '{}' here; /v1/history lists them", name));
    json::array points;
    for (const HistoryPoint& point : history.Range(name, now.mono - std::chrono::seconds(command.since_s),
                                                   now.mono, std::chrono::seconds(command.step_s))) {
      points.push_back(
          json::array{now.wall_ms - ToMs(now.mono - point.at), Rounded(point.mean), Rounded(point.max)});
    }
    rows.push_back(json::object{{"name", SafeText(name)}, {"points", std::move(points)}});
  }
  return {200,
          json::serialize(json::object{{"now_ms", now.wall_ms},
                                       {"step_s", command.step_s},
                                       {"seconds", History::kSeconds},
                                       {"dropped", history.dropped()},
                                       {"refused", history.refused()},
                                       {"series", std::move(rows)}}),
          "application/json"};
}

}  // namespace hs
