// The judges of a simulated cluster: what must never happen, and what must be true in the end.
//
// They know only the truth of the world (which processes run, which disks hold what, who is powered) and what
// nodes say (their views, inputs and outputs), and share no code with the mechanisms they judge.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/world.h"

namespace hs::sim {

// Watches for what must never happen. Violations are sentences with the virtual time; empty is good.
class SafetyChecker : public Watcher {
 public:
  explicit SafetyChecker(const World& world) : world_(world) {}

  void OnInput(Time now, const Host& host, const Input& input) override;
  void OnOutput(Time now, const Host& host, const Output& output) override;
  void OnStarted(Time now, const Host& host) override;

  const std::vector<std::string>& violations() const { return violations_; }

 private:
  void CheckStop(Time now, const Host& host, ReplicaId id);
  void CheckFollowing(Time now, const Host& host);
  void RememberWishes(Time now, const Host& host);
  void RememberLevels(Time now, const Host& host);
  std::uint32_t LeastWished(Time now, const std::string& service) const;
  void Report(Time now, const Host& host, const std::string& what);

  struct Followed {
    PlanStamp plan;
    NodeId controller;
  };
  // Truth as probes found it; kept beyond the loss of a box.
  struct Sighting {
    std::string service;
    Time healthy_at;
  };
  const World& world_;
  std::map<std::pair<ReplicaId, HostIndex>, Sighting> sightings_;  // one id may be on two boxes
  std::vector<Followed> followed_;                                 // by host
  std::set<std::pair<HostIndex, ReplicaId>> stopping_;
  std::map<std::string, std::vector<std::pair<Time, std::uint32_t>>> wishes_;  // by service, in the past
  std::vector<Time> remembered_;                                               // its levels when, by host
  std::vector<std::string> violations_;
};

// Remembers what was acknowledged to people, and which disks held it then.
class Ledger {
 public:
  explicit Ledger(World& world) : world_(world) {}

  // A write through `host`, remembered when it is acknowledged.
  void Write(HostIndex host, std::vector<std::pair<std::string, DocumentBody>> documents);
  std::size_t acknowledged() const { return acknowledged_; }
  std::size_t refused() const { return refused_; }

  // Every acknowledged document must be on this node, or a later word on the same key.
  std::vector<std::string> Missing(HostIndex host) const;

 private:
  World& world_;
  std::map<std::string, Stamp> promised_;  // key -> stamp of the last acknowledged write
  std::size_t acknowledged_ = 0;
  std::size_t refused_ = 0;
};

// What keeps the cluster from being converged, in words; empty when it is. `full`: also intent and services,
// beyond membership.
std::vector<std::string> NotConverged(const World& world, bool full = true);
// The same question without the reasons.
bool Converged(const World& world, bool full = true);

}  // namespace hs::sim
