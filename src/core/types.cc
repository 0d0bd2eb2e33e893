#include "core/types.h"

#include "base/hash.h"

namespace hs {
namespace {

// Length-prefixed, so that ("ab","c") and ("a","bc") differ.
class Fingerprint {
 public:
  Fingerprint& Add(std::string_view text) {
    value_ = CombineHash(value_, text.size());
    value_ = CombineHash(value_, Hash64(text));
    return *this;
  }
  Fingerprint& Add(std::uint64_t number) {
    value_ = CombineHash(value_, number);
    return *this;
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 1;
};

}  // namespace

SpecHash HashOf(const ServiceSpec& spec) {
  Fingerprint print;
  print.Add(spec.name).Add(spec.command.size());
  for (const auto& word : spec.command) print.Add(word);
  print.Add(spec.environment.size());
  for (const auto& [name, value] : spec.environment) print.Add(name).Add(value);
  print.Add(spec.working_dir).Add(spec.user).Add(spec.bundle.Hex());
  const HealthCheck& health = spec.health;
  print.Add(static_cast<std::uint64_t>(health.kind)).Add(health.path).Add(health.command.size());
  for (const auto& word : health.command) print.Add(word);
  print.Add(health.interval.count())
      .Add(health.timeout.count())
      .Add(health.start_period.count())
      .Add(health.retries);
  print.Add(spec.stop_signal).Add(spec.stop_grace.count());
  print.Add(spec.reserve.cpu_millicores).Add(spec.reserve.memory_bytes);
  print.Add(spec.constraints.size());
  for (const auto& constraint : spec.constraints) {
    print.Add(constraint.label).Add(constraint.value).Add(constraint.equal ? 1 : 0);
  }
  return SpecHash{print.value() | 1};
}

std::string ReplicaName(const std::string& service, ReplicaId id) {
  std::uint8_t bytes[4];
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<std::uint8_t>(id.value >> (56 - 8 * i));
  return service + "-" + HexOf(bytes, 4);
}

const char* ToString(MemberState state) {
  switch (state) {
    case MemberState::kAlive:
      return "alive";
    case MemberState::kSuspect:
      return "suspect";
    case MemberState::kAgentDown:
      return "agent-down";
    case MemberState::kUnreachable:
      return "unreachable";
    case MemberState::kDead:
      return "dead";
    case MemberState::kLeft:
      return "left";
  }
  return "?";
}

const char* ToString(Singleton singleton) {
  switch (singleton) {
    case Singleton::kNone:
      return "none";
    case Singleton::kRunBoth:
      return "run-both";
    case Singleton::kPause:
      return "pause";
  }
  return "?";
}

const char* ToString(ShortOf of) {
  switch (of) {
    case ShortOf::kRoom:
      return "room";
    case ShortOf::kFitting:
      return "fitting-boxes";
    case ShortOf::kMaximum:
      return "maximum";
    case ShortOf::kQuota:
      return "quota";
    case ShortOf::kVersion:
      return "version";
    case ShortOf::kMajority:
      return "majority";
  }
  return "?";
}

const char* ToString(DiskFault fault) {
  switch (fault) {
    case DiskFault::kNone:
      return "well";
    case DiskFault::kFull:
      return "full";
    case DiskFault::kReadOnly:
      return "read-only";
    case DiskFault::kFailing:
      return "failing";
  }
  return "?";
}

const char* ToString(Role role) {
  switch (role) {
    case Role::kWorker:
      return "worker";
    case Role::kDoor:
      return "door";
    case Role::kMonitor:
      return "monitor";
    case Role::kStandby:
      return "standby";
    case Role::kController:
      return "controller";
  }
  return "?";
}

const char* ToString(ScaleTarget target) {
  switch (target) {
    case ScaleTarget::kAutomatic:
      return "automatic";
    case ScaleTarget::kInFlight:
      return "in-flight";
    case ScaleTarget::kCpu:
      return "cpu";
    case ScaleTarget::kMetric:
      return "metric";
  }
  return "?";
}

const char* ToString(ReplicaState state) {
  switch (state) {
    case ReplicaState::kPreparing:
      return "preparing";
    case ReplicaState::kStarting:
      return "starting";
    case ReplicaState::kRunning:
      return "running";
    case ReplicaState::kBackoff:
      return "backoff";
    case ReplicaState::kDraining:
      return "draining";
    case ReplicaState::kStopping:
      return "stopping";
  }
  return "?";
}

const char* ToString(Health health) {
  switch (health) {
    case Health::kUnknown:
      return "unknown";
    case Health::kHealthy:
      return "healthy";
    case Health::kUnhealthy:
      return "unhealthy";
  }
  return "?";
}

const char* ToString(ServerState state) {
  switch (state) {
    case ServerState::kReady:
      return "ready";
    case ServerState::kDrain:
      return "drain";
    case ServerState::kDown:
      return "down";
  }
  return "?";
}

}  // namespace hs
