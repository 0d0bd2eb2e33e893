// Every number that could be argued about, in one table: the parser, the CLI help, the generated docs and the
// simulator's randomiser all read it. Add a row in tunables.cc and a field here; nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"

namespace hs {

// Cluster tunables must agree between members (they are fingerprinted in the join handshake); node tunables
// need not.
enum class TunableScope { kCluster, kNode };

struct Tunables {
  // membership
  Duration probe_interval = 400ms;
  Duration probe_timeout = 200ms;
  Duration suspicion_min = 300ms;
  std::int64_t suspicion_max_factor = 4;
  std::int64_t indirect_probes = 3;
  std::int64_t ring_neighbours = 3;
  std::int64_t health_multiplier_max = 8;
  std::int64_t gossip_retransmit = 4;
  std::int64_t eager_fanout = 4;
  Duration push_pull_interval = 30s;
  Duration late_wake = 300ms;
  Duration dead_after = 1h;
  Duration quarantine_base = 10s;
  Duration quarantine_max = 300s;
  Duration start_patience = 3s;
  // intent
  Duration write_wait = 200ms;
  Duration write_give_up = 5s;
  std::int64_t write_copies = 3;
  Duration clock_hold_back = 5min;
  Duration sync_interval = 10s;
  Duration tombstone_keep = 720h;
  std::int64_t revisions_kept = 3;
  // leadership and plans
  Duration plan_interval = 1s;
  Duration agent_patience = 10s;
  Duration rollout_deadline = 60s;
  Duration move_pause = 500ms;
  Duration move_settle = 2s;
  std::int64_t moves_at_once = 4;
  std::int64_t region_max = 64;
  // supervision
  Duration starting_probe_interval = 100ms;
  Duration backoff_first = 200ms;
  Duration backoff_max = 60s;
  Duration backoff_reset = 60s;
  Duration drain_wait = 5s;
  Duration bundle_keep = 1h;
  // events
  std::int64_t events_kept = 2000;

  friend bool operator==(const Tunables&, const Tunables&) = default;
};

struct TunableRow {
  std::string_view name;  // as written on the command line: probe_interval
  std::string_view unit;  // "ms" for durations, "" for counts
  TunableScope scope;
  std::int64_t min;
  std::int64_t max;
  // Exactly one is set.
  Duration Tunables::*duration = nullptr;
  std::int64_t Tunables::*count = nullptr;
  std::string_view meaning;  // what it is; what larger and smaller do

  std::int64_t Get(const Tunables& tunables) const;
  void Set(Tunables& tunables, std::int64_t value) const;
};

std::span<const TunableRow> TunableTable();

// Sets one tunable from text ("probe_interval", "250"). Errors name the bounds.
Result<void> SetTunable(Tunables& tunables, std::string_view name, std::string_view value);

// Every relation between tunables that does not hold; empty when all do.
std::vector<std::string> CheckTunables(const Tunables& tunables);

// Equal on two nodes exactly when all their cluster tunables agree.
std::uint64_t ClusterFingerprint(const Tunables& tunables);

// A random table within bounds of a factor 2 around the defaults, for the simulator.
Tunables RandomTunables(Prng& prng);

}  // namespace hs
