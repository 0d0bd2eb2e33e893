#include "api/load_metrics.h"

#include <numeric>

#include "api/find.h"
#include "api/loads.h"

namespace hs {
namespace {

void GaugeOf(Exposition& out, std::string_view name, std::string_view help, double value) {
  out.Gauge(name, help);
  out.Sample(value);
}
void CounterOf(Exposition& out, std::string_view name, std::string_view help, double value) {
  out.Counter(name, help);
  out.Sample(value);
}

void PressureMetrics(const LocalLoad& load, Exposition& out) {
  const std::pair<const char*, const std::optional<Stall>*> resources[] = {
      {"cpu", &load.cpu.stall}, {"memory", &load.memory.stall}, {"io", &load.disk.stall}};
  out.Gauge("homeostat_node_pressure_known", "1 where this kernel tells pressure stall information.");
  for (const auto& [resource, stall] : resources) out.Sample({{"resource", resource}}, stall->has_value());
  out.Counter("homeostat_node_pressure_waiting_seconds_total",
              "Time in which some task waited for the resource.");
  for (const auto& [resource, stall] : resources)
    if (*stall) out.Sample({{"resource", resource}}, (*stall)->some_seconds_total);
  out.Counter("homeostat_node_pressure_stalled_seconds_total",
              "Time in which all tasks waited for the resource.");
  for (const auto& [resource, stall] : resources)
    if (*stall) out.Sample({{"resource", resource}}, (*stall)->full_seconds_total);
}

void BoxMetrics(const LocalLoad& load, Exposition& out) {
  if (load.cpu.cores > 0) {
    GaugeOf(out, "homeostat_node_cpu_cores", "Cores online.", load.cpu.cores);
    CounterOf(out, "homeostat_node_cpu_seconds_total", "Core-seconds of any work since the box's start.",
              load.cpu.seconds_total);
    GaugeOf(out, "homeostat_node_cpu_used_cores", "Cores busy in the last second.", load.cpu.used_cores);
    GaugeOf(out, "homeostat_node_cpu_iowait_cores", "Cores idle for a disk in the last second.",
            load.cpu.iowait_cores);
    GaugeOf(out, "homeostat_node_cpu_stolen_cores", "Cores the hypervisor gave away in the last second.",
            load.cpu.stolen_cores);
  }
  if (load.memory.total_bytes > 0) {
    GaugeOf(out, "homeostat_node_memory_bytes", "Memory of the box.",
            static_cast<double>(load.memory.total_bytes));
    GaugeOf(out, "homeostat_node_memory_available_bytes", "Memory that can be given to new work.",
            static_cast<double>(load.memory.available_bytes));
  }
  if (load.disk.total_bytes > 0) {
    GaugeOf(out, "homeostat_node_disk_bytes", "Size of the data directory's file system.",
            static_cast<double>(load.disk.total_bytes));
    GaugeOf(out, "homeostat_node_disk_free_bytes", "Free on the data directory's file system.",
            static_cast<double>(load.disk.free_bytes));
  }
  if (const auto& device = load.disk.device) {
    CounterOf(out, "homeostat_node_disk_read_bytes_total", "Read from the data directory's device.",
              static_cast<double>(device->read_bytes_total));
    CounterOf(out, "homeostat_node_disk_written_bytes_total", "Written to the data directory's device.",
              static_cast<double>(device->written_bytes_total));
    GaugeOf(out, "homeostat_node_disk_busy_ratio", "Share of the last second with I/O under way, 0 to 1.",
            device->busy);
  }
  CounterOf(out, "homeostat_node_network_receive_bytes_total", "Received, without loopback.",
            static_cast<double>(load.net.receive_bytes_total));
  CounterOf(out, "homeostat_node_network_transmit_bytes_total", "Sent, without loopback.",
            static_cast<double>(load.net.transmit_bytes_total));
  CounterOf(out, "homeostat_node_network_receive_packets_total", "Packets received, without loopback.",
            static_cast<double>(load.net.receive_packets_total));
  CounterOf(out, "homeostat_node_network_transmit_packets_total", "Packets sent, without loopback.",
            static_cast<double>(load.net.transmit_packets_total));
  PressureMetrics(load, out);
}

// The names every Prometheus client library gives a process.
void AgentMetrics(const LocalLoad& load, Exposition& out) {
  GaugeOf(out, "homeostat_agent_loop_lag_max_seconds",
          "How late a timer of the agent ran at worst in the last second.", load.agent.lag_max_s);
  CounterOf(out, "process_cpu_seconds_total", "Core-seconds used by the agent.",
            load.agent.cpu_seconds_total);
  GaugeOf(out, "process_resident_memory_bytes", "Resident memory of the agent.",
          static_cast<double>(load.agent.resident_bytes));
}

void LocalReplicaMetrics(const LocalLoad& load, Exposition& out) {
  const auto each = [&](auto value) {
    for (const ReplicaMeasure& replica : load.replicas) {
      if (const std::optional<double> number = value(replica))
        out.Sample({{"service", replica.service}, {"replica", ReplicaName(replica.service, replica.id)}},
                   *number);
    }
  };
  using Value = std::optional<double>;
  out.Counter("homeostat_replica_cpu_seconds_total",
              "Core-seconds of a replica of this node, all its processes.");
  each([](const ReplicaMeasure& replica) -> Value { return replica.cpu_seconds_total; });
  out.Gauge("homeostat_replica_memory_bytes", "Memory of a replica of this node, all its processes.");
  each([](const ReplicaMeasure& replica) -> Value { return static_cast<double>(replica.memory_bytes); });
  out.Gauge("homeostat_replica_processes", "Processes of a replica of this node.");
  each([](const ReplicaMeasure& replica) -> Value { return replica.processes; });
  out.Counter("homeostat_replica_restarts_total",
              "Restarts of a replica of this node since it was placed here.");
  each([](const ReplicaMeasure& replica) -> Value { return replica.restarts; });
  out.Gauge("homeostat_replica_health_check_seconds", "How long a replica's last good health check took.");
  each([](const ReplicaMeasure& replica) -> Value { return replica.health_s; });
}

// As far as this node adds them up: monitors and the controller.
void ServiceMetrics(const NodeView& view, Exposition& out) {
  if (view.service_loads.empty()) return;
  const auto each = [&](auto value) {
    for (const auto& [name, load] : view.service_loads) {
      if (const std::optional<double> number = value(load)) out.Sample({{"service", name}}, *number);
    }
  };
  using Value = std::optional<double>;
  const auto gauge = [&](std::string_view name, std::string_view help, float ServiceLoad::*field) {
    out.Gauge(name, help);
    each([field](const ServiceLoad& load) -> Value { return load.*field; });
  };
  gauge("homeostat_service_arrivals_per_second", "Requests offered at doors.", &ServiceLoad::arrivals_s);
  gauge("homeostat_service_completions_per_second", "Requests answered by a replica.",
        &ServiceLoad::completions_s);
  gauge("homeostat_service_refused_per_second", "Requests refused for want of room.",
        &ServiceLoad::refused_s);
  gauge("homeostat_service_errors_per_second", "Server errors and broken connections.",
        &ServiceLoad::errors_s);
  gauge("homeostat_service_in_flight_requests", "Requests not answered yet, waiting ones included.",
        &ServiceLoad::in_flight);
  gauge("homeostat_service_queued_requests", "Requests that wait.", &ServiceLoad::queued);
  gauge("homeostat_service_cpu_used_cores", "Cores used by the service's replicas.", &ServiceLoad::cpu);
  out.Gauge("homeostat_service_memory_bytes", "Memory of the service's replicas.");
  each([](const ServiceLoad& load) -> Value { return static_cast<double>(load.memory_bytes); });
  out.Gauge("homeostat_service_scale_metric", "The app's own number that the level follows, all replicas.");
  each([](const ServiceLoad& load) -> Value {
    return load.metric_replicas > 0 ? Value(load.metric) : std::nullopt;
  });
  out.Gauge("homeostat_service_scale_metric_replicas", "Replicas that gave that number.");
  each([](const ServiceLoad& load) -> Value {
    return load.metric_replicas > 0 ? Value(load.metric_replicas) : std::nullopt;
  });
  out.Summary("homeostat_service_response_seconds", "Response time in the last second, by quantile.");
  for (const auto& [name, load] : view.service_loads) {
    for (const auto& [label, quantile] : {std::pair{"0.5", 0.5}, std::pair{"0.99", 0.99}}) {
      if (const auto ms = LatencyQuantileMs(load.latency, quantile))
        out.Sample({{"service", name}, {"quantile", label}}, *ms / 1e3);
    }
  }
}

// Bounds that Prometheus' own libraries use, and two for services that are faster.
constexpr std::pair<double, const char*> kBounds[] = {
    {0.001, "0.001"}, {0.0025, "0.0025"}, {0.005, "0.005"}, {0.01, "0.01"}, {0.025, "0.025"},
    {0.05, "0.05"},   {0.1, "0.1"},       {0.25, "0.25"},   {0.5, "0.5"},   {1, "1"},
    {2.5, "2.5"},     {5, "5"},           {10, "10"}};

void DurationOf(const std::string& service, const DoorTotals& totals, Exposition& out) {
  const auto total = std::accumulate(totals.latency.begin(), totals.latency.end(), 0.0);
  for (const auto& [bound, label] : kBounds)
    out.Part("_bucket", {{"service", service}, {"le", label}}, LatencyAtMost(totals.latency, bound));
  out.Part("_bucket", {{"service", service}, {"le", "+Inf"}}, total);
  out.Part("_sum", {{"service", service}}, totals.latency_seconds);
  out.Part("_count", {{"service", service}}, total);
}

// Of this node's door alone: whoever scrapes all nodes adds them up.
void DoorMetrics(const DoorTotalsByService& doors, Exposition& out) {
  static constexpr const char* kEnds[kRequestEnds] = {"answered", "failed", "broken", "refused", "left"};
  out.Counter("homeostat_door_requests_total",
              "Requests offered at this node's door since the agent's start, refused ones included.");
  for (const auto& [name, totals] : doors)
    out.Sample({{"service", name}}, static_cast<double>(totals.arrived));
  out.Counter(
      "homeostat_door_requests_ended_total",
      "How they ended: answered or failed (5xx) by a replica, broken, refused for want of room, or left "
      "by the client.");
  for (const auto& [name, totals] : doors) {
    for (std::size_t end = 0; end < kRequestEnds; ++end)
      out.Sample({{"service", name}, {"outcome", kEnds[end]}}, totals.ended[end]);
  }
  out.Histogram("homeostat_door_request_duration_seconds",
                "From the whole request to the end of a replica's answer, at this node's door.");
  for (const auto& [name, totals] : doors) DurationOf(name, totals, out);
}

}  // namespace

void LoadMetrics(const NodeView& view, Exposition& out) {
  if (view.local_load != nullptr) {
    BoxMetrics(*view.local_load, out);
    AgentMetrics(*view.local_load, out);
    LocalReplicaMetrics(*view.local_load, out);
  }
  if (view.door_totals != nullptr && !view.door_totals->empty()) DoorMetrics(*view.door_totals, out);
  ServiceMetrics(view, out);
}

}  // namespace hs
