#include <cmath>

#include "wire/convert.h"

namespace hs::wire {
namespace {

// A measured value: finite and not negative.
void Take(float in, float& out, std::string_view field, Check& check) {
  check.Need(std::isfinite(in) && in >= 0, field, "not a number from 0 up");
  out = in;
}

}  // namespace

// Not in the unnamed namespace: UnpackList finds these by their argument Check.
static void Pack(const NodeLoad& in, pb::NodeLoad& out) {
  out.set_node(BytesOf(in.node));
  out.set_cpu(in.cpu);
  out.set_cores(in.cores);
  out.set_memory_used_bytes(in.memory_used_bytes);
  out.set_memory_total_bytes(in.memory_total_bytes);
  out.set_disk_free_bytes(in.disk_free_bytes);
  out.set_disk_total_bytes(in.disk_total_bytes);
  out.set_disk_bytes_s(in.disk_bytes_s);
  out.set_net_bytes_s(in.net_bytes_s);
  if (in.pressure_cpu >= 0) out.set_pressure_cpu(in.pressure_cpu);
  if (in.pressure_memory >= 0) out.set_pressure_memory(in.pressure_memory);
  if (in.pressure_io >= 0) out.set_pressure_io(in.pressure_io);
  out.set_lag_ms(in.lag_ms);
  out.set_documents(in.documents);
}

static void Unpack(const pb::NodeLoad& in, NodeLoad& out, Check& check) {
  check.TakeId(in.node(), out.node, "node");
  Take(in.cpu(), out.cpu, "cpu", check);
  Take(in.cores(), out.cores, "cores", check);
  out.memory_used_bytes = in.memory_used_bytes();
  out.memory_total_bytes = in.memory_total_bytes();
  out.disk_free_bytes = in.disk_free_bytes();
  out.disk_total_bytes = in.disk_total_bytes();
  Take(in.disk_bytes_s(), out.disk_bytes_s, "disk_bytes_s", check);
  Take(in.net_bytes_s(), out.net_bytes_s, "net_bytes_s", check);
  if (in.has_pressure_cpu()) Take(in.pressure_cpu(), out.pressure_cpu, "pressure_cpu", check);
  if (in.has_pressure_memory()) Take(in.pressure_memory(), out.pressure_memory, "pressure_memory", check);
  if (in.has_pressure_io()) Take(in.pressure_io(), out.pressure_io, "pressure_io", check);
  Take(in.lag_ms(), out.lag_ms, "lag_ms", check);
  out.documents = in.documents();
}

static void Pack(const ServiceLoad& in, pb::ServiceLoad& out) {
  out.set_service(in.service);
  out.set_arrivals_s(in.arrivals_s);
  out.set_completions_s(in.completions_s);
  out.set_refused_s(in.refused_s);
  out.set_errors_s(in.errors_s);
  out.set_in_flight(in.in_flight);
  out.set_queued(in.queued);
  out.set_cpu(in.cpu);
  out.set_memory_bytes(in.memory_bytes);
  out.set_replicas(in.replicas);
  out.set_start_ms(in.start_ms);
  out.set_metric(in.metric);
  out.set_metric_replicas(in.metric_replicas);
  for (const auto& [bucket, count] : in.latency) {
    out.add_latency_buckets(bucket);
    out.add_latency_counts(count);
  }
}

static void Unpack(const pb::ServiceLoad& in, ServiceLoad& out, Check& check) {
  check.TakeServiceName(in.service(), out.service, "service");
  Take(in.arrivals_s(), out.arrivals_s, "arrivals_s", check);
  Take(in.completions_s(), out.completions_s, "completions_s", check);
  Take(in.refused_s(), out.refused_s, "refused_s", check);
  Take(in.errors_s(), out.errors_s, "errors_s", check);
  Take(in.in_flight(), out.in_flight, "in_flight", check);
  Take(in.queued(), out.queued, "queued", check);
  Take(in.cpu(), out.cpu, "cpu", check);
  out.memory_bytes = in.memory_bytes();
  check.TakeNumber(in.replicas(), kReplicasWantedMax, out.replicas, "replicas");
  Take(in.start_ms(), out.start_ms, "start_ms", check);
  check.Need(std::isfinite(in.metric()), "metric", "not a number");
  out.metric = in.metric();
  check.TakeNumber(in.metric_replicas(), kReplicasWantedMax, out.metric_replicas, "metric_replicas");
  if (!check.TakeCount(in.latency_buckets_size(), kListMax, "latency_buckets")) return;
  if (!check.Need(in.latency_buckets_size() == in.latency_counts_size(), "latency_counts",
                  "not as many as buckets")) {
    return;
  }
  for (int i = 0; i < in.latency_buckets_size(); ++i) {
    auto& [bucket, count] = out.latency.emplace_back();
    check.TakeNumber(in.latency_buckets(i), 65535, bucket, "latency_buckets");
    count = in.latency_counts(i);
    check.Need(count > 0, "latency_counts", "is zero");
  }
  NeedAscending(out.latency, "latency_buckets", check, [](const auto& entry) { return entry.first; });
}

void Pack(const LoadReport& in, pb::LoadReport& out) {
  for (const NodeLoad& node : in.nodes) Pack(node, *out.add_nodes());
  for (const ServiceLoad& service : in.services) Pack(service, *out.add_services());
}

void Unpack(const pb::LoadReport& in, LoadReport& out, Check& check) {
  UnpackList(in.nodes(), out.nodes, kMembersMax, "nodes", check);
  NeedAscending(out.nodes, "nodes", check, [](const NodeLoad& node) { return node.node; });
  UnpackList(in.services(), out.services, kServiceLoadsMax, "services", check);
  NeedAscending(out.services, "services", check,
                [](const ServiceLoad& service) { return std::string_view(service.service); });
}

}  // namespace hs::wire
