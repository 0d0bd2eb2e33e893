// What one node measures of itself each second, in full: for its own metrics, history and screen.
//
// Intuition: the doctor's chart that stays at the bed; core/load.h is the line of it that is told to others,
// and ToNodeLoad() and ToServiceLoads() make that line.
//
// Rates and shares are means over the interval just measured, about a second. What the box cannot say (no
// pressure stall information in this kernel, no answered health probe yet) is absent, never zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "core/load.h"

namespace hs {

// Pressure stall information of one resource (Linux, Documentation/accounting/psi.rst): the share of time in
// which tasks waited for it, 0 to 1.
struct Stall {
  double some = 0;        // at least one task waited, in the last interval
  double full = 0;        // all tasks that were not idle waited, in the last interval
  double some_avg10 = 0;  // the kernel's moving averages over 10 s
  double full_avg10 = 0;
  double some_seconds_total = 0;  // since the box's start
  double full_seconds_total = 0;
  friend bool operator==(const Stall&, const Stall&) = default;
};

struct CpuMeasure {
  double cores = 0;          // online
  double used_cores = 0;     // busy with any work: user, system, interrupts; 0 to `cores`
  double iowait_cores = 0;   // idle while a disk was waited for
  double stolen_cores = 0;   // given to others by a hypervisor
  double seconds_total = 0;  // core-seconds used since the box's start
  std::optional<Stall> stall;
  friend bool operator==(const CpuMeasure&, const CpuMeasure&) = default;
};

struct MemoryMeasure {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  // can be given to new work without swapping (MemAvailable)
  std::optional<Stall> stall;
  friend bool operator==(const MemoryMeasure&, const MemoryMeasure&) = default;
};

// What a block device has moved since the box's start, and in the last interval.
struct DeviceMeasure {
  double read_bytes_per_s = 0;
  double write_bytes_per_s = 0;
  double busy = 0;  // share of the interval with I/O under way, 0 to 1
  std::uint64_t read_bytes_total = 0;
  std::uint64_t written_bytes_total = 0;
  friend bool operator==(const DeviceMeasure&, const DeviceMeasure&) = default;
};

struct DiskMeasure {
  std::uint64_t total_bytes = 0;        // of the file system that holds the data directory
  std::uint64_t free_bytes = 0;         // there, for unprivileged users
  std::optional<DeviceMeasure> device;  // absent where it has none of its own (tmpfs, overlay)
  std::optional<Stall> stall;
  friend bool operator==(const DiskMeasure&, const DiskMeasure&) = default;
};

// All interfaces but loopback.
struct NetMeasure {
  double receive_bytes_per_s = 0;
  double transmit_bytes_per_s = 0;
  double receive_packets_per_s = 0;
  double transmit_packets_per_s = 0;
  std::uint64_t receive_bytes_total = 0;  // since the box's start
  std::uint64_t transmit_bytes_total = 0;
  std::uint64_t receive_packets_total = 0;
  std::uint64_t transmit_packets_total = 0;
  friend bool operator==(const NetMeasure&, const NetMeasure&) = default;
};

struct AgentMeasure {
  double lag_max_s = 0;  // how late a timer of its loop ran at worst in the last interval, seconds
  double used_cores = 0;
  double cpu_seconds_total = 0;  // core-seconds since its start
  std::uint64_t resident_bytes = 0;
  friend bool operator==(const AgentMeasure&, const AgentMeasure&) = default;
};

// One replica, with all processes that came from it.
struct ReplicaMeasure {
  ReplicaId id;
  std::string service;
  double used_cores = 0;           // 0 until a second reading
  double cpu_seconds_total = 0;    // core-seconds of this run, ended processes of it included
  std::uint64_t memory_bytes = 0;  // with a memory cgroup: what is charged less idle file cache; otherwise
                                   // resident sets summed up, where shared pages count once per process
  std::uint32_t processes = 0;     // alive, without the shim
  std::uint32_t restarts = 0;      // since it was placed on this node
  std::optional<double> health_s;  // how long its last answered health probe took
  friend bool operator==(const ReplicaMeasure&, const ReplicaMeasure&) = default;
};

// A number of the app's own to be read: of one replica of this node whose service is scaled by it.
struct MetricTarget {
  ReplicaId replica;
  std::string service;
  Endpoint address;
  std::string metric;  // its name in Prometheus' text format
  std::string path;
  friend bool operator==(const MetricTarget&, const MetricTarget&) = default;
};

// Why one was not got, in words.
struct MetricProblem {
  std::string service;
  ReplicaId replica;
  std::string reason;
  friend bool operator==(const MetricProblem&, const MetricProblem&) = default;
};

struct LocalLoad {
  double interval_s = 0;  // that rates and shares are means of; 0: there was no second reading yet
  CpuMeasure cpu;
  MemoryMeasure memory;
  DiskMeasure disk;
  NetMeasure net;
  AgentMeasure agent;
  std::vector<ReplicaMeasure> replicas;  // those with processes, sorted by id
  friend bool operator==(const LocalLoad&, const LocalLoad&) = default;
};

// What others are told of the box.
NodeLoad ToNodeLoad(NodeId node, const LocalLoad& load);
// What its replicas use, by service, sorted: CPU, memory and how many were measured. Doors know the rest.
std::vector<ServiceLoad> ToServiceLoads(const LocalLoad& load);

}  // namespace hs
