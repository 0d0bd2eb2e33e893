// Judges of what parts of a cut cluster may do: parts of hard maximums, and singletons.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/world.h"

namespace hs::sim {

// What all agents that run hold of one maximum never adds up to more than the greatest total that anybody was
// ever asked for: whoever is cut off holds his part, and nobody else does.
class AllotmentChecker : public Watcher {
 public:
  explicit AllotmentChecker(const World& world) : world_(world) {}
  void OnInput(Time now, const Host& host, const Input& input) override;
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  void LearnTotals(const Host& host);
  void Count(Time now);

  const World& world_;
  std::map<std::string, std::uint64_t> totals_;  // by subject, the greatest ever
  std::vector<std::uint64_t> learned_;           // by host: digest of the documents they were learned from
  Time counted_at_{};
  std::vector<std::string> violations_;
};

// A service with `x-singleton: pause` answers from two boxes for no longer than noticing a cut, draining and
// stopping take, with a fault or two on the way.
class SingletonChecker : public Watcher {
 public:
  explicit SingletonChecker(const World& world) : world_(world) {}
  void OnInput(Time now, const Host& host, const Input& input) override;
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  const World& world_;
  std::map<std::string, Time> doubled_since_;
  Time looked_at_{};
  std::vector<std::string> violations_;
};

}  // namespace hs::sim
