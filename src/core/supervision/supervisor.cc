#include "core/supervision/supervisor.h"

#include <algorithm>
#include <utility>

namespace hs {
namespace {

// A probe is answered within its check's timeout; an answer this much later than that was lost with its
// asker, and the probe is asked again without counting as a failure.
constexpr Duration kProbeLostAfter = 10s;
// SIGKILL is repeated until the end is told: a tree that forks faster than it is walked needs more than one
// pass.
constexpr Duration kKillAgainAfter = 1s;
constexpr Duration kFirstProbePause = 10ms;
// Those that an agent finds running are asked one after the other: all at once would make each answer late.
constexpr Duration kAdoptedPause = 2ms;
// Without a check, what has run for so long counts as healthy: a version that ends at once must not pass for
// one.
constexpr Duration kProofOfLife = 1s;

// A replica that starts is asked the more often the younger it is: the wait for the next question is never
// more than a fifth of what the start took. Running a command each time would slow the start down.
Duration StartingPause(const HealthCheck& check, Duration age, Duration longest) {
  if (check.kind == HealthKind::kCommand) return longest;
  return std::clamp<Duration>(age / 5, std::min(kFirstProbePause, longest), longest);
}

std::string Seconds(Duration d) {
  if (d < 1s) return std::to_string(ToMs(d)) + " ms";
  const std::int64_t tenths = (ToMs(d) + 50) / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

std::string ExitWords(int exit_code, int term_signal) {
  return term_signal != 0 ? "killed by signal " + std::to_string(term_signal)
                          : "exited with code " + std::to_string(exit_code);
}

bool IsEnding(ReplicaState state) {
  return state == ReplicaState::kDraining || state == ReplicaState::kStopping;
}

std::uint32_t Retries(const HealthCheck& check) { return std::max<std::uint32_t>(check.retries, 1); }

}  // namespace

Supervisor::Supervisor(const Tunables& tunables, NodeId self, std::vector<AdoptedReplica> adopted, Prng prng,
                       Now now)
    : tunables_(tunables), self_(self), prng_(prng) {
  for (const AdoptedReplica& replica : adopted) Adopt(now, replica);
}

void Supervisor::Adopt(Now now, const AdoptedReplica& adopted) {
  Own own;
  own.spec = adopted.spec;
  own.status.id = adopted.id;
  own.status.service = adopted.spec.name;
  own.status.spec = HashOf(adopted.spec);
  own.status.address = adopted.address;
  own.status.restarts = adopted.restarts;
  own.status.since_ms = now.wall_ms;
  if (adopted.alive) {
    own.status.pid = adopted.pid;
    own.status.state = ReplicaState::kRunning;
    own.status.health = adopted.spec.health.kind == HealthKind::kNone ? Health::kHealthy : Health::kUnknown;
    own.process = Process::kAlive;
    // The calendar may have jumped since the start, so it is believed only as far as it can do no harm.
    const std::int64_t up_ms =
        std::clamp<std::int64_t>(now.wall_ms - adopted.started_ms, 0, ToMs(tunables_.backoff_reset));
    own.up_since = now.mono - std::chrono::milliseconds(up_ms);
    own.next_probe = now.mono + std::min<Duration>(kAdoptedPause * static_cast<std::int64_t>(owns_.size()),
                                                   adopted.spec.health.interval);
    own.unproven = true;
    own.cause = "found running by the restarted agent";
  } else {
    BackOff(now, own, "ended while no agent was there, " + ExitWords(adopted.exit_code, adopted.term_signal));
  }
  owns_.emplace(adopted.id, std::move(own));
}

std::vector<SupervisorOutput> Supervisor::Step(Now now, const SupervisorInput& input) {
  if (NextDeadline() != kNever && now.mono > NextDeadline() + tunables_.late_wake) AfterSleep(now);
  std::visit([&](const auto& what) { Apply(now, what); }, input);
  for (auto& [id, own] : owns_) Advance(now, own);
  Tell();
  return std::exchange(outputs_, {});
}

Time Supervisor::NextDeadline() const {
  Time next = kNever;
  for (const auto& [id, own] : owns_) {
    next = std::min({next, own.start_at, own.signal_at, own.kill_at});
    if (!IsWatched(own)) continue;
    next = std::min(next, own.probe != 0 ? own.probe_lost_at : own.next_probe);
  }
  return next;
}

std::vector<ReplicaStatus> Supervisor::statuses() const {
  std::vector<ReplicaStatus> result;
  result.reserve(owns_.size());
  for (const auto& [id, own] : owns_) result.push_back(own.status);
  return result;
}

const ServiceSpec* Supervisor::SpecOf(ReplicaId id) const {
  const auto it = owns_.find(id);
  return it == owns_.end() ? nullptr : &it->second.spec;
}

Supervisor::Own* Supervisor::Find(ReplicaId id) {
  const auto it = owns_.find(id);
  return it == owns_.end() ? nullptr : &it->second;
}

// ---------------------------------------------------------------------------------------------------- inputs

void Supervisor::Apply(Now now, const SliceReceived& input) {
  if (input.slice.node != self_) return;
  std::map<ReplicaId, const Assignment*> orders;
  for (const Assignment& assignment : input.slice.assignments) orders[assignment.replica] = &assignment;
  for (auto& [id, own] : owns_) {
    const auto order = orders.find(id);
    if (order != orders.end()) {
      own.stop_keeper = order->second->stop_keeper;
      own.stop_cause = order->second->cause;
    } else if (own.status.state != ReplicaState::kStopping) {
      own.stop_keeper = {};  // whoever governs now did not ask for it
    }
  }
  for (const auto& [id, order] : orders) {
    if (!id || order->stop_keeper || owns_.contains(id)) continue;
    const auto spec = input.specs.find(id);
    if (spec == input.specs.end() || HashOf(spec->second) != order->spec) continue;
    Own own;
    own.spec = spec->second;
    own.status.id = id;
    own.status.service = own.spec.name;
    own.status.spec = order->spec;
    own.status.since_ms = now.wall_ms;
    own.cause = order->cause;
    own.start_at = now.mono;
    owns_.emplace(id, std::move(own));
  }
}

void Supervisor::Apply(Now, const KeeperHealth& input) { healthy_ = input.healthy; }

void Supervisor::Apply(Now now, const ReplicaStarted& input) {
  Own* own = Find(input.id);
  if (own == nullptr || own->process != Process::kAsked) return;
  own->process = Process::kAlive;
  own->up_since = now.mono;
  own->status.pid = input.pid;
  own->status.address = input.address;
  own->failures = 0;
  own->probe = 0;
  own->next_probe = now.mono;
  own->next_counted = now.mono + std::max(own->spec.health.start_period, own->spec.health.interval);
  if (IsEnding(own->status.state)) {
    Terminate(now, *own, own->stop_cause);
    return;
  }
  if (own->spec.health.kind == HealthKind::kNone) own->next_probe = now.mono + kProofOfLife;
  Enter(now, *own, ReplicaState::kStarting, "started as pid " + std::to_string(input.pid));
}

void Supervisor::Apply(Now now, const ReplicaStartFailed& input) {
  Own* own = Find(input.id);
  if (own == nullptr || own->process != Process::kAsked) return;
  own->up_since = now.mono;
  Ended(now, *own, "could not be started: " + input.reason);
}

void Supervisor::Apply(Now now, const ReplicaExited& input) {
  Own* own = Find(input.id);
  if (own == nullptr || own->process != Process::kAlive) return;
  Ended(now, *own,
        ExitWords(input.exit_code, input.term_signal) + " after " + Seconds(now.mono - own->up_since));
}

void Supervisor::Apply(Now now, const ProbeResult& input) {
  Own* own = Find(input.id);
  if (own == nullptr || own->probe == 0 || own->probe != input.probe) return;
  own->probe = 0;
  if (own->process != Process::kAlive || own->terminating) return;
  if (input.address) own->status.address = input.address;
  if (input.healthy) {
    ProbeSucceeded(now, *own);
  } else {
    ProbeFailed(now, *own, input.detail);
  }
}

void Supervisor::Apply(Now now, const ReplicaIdle& input) {
  Own* own = Find(input.id);
  if (own == nullptr || own->signal_at == kNever || own->terminating) return;
  own->signal_at = now.mono;
  own->idle = true;
}

void Supervisor::Apply(Now now, const BundleReady& input) {
  bundles_.insert(input.digest);
  fetching_.erase(input.digest);
  for (auto& [id, own] : owns_) {
    const bool waits = own.status.state == ReplicaState::kPreparing && own.process == Process::kNone;
    if (waits && own.spec.bundle == input.digest) own.start_at = now.mono;
  }
}

void Supervisor::Apply(Now now, const BundleFailed& input) {
  bundles_.erase(input.digest);
  fetching_.erase(input.digest);
  for (auto& [id, own] : owns_) {
    const bool waits = own.status.state == ReplicaState::kPreparing && own.process == Process::kNone;
    if (!waits || own.spec.bundle != input.digest) continue;
    own.status.last_error = "bundle " + input.digest.Short() + ": " + input.reason;
    own.cause = own.status.last_error;
    own.start_at = now.mono + BackOffWait(own.attempts++);
  }
}

// ---------------------------------------------------------------------------------------------------- what
// is due

void Supervisor::Advance(Now now, Own& own) {
  WeighStop(now, own);
  if (own.gone) return;
  if (own.start_at <= now.mono && own.process == Process::kNone) Start(now, own);
  if (own.signal_at <= now.mono)
    Terminate(now, own,
              (own.idle ? "drained, nothing was left on it: "
                        : "drained for " + Seconds(tunables_.drain_wait) + ": ") +
                  own.stop_cause);
  if (own.kill_at <= now.mono && own.process == Process::kAlive) {
    own.kill_at = now.mono + kKillAgainAfter;
    outputs_.push_back(KillReplica{own.status.id});
  }
  Probe(now, own);
}

void Supervisor::WeighStop(Now now, Own& own) {
  const bool allowed =
      own.stop_keeper && (own.stop_keeper == own.status.id || healthy_.contains(own.stop_keeper));
  if (allowed && !IsEnding(own.status.state)) {
    BeginStop(now, own);
  } else if (!allowed && own.status.state == ReplicaState::kDraining) {
    own.signal_at = kNever;
    Enter(now, own, ReplicaState::kRunning,
          own.stop_keeper ? "its successor is no longer healthy here: the drain is taken back"
                          : "the order to stop was withdrawn: the drain is taken back");
  }
}

void Supervisor::BeginStop(Now now, Own& own) {
  if (own.process == Process::kNone) {
    own.cause = own.stop_cause;
    own.gone = true;
    outputs_.push_back(ForgetReplica{own.status.id});
  } else if (own.process == Process::kAsked || own.terminating) {
    Enter(now, own, ReplicaState::kStopping, own.stop_cause);  // signalled once it has a process, or already
  } else if (own.status.state == ReplicaState::kRunning) {
    own.signal_at = now.mono + tunables_.drain_wait;
    own.idle = false;
    Enter(now, own, ReplicaState::kDraining, own.stop_cause);
  } else {
    Terminate(now, own, own.stop_cause);  // it was never healthy: no request can be on it
    Enter(now, own, ReplicaState::kStopping, own.stop_cause);
  }
}

// Asks the process to stop: for good when a stop was ordered, otherwise to be started afresh.
void Supervisor::Terminate(Now now, Own& own, std::string cause) {
  own.signal_at = kNever;
  own.terminating = true;
  own.probe = 0;
  own.kill_at = now.mono + own.spec.stop_grace;
  outputs_.push_back(SignalReplica{own.status.id, own.spec.stop_signal});
  if (IsEnding(own.status.state)) {
    Enter(now, own, ReplicaState::kStopping, std::move(cause));
  } else {
    own.cause = std::move(cause);
  }
}

void Supervisor::Start(Now now, Own& own) {
  own.start_at = kNever;
  if (own.spec.bundle && !bundles_.contains(own.spec.bundle)) {
    Enter(now, own, ReplicaState::kPreparing, "waits for bundle " + own.spec.bundle.Short());
    if (fetching_.insert(own.spec.bundle).second) outputs_.push_back(NeedBundle{own.spec.bundle});
    return;
  }
  if (own.status.state == ReplicaState::kBackoff) ++own.status.restarts;
  own.process = Process::kAsked;
  Enter(now, own, ReplicaState::kPreparing, own.cause);
  outputs_.push_back(
      StartReplica{own.status.id, std::make_shared<const ServiceSpec>(own.spec), own.status.restarts});
}

// Its process is gone, or there never was one.
void Supervisor::Ended(Now now, Own& own, const std::string& what) {
  const bool stopped = IsEnding(own.status.state);
  const bool ours = own.terminating;
  own.process = Process::kNone;
  own.terminating = false;
  own.signal_at = own.kill_at = kNever;
  own.probe = 0;
  own.status.pid = 0;
  own.status.health = Health::kUnknown;
  if (stopped && own.stop_keeper) {
    own.cause = own.stop_cause + "; " + what;
    own.gone = true;
    outputs_.push_back(ForgetReplica{own.status.id});
  } else {
    // What it was killed for is why it is not healthy, not that it was killed.
    std::string reason = ours && !own.status.last_error.empty() ? own.status.last_error : what;
    BackOff(now, own, what);
    own.status.last_error = std::move(reason);
  }
}

void Supervisor::BackOff(Now now, Own& own, const std::string& what) {
  if (now.mono - own.up_since >= tunables_.backoff_reset) own.attempts = 0;
  const Duration wait = BackOffWait(own.attempts++);
  own.start_at = now.mono + wait;
  own.status.last_error = what;
  Enter(now, own, ReplicaState::kBackoff, what + "; started again in " + Seconds(wait));
}

// Doubles with each attempt up to backoff_max; the upper half is drawn, so that replicas that fell together
// do not rise together.
Duration Supervisor::BackOffWait(std::uint32_t attempts) {
  Duration wait = tunables_.backoff_first;
  for (std::uint32_t i = 0; i < attempts && wait < tunables_.backoff_max; ++i) wait *= 2;
  wait = std::min(wait, tunables_.backoff_max);
  return prng_.Between(wait / 2, wait);
}

// ---------------------------------------------------------------------------------------------------- health

bool Supervisor::IsWatched(const Own& own) {
  if (own.process != Process::kAlive || own.terminating) return false;
  return own.spec.health.kind != HealthKind::kNone || own.status.state == ReplicaState::kStarting;
}

void Supervisor::Probe(Now now, Own& own) {
  if (!IsWatched(own)) return;
  if (own.probe != 0 && own.probe_lost_at <= now.mono) {
    own.probe = 0;
    own.next_probe = now.mono;
  }
  if (own.probe != 0 || own.next_probe > now.mono) return;
  if (own.spec.health.kind == HealthKind::kNone) {
    own.status.health = Health::kHealthy;
    own.status.last_error.clear();
    return Enter(now, own, ReplicaState::kRunning,
                 "it has no health check, and has run for " + Seconds(now.mono - own.up_since));
  }
  own.probe = next_probe_number_++;
  own.probe_lost_at = now.mono + own.spec.health.timeout + kProbeLostAfter;
  outputs_.push_back(ProbeReplica{own.status.id, own.probe, own.spec.health, own.status.address});
}

void Supervisor::ProbeSucceeded(Now now, Own& own) {
  own.failures = 0;
  own.unproven = false;
  own.next_probe = now.mono + own.spec.health.interval;
  own.status.last_error.clear();
  if (own.status.health != Health::kHealthy) {
    own.status.health = Health::kHealthy;
    own.cause = "its health check answers";
  }
  if (own.status.state == ReplicaState::kStarting) {
    Enter(now, own, ReplicaState::kRunning,
          "healthy " + Seconds(now.mono - own.up_since) + " after its start");
  }
}

void Supervisor::ProbeFailed(Now now, Own& own, const std::string& detail) {
  const HealthCheck& check = own.spec.health;
  if (own.unproven && own.status.state == ReplicaState::kRunning) {
    // It may well have been healthy, and one answer may just be late. But nobody knows that it ever was: it
    // is asked again soon, and gets no requests until it answers once.
    if (++own.failures < Retries(check)) {
      own.next_probe =
          now.mono + StartingPause(check, now.mono - own.up_since, tunables_.starting_probe_interval);
      return;
    }
    own.unproven = false;
    own.failures = 0;
    Enter(now, own, ReplicaState::kStarting, "did not answer the restarted agent: " + detail);
    own.next_counted = std::max(now.mono, own.up_since + check.start_period) + check.interval;
  }
  const bool starting = own.status.state == ReplicaState::kStarting;
  own.next_probe =
      now.mono + (starting ? StartingPause(check, now.mono - own.up_since, tunables_.starting_probe_interval)
                           : check.interval);
  // Starting replicas are asked more often than the check says; only one failure per interval counts, as if
  // they were not.
  if (!starting) {
    ++own.failures;
  } else if (now.mono >= own.next_counted) {
    ++own.failures;
    own.next_counted = now.mono + check.interval;
  }
  if (own.status.health != Health::kHealthy) own.status.last_error = detail;
  if (own.failures < Retries(check)) return;
  if (own.status.health != Health::kUnhealthy) {
    own.status.health = Health::kUnhealthy;
    own.status.last_error = detail;
    own.cause = std::to_string(own.failures) + " health checks in a row failed, the last: " + detail;
  }
  // One that has never been healthy gets as long as a rollout would wait for it: killing a slow starter over
  // and over would never let it come up.
  const bool patience_over = !starting || now.mono - own.up_since >= tunables_.rollout_deadline;
  if (own.failures >= 2 * Retries(check) && patience_over && !IsEnding(own.status.state)) {
    Terminate(now, own,
              std::to_string(own.failures) + " health checks in a row failed, the last: " + detail +
                  "; it is restarted");
  }
}

// ----------------------------------------------------------------------------------------------------
// telling

void Supervisor::Enter(Now now, Own& own, ReplicaState state, std::string cause) {
  if (own.status.state != state) own.status.since_ms = now.wall_ms;
  own.status.state = state;
  own.cause = std::move(cause);
}

// What it knew of the keepers when it fell asleep may be long untrue: every drain waits its whole time again.
// What passed while this agent slept counts for nothing: neither a drain nor a proof of life.
void Supervisor::AfterSleep(Now now) {
  for (auto& [id, own] : owns_) {
    if (own.signal_at != kNever && !own.terminating) own.signal_at = now.mono + tunables_.drain_wait;
    if (own.spec.health.kind == HealthKind::kNone) own.next_probe = now.mono + kProofOfLife;
  }
}

void Supervisor::Tell() {
  for (auto it = owns_.begin(); it != owns_.end();) {
    Own& own = it->second;
    if (own.gone) {
      if (own.told) outputs_.push_back(ReplicaChanged{own.told, std::nullopt, own.cause});
      it = owns_.erase(it);
      continue;
    }
    if (own.told != own.status) {
      outputs_.push_back(ReplicaChanged{own.told, own.status, own.cause});
      own.told = own.status;
    }
    ++it;
  }
}

}  // namespace hs
