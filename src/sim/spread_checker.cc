#include "sim/spread_checker.h"

#include <algorithm>
#include <map>

namespace hs::sim {
namespace {

using CountByBox = std::map<HostIndex, std::size_t>;

std::string ZoneOf(const Host& host) {
  const auto zone = host.meta.labels.find("zone");
  return zone == host.meta.labels.end() ? std::string() : zone->second;
}

// Those that may take work. Who is in quarantine only the controller knows, and whose disk is bad it was
// told.
CountByBox OpenBoxes(const World& world, const NodeView& view) {
  CountByBox open;
  for (HostIndex i = 0; i < world.size(); ++i) {
    const Host& host = world.host(i);
    const bool drained = std::ranges::any_of(view.documents, [&](const Document& document) {
      const auto* drain = std::get_if<DrainOrder>(&document.body);
      return drain != nullptr && drain->node == host.disk.node;
    });
    if (host.Running() && !drained) open[i] = 0;
  }
  for (HostIndex i = 0; i < world.size(); ++i) {
    if (!world.host(i).Running() || world.host(i).disk.node != view.controller) continue;
    for (const auto& [id, member] : world.host(i).node->Members()) {
      if (member.quarantined_until > world.now() || member.meta->roles.disk != DiskFault::kNone)
        open.erase(world.IndexOf(id));
    }
  }
  return open;
}

// The service is left as it is for ten minutes then (core/placement/move_book.h), longer than any run waits.
bool MoveFailed(const std::string& service, const NodeView& view) {
  return std::ranges::any_of(view.events, [&](const auto& body) {
    const auto& event = std::get<Event>(*body);
    return event.kind == "plan.move-failed" && event.subject.starts_with(service + "-");
  });
}

bool IsFree(const DesiredService& service, const NodeView& view) {
  const bool is_short = std::ranges::any_of(view.steady.shortages, [&](const Shortage& shortage) {
    return shortage.service == service.spec.name && shortage.missing > 0;
  });
  return service.spec.movable && service.spec.constraints.empty() && !is_short &&
         service.spec.reserve == Resources{} && !MoveFailed(service.spec.name, view);
}

std::size_t CountOf(const Host& host, const std::string& service) {
  return static_cast<std::size_t>(std::ranges::count_if(host.processes, [&](const auto& entry) {
    return entry.second.alive && entry.second.spec.name == service;
  }));
}

// What a box that may not take work has still counts where it is.
bool IsOnClosedBox(const World& world, const CountByBox& open, const std::string& service) {
  for (HostIndex i = 0; i < world.size(); ++i) {
    if (!open.contains(i) && CountOf(world.host(i), service) > 0) return true;
  }
  return false;
}

void CompareCounts(const std::map<std::string, std::size_t>& counts, const std::string& what,
                   std::vector<std::string>& wrong) {
  if (counts.empty()) return;
  const auto [least, most] =
      std::ranges::minmax_element(counts, {}, [](const auto& entry) { return entry.second; });
  if (most->second - least->second <= 1) return;
  wrong.push_back(what + " uneven: " + std::to_string(most->second) + " on " + most->first + ", " +
                  std::to_string(least->second) + " on " + least->first);
}

}  // namespace

std::vector<std::string> Uneven(const World& world, const NodeView& view) {
  std::vector<std::string> wrong;
  const CountByBox open = OpenBoxes(world, view);
  std::map<std::string, std::size_t> in_all;
  bool all_free = true;
  for (const auto& [box, none] : open) {
    in_all[world.host(box).meta.name] = 0;
    all_free = all_free && ZoneOf(world.host(box)).empty();
  }
  for (const DesiredService& service : view.services) {
    const bool is_free = IsFree(service, view) && !IsOnClosedBox(world, open, service.spec.name);
    all_free = all_free && is_free;
    std::map<std::string, std::size_t> by_zone;
    std::map<std::string, std::map<std::string, std::size_t>> by_box;
    for (const auto& [box, none] : open) {
      const Host& host = world.host(box);
      const std::size_t count = CountOf(host, service.spec.name);
      by_zone["zone " + ZoneOf(host)] += count;
      by_box[ZoneOf(host)][host.meta.name] = count;
      in_all[host.meta.name] += count;
    }
    if (!is_free) continue;
    CompareCounts(by_zone, service.spec.name, wrong);
    for (const auto& [zone, counts] : by_box) CompareCounts(counts, service.spec.name, wrong);
  }
  if (all_free) CompareCounts(in_all, "all services together are", wrong);
  return wrong;
}

}  // namespace hs::sim
