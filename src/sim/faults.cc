#include "sim/faults.h"

#include <algorithm>

namespace hs::sim {
namespace {

// After a cut healed: members find each other, and documents differ for a second before notes are compared.
constexpr Duration kFetchTime = 20s;
// Disks that hold what was acknowledged while at least so many boxes were there; fewer where the tunables ask
// for fewer.
constexpr std::size_t kCopies = 3;

}  // namespace

const char* ToString(Fault fault) {
  switch (fault) {
    case Fault::kKillAgent:
      return "kill-agent";
    case Fault::kPauseAgent:
      return "pause-agent";
    case Fault::kPowerLoss:
      return "power-loss";
    case Fault::kKillBox:
      return "kill-box";
    case Fault::kNewDisk:
      return "new-disk";
    case Fault::kOneWayCut:
      return "one-way-cut";
    case Fault::kPartition:
      return "partition";
    case Fault::kClog:
      return "clog";
    case Fault::kClockSkew:
      return "clock-skew";
    case Fault::kSlowDisk:
      return "slow-disk";
    case Fault::kFullDisk:
      return "full-disk";
    case Fault::kStartFailure:
      return "start-failure";
    case Fault::kProcessExit:
      return "process-exit";
    case Fault::kLossyNetwork:
      return "lossy-network";
    case Fault::kCount:
      break;
  }
  return "?";
}

FaultInjector::FaultInjector(World& world, std::vector<Fault> enabled, Duration mean_gap, Prng prng)
    : world_(world), enabled_(std::move(enabled)), mean_gap_(mean_gap), prng_(prng) {}

std::vector<Fault> FaultInjector::RandomSubset(Prng& prng) {
  std::vector<Fault> subset;
  for (int fault = 0; fault < static_cast<int>(Fault::kCount); ++fault) {
    if (prng.Chance(0.5)) subset.push_back(static_cast<Fault>(fault));
  }
  return subset;
}

void FaultInjector::Schedule(Time end) {
  if (enabled_.empty()) return;
  const Time next = world_.now() + prng_.Between(mean_gap_ / 10, mean_gap_ * 2);
  if (next >= end) return;
  world_.At(next, [this, end] {
    Inject(end);
    Schedule(end);
  });
}

void FaultInjector::Log(Fault fault, HostIndex victim, Duration span) {
  log_.push_back(std::to_string(ToSeconds(world_.now().time_since_epoch()) - 3600) + " s " + ToString(fault) +
                 " " + world_.host(victim).meta.name + " for " + std::to_string(ToMs(span)) + " ms");
}

void FaultInjector::Inject(Time end) {
  const Fault fault = enabled_[prng_.Below(enabled_.size())];
  const HostIndex victim = prng_.Below(world_.size());
  const Duration left = end - world_.now();
  const Duration usual = prng_.Chance(0.5) ? prng_.Between(50ms, 3s) : prng_.Between(1s, 30s);
  const Duration span = std::min(left, fault == Fault::kLossyNetwork ? 2 * usual : usual);
  Log(fault, victim, span);
  switch (fault) {
    case Fault::kKillAgent:
    case Fault::kPauseAgent:
    case Fault::kPowerLoss:
    case Fault::kKillBox:
    case Fault::kNewDisk:
      return InjectLife(fault, victim, span);
    case Fault::kOneWayCut:
    case Fault::kPartition:
    case Fault::kClog:
    case Fault::kLossyNetwork:
      return InjectNetwork(fault, victim, span);
    default:
      return InjectLocal(fault, victim, span);
  }
}

void FaultInjector::InjectLife(Fault fault, HostIndex victim, Duration span) {
  const Time back = world_.now() + span;
  const auto copies = std::min(kCopies, static_cast<std::size_t>(world_.tunables().write_copies));
  switch (fault) {
    case Fault::kPauseAgent:
      world_.PauseAgent(victim);
      world_.At(back, [this, victim] { world_.ResumeAgent(victim); });
      break;
    case Fault::kPowerLoss:
      world_.PowerOff(victim);
      break;
    case Fault::kKillBox:
      world_.KillBox(victim);
      break;
    case Fault::kNewDisk:
      // What was acknowledged is on as many disks as `copies` says: losing fewer must lose nothing. In a
      // fragment that is smaller than that it is on all disks there are, until others could fetch it.
      if (world_.now() < fragments_until_ || disks_lost_ + 1 >= copies) return;
      ++disks_lost_;
      world_.PowerOff(victim);
      world_.WipeDisk(victim);
      break;
    default:
      world_.KillAgent(victim);
      break;
  }
  std::size_t thinking = 0;
  for (HostIndex i = 0; i < world_.size(); ++i) thinking += world_.host(i).Thinking();
  if (thinking < copies) fragments_until_ = std::max(fragments_until_, back + kFetchTime);
  if (fault == Fault::kPauseAgent) return;
  world_.At(back, [this, victim] {
    world_.PowerOn(victim);
    world_.StartAgent(victim);
  });
}

void FaultInjector::InjectNetwork(Fault fault, HostIndex victim, Duration span) {
  Network& network = world_.network();
  const Time back = world_.now() + span;
  if (fault == Fault::kLossyNetwork) {
    network.options().loss = 0.2 * prng_.Unit();
    network.options().duplicate = 0.1 * prng_.Unit();
    network.options().straggle = 0.1 * prng_.Unit();
    lossy_until_ = std::max(lossy_until_, back);
    world_.At(back, [this] {
      if (world_.now() >= lossy_until_) world_.network().Clear();
    });
    return;
  }
  const HostIndex other = (victim + 1 + prng_.Below(world_.size() - 1)) % world_.size();
  if (fault == Fault::kClog) {
    network.Clog(victim, other, back);
    return;
  }
  std::vector<std::pair<HostIndex, HostIndex>> cuts;
  if (fault == Fault::kOneWayCut) {
    cuts.emplace_back(victim, other);
  } else {
    std::vector<bool> side(world_.size());
    for (HostIndex i = 0; i < world_.size(); ++i) side[i] = prng_.Chance(0.5);
    for (HostIndex a = 0; a < world_.size(); ++a) {
      for (HostIndex b = 0; b < world_.size(); ++b) {
        if (side[a] != side[b]) cuts.emplace_back(a, b);
      }
    }
  }
  fragments_until_ = std::max(fragments_until_, back + kFetchTime);
  world_.CutWires(cuts);
  world_.At(back, [this, cuts] { world_.MendWires(cuts); });
}

void FaultInjector::InjectLocal(Fault fault, HostIndex victim, Duration span) {
  Host& host = world_.host(victim);
  const Time back = world_.now() + span;
  switch (fault) {
    case Fault::kClockSkew:
      host.wall_skew = prng_.Chance(0.5) ? prng_.Between(-24h, 4min) : prng_.Between(-2s, 2s);
      if (prng_.Chance(0.2)) host.wall_skew = 8760h;
      world_.At(back, [this, victim] { world_.host(victim).wall_skew = 0s; });
      return;
    case Fault::kSlowDisk:
      host.disk_delay = prng_.Between(10ms, 1s);
      world_.At(back, [this, victim] { world_.host(victim).disk_delay = 1ms; });
      return;
    case Fault::kFullDisk:
      world_.FillDisk(victim);
      world_.At(back, [this, victim] { world_.FreeDisk(victim); });
      return;
    case Fault::kStartFailure:
      host.start_failure = 0.5;
      world_.At(back, [this, victim] { world_.host(victim).start_failure = 0.0; });
      return;
    default:
      break;
  }
  std::vector<ReplicaId> running;
  for (const auto& [id, process] : host.processes) {
    if (process.alive) running.push_back(id);
  }
  if (!running.empty()) world_.EndProcess(victim, running[prng_.Below(running.size())], 1, 0);
}

}  // namespace hs::sim
