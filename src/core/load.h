// What the cluster measures about itself: plain values with their units, no behaviour.
//
// Intuition: a pulse, taken once a second. Each node counts what it saw in that second; whoever gathers the
// counts of several nodes adds them up, so a monitor's summary has the same shape as one node's report, only
// with more rows. Shares of nodes that went silent are missing from the sums, and `coverage` says so.
//
// Observation only: never stored as truth, and nothing is stopped because it is missing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace hs {

// Response times of one or more doors: counts by bucket of a logarithmic histogram (Masson et al. 2019,
// DDSketch). Bucket i holds the values in (1.1^(i-1), 1.1^i] microseconds. Sorted by bucket, counts above 0.
using LatencyCounts = std::vector<std::pair<std::uint16_t, std::uint32_t>>;

struct NodeLoad {
  NodeId node;
  float cpu = 0;                        // cores in use: 1.5 is one and a half
  float cores = 0;                      // there are
  std::uint64_t memory_used_bytes = 0;  // total less available
  std::uint64_t memory_total_bytes = 0;
  std::uint64_t disk_free_bytes = 0;  // of the file system of the data directory
  std::uint64_t disk_total_bytes = 0;
  float disk_bytes_s = 0;   // read and written
  float net_bytes_s = 0;    // received and sent, without loopback
  float pressure_cpu = -1;  // share of the time in which some task waited; below 0: not known
  float pressure_memory = -1;
  float pressure_io = -1;
  float lag_ms = 0;             // how late the agent's own loop ran at worst
  std::uint64_t documents = 0;  // digest of the intent it holds; 0: not said
  friend bool operator==(const NodeLoad&, const NodeLoad&) = default;
};

// One service, as seen by the node or nodes that report it. Rates are per second over the last second.
struct ServiceLoad {
  std::string service;
  float arrivals_s = 0;     // requests offered at doors, refused ones included
  float completions_s = 0;  // answered by a replica
  float refused_s = 0;      // 503 because there was no room
  float errors_s = 0;       // 5xx from replicas, and broken connections
  float in_flight = 0;      // mean number of requests that came and are not answered, waiting ones included
  float queued = 0;         // of these, waiting for a replica at the end of the second
  float cpu = 0;            // cores used by its replicas
  std::uint64_t memory_bytes = 0;
  std::uint32_t replicas = 0;  // measured
  float start_ms = 0;          // start to healthy, of the replica that took longest of late; 0: not known
  float metric = 0;            // sum of the app's own metric over the replicas that gave it
  std::uint32_t metric_replicas = 0;  // how many gave it
  LatencyCounts latency;              // of completions, from the door's point of view
  friend bool operator==(const ServiceLoad&, const ServiceLoad&) = default;
};

}  // namespace hs
