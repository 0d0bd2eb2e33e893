#include "base/tunables.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/hash.h"

namespace hs {
namespace {

constexpr auto kCluster = TunableScope::kCluster;
constexpr auto kNode = TunableScope::kNode;

constexpr TunableRow Ms(std::string_view name, TunableScope scope, std::int64_t min, std::int64_t max,
                        Duration Tunables::*field, std::string_view meaning) {
  return {name, "ms", scope, min, max, field, nullptr, meaning};
}
constexpr TunableRow Count(std::string_view name, TunableScope scope, std::int64_t min, std::int64_t max,
                           std::int64_t Tunables::*field, std::string_view meaning) {
  return {name, "", scope, min, max, nullptr, field, meaning};
}

constexpr std::int64_t kHourMs = 3'600'000;

constexpr TunableRow kTable[] = {
    Ms("probe_interval", kCluster, 50, 10'000, &Tunables::probe_interval,
       "time between a node's probes of one member; larger: less traffic, slower detection of silence"),
    Ms("probe_timeout", kCluster, 20, 5'000, &Tunables::probe_timeout,
       "wait for a direct answer before asking others to probe; larger: fewer indirect probes on slow links"),
    Ms("suspicion_min", kCluster, 50, 60'000, &Tunables::suspicion_min,
       "shortest time between suspicion and 'unreachable', times log10 of the size; larger: fewer false "
       "alarms"),
    Count("suspicion_max_factor", kCluster, 1, 20, &Tunables::suspicion_max_factor,
          "a suspicion held by one witness alone lasts this many times the shortest, where others are heard"),
    Count("indirect_probes", kCluster, 0, 10, &Tunables::indirect_probes,
          "members asked to probe for us, one more from 640 and from 6400 members on; larger: survives more "
          "lost packets and one-way cuts"),
    Count("ring_neighbours", kCluster, 1, 8, &Tunables::ring_neighbours,
          "members each node keeps a connection to; larger: faster spread and more witnesses, more memory"),
    Count("health_multiplier_max", kCluster, 1, 20, &Tunables::health_multiplier_max,
          "how far a node that misses answers stretches its own timeouts before it blames others"),
    Count("gossip_retransmit", kCluster, 1, 10, &Tunables::gossip_retransmit,
          "times log10 of the size that one piece of news is repeated; larger: surer spread, more bytes"),
    Count(
        "eager_fanout", kCluster, 0, 64, &Tunables::eager_fanout,
        "members told at once of urgent news by each node that first hears it; larger: faster, more packets"),
    Ms("push_pull_interval", kCluster, 1'000, kHourMs, &Tunables::push_pull_interval,
       "time between full exchanges of the member table with one member"),
    Ms("late_wake", kNode, 50, 10'000, &Tunables::late_wake,
       "a loop that wakes this late distrusts itself and withdraws its accusations"),
    Ms("dead_after", kCluster, 60'000, 720 * kHourMs, &Tunables::dead_after,
       "silence after which a member counts as dead without proof"),
    Ms("quarantine_base", kCluster, 1'000, kHourMs, &Tunables::quarantine_base,
       "first time for which a member that flaps gets no new work; doubles each time"),
    Ms("quarantine_max", kCluster, 1'000, 24 * kHourMs, &Tunables::quarantine_max, "longest quarantine"),
    Ms("start_patience", kCluster, 0, 60'000, &Tunables::start_patience,
       "after its own start a node gives members it has not seen this long before replacing their work"),
    Ms("write_wait", kCluster, 20, 5'000, &Tunables::write_wait,
       "time within which every node that answers counts for acknowledging a write"),
    Ms("write_give_up", kCluster, 200, 60'000, &Tunables::write_give_up,
       "time after which a write without enough durable copies is answered with an error"),
    Count("write_copies", kCluster, 1, 64, &Tunables::write_copies,
          "durable copies an acknowledged write needs, or all alive nodes where there are fewer"),
    Ms("clock_hold_back", kCluster, 1'000, kHourMs, &Tunables::clock_hold_back,
       "a document stamped further ahead of the members' median clock than this is held back"),
    Ms("sync_interval", kCluster, 500, kHourMs, &Tunables::sync_interval,
       "time between anti-entropy rounds with one member when nothing hints at a difference"),
    Ms("tombstone_keep", kCluster, kHourMs, 8760 * kHourMs, &Tunables::tombstone_keep,
       "how long a deletion is remembered"),
    Count("revisions_kept", kCluster, 1, 100, &Tunables::revisions_kept,
          "stack revisions kept for going back"),
    Ms("plan_interval", kCluster, 100, 60'000, &Tunables::plan_interval,
       "longest time between two looks of a controller at its region when nothing happens"),
    Ms("agent_patience", kCluster, 0, kHourMs, &Tunables::agent_patience,
       "how long work that still answers is left alone after its node's agent went down"),
    Ms("rollout_deadline", kCluster, 1'000, kHourMs, &Tunables::rollout_deadline,
       "time a new version's replica has to get healthy before its rollout stops"),
    Ms("move_pause", kCluster, 0, kHourMs, &Tunables::move_pause,
       "shortest time between two moves of one service for balance; larger: a new box is used later, "
       "gentler"),
    Ms("move_settle", kCluster, 0, kHourMs, &Tunables::move_settle,
       "time a box must have been here without a break before work is moved to it for balance"),
    Count("moves_at_once", kCluster, 0, 1000, &Tunables::moves_at_once,
          "moves for balance under way in a region, of all services together; 0: nothing is moved"),
    Count("region_max", kCluster, 2, 10'000, &Tunables::region_max,
          "present members above which a region is split; two that hold no more than 5/8 of it together are "
          "merged"),
    Ms("starting_probe_interval", kNode, 10, 10'000, &Tunables::starting_probe_interval,
       "time between health probes of a replica that has not been healthy yet"),
    Ms("backoff_first", kNode, 10, 60'000, &Tunables::backoff_first,
       "wait before the first restart; doubles each time"),
    Ms("backoff_max", kNode, 100, kHourMs, &Tunables::backoff_max, "longest wait before a restart"),
    Ms("backoff_reset", kNode, 1'000, kHourMs, &Tunables::backoff_reset,
       "time a replica must stay up for its restarts to be forgotten"),
    Ms("drain_wait", kCluster, 0, kHourMs, &Tunables::drain_wait,
       "longest time between taking a replica out of the doors and asking it to stop; it is asked once a "
       "second passed without a request or connection on it"),
    Ms("bundle_keep", kNode, 1'000, 720 * kHourMs, &Tunables::bundle_keep,
       "how long a bundle that no revision and no replica refers to stays on disk; larger: quicker ways "
       "back"),
    Count("events_kept", kNode, 100, 1'000'000, &Tunables::events_kept, "events each node remembers"),
};

}  // namespace

std::int64_t TunableRow::Get(const Tunables& tunables) const {
  return duration != nullptr ? ToMs(tunables.*duration) : tunables.*count;
}

void TunableRow::Set(Tunables& tunables, std::int64_t value) const {
  if (duration != nullptr) {
    tunables.*duration = std::chrono::milliseconds(value);
  } else {
    tunables.*count = value;
  }
}

std::span<const TunableRow> TunableTable() { return kTable; }

Result<void> SetTunable(Tunables& tunables, std::string_view name, std::string_view value) {
  const auto row =
      std::find_if(std::begin(kTable), std::end(kTable), [&](const auto& r) { return r.name == name; });
  if (row == std::end(kTable)) return BadInput("there is no tunable '" + std::string(name) + "'");
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (failure != std::errc() || end != value.data() + value.size() || number < row->min ||
      number > row->max) {
    return BadInput(std::string(name) + " must be a whole number from " + std::to_string(row->min) + " to " +
                    std::to_string(row->max) + (row->unit.empty() ? "" : " " + std::string(row->unit)) +
                    ", not '" + std::string(value) + "'");
  }
  row->Set(tunables, number);
  return {};
}

std::vector<std::string> CheckTunables(const Tunables& tunables) {
  std::vector<std::string> broken;
  const auto require = [&](bool holds, const char* relation) {
    if (!holds) broken.emplace_back(relation);
  };
  require(tunables.probe_timeout < tunables.probe_interval, "probe_timeout must be below probe_interval");
  require(tunables.backoff_first <= tunables.backoff_max, "backoff_first must not exceed backoff_max");
  require(tunables.quarantine_base <= tunables.quarantine_max,
          "quarantine_base must not exceed quarantine_max");
  require(tunables.write_wait <= tunables.write_give_up, "write_wait must not exceed write_give_up");
  return broken;
}

std::uint64_t ClusterFingerprint(const Tunables& tunables) {
  std::uint64_t fingerprint = 0;
  for (const auto& row : kTable) {
    if (row.scope != kCluster) continue;
    fingerprint = CombineHash(fingerprint, Hash64(row.name));
    fingerprint = CombineHash(fingerprint, static_cast<std::uint64_t>(row.Get(tunables)));
  }
  return fingerprint;
}

Tunables RandomTunables(Prng& prng) {
  Tunables tunables;
  do {
    for (const auto& row : kTable) {
      if (row.count == &Tunables::region_max) continue;  // a matter of the cluster's size
      const std::int64_t usual = row.Get(Tunables{});
      const std::int64_t low = std::max(row.min, usual / 2);
      const std::int64_t high = std::min(row.max, usual * 2);
      row.Set(tunables,
              low + static_cast<std::int64_t>(prng.Below(static_cast<std::uint64_t>(high - low) + 1)));
    }
  } while (!CheckTunables(tunables).empty());
  return tunables;
}

}  // namespace hs
