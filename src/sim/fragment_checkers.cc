#include "sim/fragment_checkers.h"

#include <algorithm>
#include <set>
#include <utility>

namespace hs::sim {
namespace {

constexpr Duration kCountEvery = 50ms;
constexpr Duration kLookEvery = 500ms;
// Random tunables double waits, and each of the faults on the way lasts up to 30 s.
constexpr Duration kDoubledMax = 120s;

std::string At(Time now) { return std::to_string(ToSeconds(now.time_since_epoch()) - 3600) + " s: "; }

}  // namespace

// Known by the documents alone; what a node wants now it is asked before anything is counted.
void AllotmentChecker::LearnTotals(const Host& host) {
  if (learned_.size() <= host.index) learned_.resize(host.index + 1);
  if (std::exchange(learned_[host.index], host.node->IntentDigest()) == host.node->IntentDigest()) return;
  for (const DesiredService& service : host.node->Services()) {
    if (!service.spec.scale) continue;
    std::uint64_t& total = totals_["service." + service.spec.name];
    total = std::max<std::uint64_t>(total, service.spec.scale->max);
  }
}

void AllotmentChecker::Count(Time now) {
  std::map<std::string, std::uint64_t> sums;
  std::string who;
  for (HostIndex i = 0; i < world_.size(); ++i) {
    const Host& host = world_.host(i);
    if (!host.Running()) continue;
    for (const Allotment& part : host.node->Held()) {
      sums[part.subject] += part.amount;
      who += " " + host.meta.name + " " + part.subject + "=" + std::to_string(part.amount);
    }
  }
  for (const auto& [subject, sum] : sums) {
    const auto total = totals_.find(subject);
    if (total == totals_.end() || sum <= total->second || violations_.size() >= 5) continue;
    violations_.push_back(At(now) + "the parts of " + subject + " add up to " + std::to_string(sum) + " of " +
                          std::to_string(total->second) + ":" + who);
  }
}

void AllotmentChecker::OnInput(Time now, const Host& host, const Input& input) {
  if (std::holds_alternative<Persisted>(input) || std::holds_alternative<PersistFailed>(input) ||
      std::holds_alternative<LinkReceived>(input))
    LearnTotals(host);
  if (now < counted_at_ + kCountEvery) return;
  counted_at_ = now;
  Count(now);
}

void SingletonChecker::OnInput(Time now, const Host& host, const Input&) {
  if (now < looked_at_ + kLookEvery) return;
  looked_at_ = now;
  std::set<std::string> doubled;
  for (const DesiredService& service : host.node->Services()) {
    if (service.spec.singleton != Singleton::kPause) continue;
    std::size_t boxes = 0;
    for (HostIndex i = 0; i < world_.size(); ++i) {
      boxes += std::ranges::any_of(world_.host(i).processes, [&](const auto& entry) {
        return entry.second.spec.name == service.spec.name && entry.second.Answers(now);
      });
    }
    if (boxes > 1) doubled.insert(service.spec.name);
  }
  for (const std::string& service : doubled) {
    const Time since = doubled_since_.try_emplace(service, now).first->second;
    if (now - since <= kDoubledMax || violations_.size() >= 5) continue;
    violations_.push_back(At(now) + service + " has answered from two boxes for " +
                          std::to_string(ToMs(kDoubledMax) / 1000) + " s, though it pauses");
    doubled_since_[service] = now;
  }
  std::erase_if(doubled_since_, [&](const auto& entry) { return !doubled.contains(entry.first); });
}

}  // namespace hs::sim
