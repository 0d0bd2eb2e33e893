// The agent's pulse: once a second it measures the box, its replicas and itself, and keeps an hour of it.
#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "api/api.h"
#include "api/loads.h"
#include "core/observation/load_book.h"
#include "runtime/agent/agent_impl.h"
#include "runtime/agent/clock.h"
#include "runtime/agent/disk_check.h"
#include "runtime/agent/log.h"

namespace hs {
namespace {

// Each node has its own moment within the second, so that many agents on a box do not measure each other
// measuring. It lies in the first half: one that runs late still falls into its own second of the history.
Time NextMoment(Time now, NodeId node) {
  const Duration phase(node.Prefix64() % static_cast<std::uint64_t>(Duration(kLoadInterval / 2).count()));
  return std::chrono::floor<std::chrono::seconds>(now - phase) + kLoadInterval + phase;
}

void KeepNode(History& history, Time now, const LocalLoad& load) {
  const auto add = [&](std::string_view name, double value) { history.Add(now, name, value); };
  const auto add_stall = [&](std::string_view name, const std::optional<Stall>& stall) {
    if (stall) add(name, stall->some);
  };
  add("node.cpu_cores", load.cpu.used_cores);
  add("node.cpu_iowait_cores", load.cpu.iowait_cores);
  add("node.cpu_stolen_cores", load.cpu.stolen_cores);
  add("node.memory_available_bytes", static_cast<double>(load.memory.available_bytes));
  add("node.disk_free_bytes", static_cast<double>(load.disk.free_bytes));
  if (const auto& device = load.disk.device) {
    add("node.disk_read_bytes_s", device->read_bytes_per_s);
    add("node.disk_write_bytes_s", device->write_bytes_per_s);
    add("node.disk_busy", device->busy);
  }
  add("node.net_receive_bytes_s", load.net.receive_bytes_per_s);
  add("node.net_transmit_bytes_s", load.net.transmit_bytes_per_s);
  add("node.net_receive_packets_s", load.net.receive_packets_per_s);
  add("node.net_transmit_packets_s", load.net.transmit_packets_per_s);
  add_stall("node.pressure_cpu", load.cpu.stall);
  add_stall("node.pressure_memory", load.memory.stall);
  add_stall("node.pressure_io", load.disk.stall);
  add("agent.lag_ms", load.agent.lag_max_s * 1e3);
  add("agent.cpu_cores", load.agent.used_cores);
  add("agent.memory_bytes", static_cast<double>(load.agent.resident_bytes));
}

void KeepReplicas(History& history, Time now, const LocalLoad& load) {
  for (const ReplicaMeasure& replica : load.replicas) {
    const std::string name = "replica." + ReplicaName(replica.service, replica.id);
    history.Add(now, name + ".cpu_cores", replica.used_cores);
    history.Add(now, name + ".memory_bytes", static_cast<double>(replica.memory_bytes));
    if (replica.health_s) history.Add(now, name + ".health_ms", *replica.health_s * 1e3);
  }
}

// A service that never had traffic gets no series of it: zeros by the thousand would push out what is
// measured.
void KeepServices(History& history, Time now, const std::vector<ServiceLoad>& services) {
  for (const ServiceLoad& load : services) {
    const std::string prefix = "service." + load.service;
    const auto add = [&](const char* what, double value) {
      const std::string name = prefix + what;
      if (value > 0 || history.Has(name)) history.Add(now, name, value);
    };
    add(".arrivals_s", load.arrivals_s);
    add(".completions_s", load.completions_s);
    add(".refused_s", load.refused_s);
    add(".errors_s", load.errors_s);
    add(".in_flight", load.in_flight);
    add(".queued", load.queued);
    add(".cpu_cores", load.cpu);
    add(".memory_bytes", static_cast<double>(load.memory_bytes));
    if (load.metric_replicas > 0) add(".metric", load.metric);
    // Without a response there is no time: a gap, not a zero.
    if (const auto p50 = LatencyQuantileMs(load.latency, 0.5)) add(".p50_ms", *p50);
    if (const auto p99 = LatencyQuantileMs(load.latency, 0.99)) add(".p99_ms", *p99);
  }
}

}  // namespace

void Agent::ArmSense() {
  const Time due = NextMoment(ReadClocks().mono, identity_.node);
  sense_timer_.expires_at(ToSteady(due));
  sense_timer_.async_wait([this, due](const boost::system::error_code& failure) {
    if (failure) return;
    MeasureLoad(due);
    KeepSocket();
    ArmSense();
  });
}

void Agent::KeepSocket() {
  const auto made = http_->KeepUnix();
  if (made && *made) Log("{} was removed, and is made again", directory_.PathOf("api.sock"));
  if (!made && !socket_lost_) Log("its API socket was removed: {}", made.error().message);
  socket_lost_ = !made;
}

void Agent::MeasureLoad(Time due) {
  const Time now = ReadClocks().mono;
  lag_.Ran(due, due, now);
  CheckDisk(false);
  LocalLoad load = sense_->Measure(now, processes_->Running());
  load.agent.lag_max_s = ToSeconds(lag_.Take());
  if (load.interval_s > 0) {
    KeepNode(history_, now, load);
    KeepReplicas(history_, now, load);
  }
  const bool has_rates = load.interval_s > 0;
  load_ = std::make_shared<const LocalLoad>(std::move(load));
  // A door that does not tell makes the whole node silent: its traffic must not look as if it had ended.
  telemetry_->Measure([this, has_rates, metrics = metrics_.Next(node_->MetricTargets())](
                          const std::optional<std::vector<ServiceLoad>>& doors) {
    if (doors && telemetry_->traffic().inbound_moved()) door_->LookAtLimits();
    // At rest nothing is copied.
    const DoorTotalsByService& totals = telemetry_->traffic().totals();
    if (doors && (!doors->empty() || door_totals_ == nullptr || door_totals_->size() != totals.size()))
      door_totals_ = std::make_shared<const DoorTotalsByService>(totals);
    if (has_rates && doors) TakeLoad(*doors, metrics);
  });
}

// Something is written only when there is reason to doubt.
void Agent::CheckDisk(bool test) {
  const bool doubted = node_->Members().at(identity_.node).meta->roles.disk != DiskFault::kNone;
  if (!test && !doubted) return Feed(LookAtDisk(directory_.path()));
  if (std::exchange(tests_disk_, true)) return;
  boost::asio::post(disk_, [this] {
    const DiskChecked check = TestDisk(directory_.path());
    boost::asio::post(loop_, [this, check] {
      tests_disk_ = false;
      Feed(check);
    });
  });
}

// Before the failure itself is told: whoever hears of that should know that it is the disk's.
void Agent::DoubtDisk(const std::string& reason) {
  const DiskFault fault = FaultIn(reason);
  if (fault != DiskFault::kNone) Feed(DiskChecked{.fault = fault, .reason = reason});
}

void Agent::TakeLoad(const std::vector<ServiceLoad>& doors, const MetricReader::Round& metrics) {
  LoadReport own{{ToNodeLoad(identity_.node, *load_)}, ToServiceLoads(*load_)};
  AddTo(own, LoadReport{{}, doors});
  AddTo(own, LoadReport{{}, metrics.loads});
  Feed(LoadMeasured{own, metrics.problems});
  // Of all nodes on the controller; elsewhere of those that report to this one, or of itself.
  const LoadReport known = node_->Loads(ReadClocks());
  KeepServices(history_, ReadClocks().mono, known.nodes.empty() ? own.services : known.services);
}

ApiResponse Agent::ReadHistory(const ReadHistoryCommand& command) {
  return HistoryShown(command, history_, ReadClocks());
}

}  // namespace hs
