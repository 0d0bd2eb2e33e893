#include "core/observation/load_book.h"

#include <algorithm>
#include <set>
#include <utility>

namespace hs {
namespace {

void AddCounts(LatencyCounts& sum, const LatencyCounts& part) {
  LatencyCounts merged;
  merged.reserve(sum.size() + part.size());
  auto a = sum.begin();
  auto b = part.begin();
  while (a != sum.end() || b != part.end()) {
    if (b == part.end() || (a != sum.end() && a->first < b->first)) {
      merged.push_back(*a++);
    } else if (a == sum.end() || b->first < a->first) {
      merged.push_back(*b++);
    } else {
      merged.emplace_back(a->first, a->second + b->second);
      ++a, ++b;
    }
  }
  sum = std::move(merged);
}

void AddService(ServiceLoad& sum, const ServiceLoad& part) {
  sum.arrivals_s += part.arrivals_s;
  sum.completions_s += part.completions_s;
  sum.refused_s += part.refused_s;
  sum.errors_s += part.errors_s;
  sum.in_flight += part.in_flight;
  sum.queued += part.queued;
  sum.cpu += part.cpu;
  sum.memory_bytes += part.memory_bytes;
  sum.replicas += part.replicas;
  sum.start_ms = std::max(sum.start_ms, part.start_ms);
  sum.metric += part.metric;
  sum.metric_replicas += part.metric_replicas;
  AddCounts(sum.latency, part.latency);
}

}  // namespace

bool IsIdle(const LoadReport& report) {
  return std::ranges::all_of(report.services, [](const ServiceLoad& service) {
    return service.arrivals_s <= 0 && service.completions_s <= 0 && service.in_flight <= 0 &&
           service.queued <= 0 && service.metric_replicas == 0;
  });
}

void AddTo(LoadReport& sum, const LoadReport& part) {
  sum.nodes.insert(sum.nodes.end(), part.nodes.begin(), part.nodes.end());
  std::ranges::sort(sum.nodes, {}, &NodeLoad::node);
  for (const ServiceLoad& service : part.services) {
    const auto at = std::ranges::lower_bound(sum.services, service.service, {}, &ServiceLoad::service);
    if (at != sum.services.end() && at->service == service.service) {
      AddService(*at, service);
    } else {
      sum.services.insert(at, service);
    }
  }
}

namespace {

bool IsOwnWord(NodeId from, const LoadReport& report) {
  return report.nodes.size() == 1 && report.nodes.front().node == from;
}

}  // namespace

bool LoadBook::Counts(Time now, const Entry& entry) const {
  return now - entry.at <= (IsIdle(entry.report) ? kLoadFreshIdle : kLoadFresh);
}

void LoadBook::Take(Time now, NodeId from, LoadReport report) {
  std::erase_if(reports_, [&](const auto& entry) { return !Counts(now, entry.second); });
  const bool own = IsOwnWord(from, report);
  reports_[{from, own}] = {now, std::move(report)};
}

std::vector<const LoadBook::Entry*> LoadBook::Counted(Time now, const std::vector<NodeId>* senders) const {
  std::vector<const Entry*> counted;
  for (const auto& [key, entry] : reports_) {
    const auto& [from, own] = key;
    if (senders != nullptr && (!own || !std::ranges::binary_search(*senders, from))) continue;
    if (Counts(now, entry)) counted.push_back(&entry);
  }
  return counted;
}

// How long ago each spoke, youngest first. Who is late is not waited for.
std::vector<Duration> LoadBook::BusySince(Time now, const std::vector<NodeId>* senders) const {
  std::vector<Duration> ages;
  for (const Entry* entry : Counted(now, senders)) {
    if (now - entry->at < kLoadInterval * 5 / 4 && !IsIdle(entry->report)) ages.push_back(now - entry->at);
  }
  std::ranges::sort(ages);
  return ages;
}

bool LoadBook::EndsRound(Time now, const std::vector<NodeId>* senders) const {
  const std::vector<Duration> ages = BusySince(now, senders);
  if (ages.empty() || ages.front() > Duration::zero()) return false;
  const Duration next = kLoadInterval - ages.back();
  for (std::size_t i = 1; i < ages.size(); ++i) {
    if (ages[i] - ages[i - 1] > next) return false;
  }
  return true;
}

LoadReport LoadBook::Sum(Time now, const std::vector<NodeId>* senders) const {
  std::vector<const Entry*> newest_first = Counted(now, senders);
  std::ranges::stable_sort(newest_first, [](const Entry* a, const Entry* b) { return a->at > b->at; });
  LoadReport sum;
  std::set<NodeId> counted;
  for (const Entry* entry : newest_first) {
    const auto& nodes = entry->report.nodes;
    if (std::ranges::any_of(nodes, [&](const NodeLoad& node) { return counted.contains(node.node); }))
      continue;
    for (const NodeLoad& node : nodes) counted.insert(node.node);
    AddTo(sum, entry->report);
  }
  return sum;
}

}  // namespace hs
