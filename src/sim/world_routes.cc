// Ways over relays in the simulated world: what the runtime does with tunnels.
#include <utility>

#include "sim/world.h"

namespace hs::sim {

std::vector<HostIndex> World::WayTo(const Host& host, HostIndex peer) const {
  const auto detour = host.detours.find(hosts_[peer]->disk.node);
  if (detour == host.detours.end()) return {};
  std::vector<HostIndex> way{host.index};
  way.insert(way.end(), detour->second.begin(), detour->second.end());
  way.push_back(peer);
  return way;
}

// A relay carries only while its agent runs and is not stopped.
bool World::WayOpen(HostIndex a, HostIndex b, const std::vector<HostIndex>& way) const {
  if (way.empty()) return network_.OpenBothWays(a, b);
  for (std::size_t i = 1; i < way.size(); ++i) {
    if (!network_.OpenBothWays(way[i - 1], way[i])) return false;
    if (i + 1 < way.size() && !hosts_[way[i]]->Thinking()) return false;
  }
  return true;
}

// Behind NAT nobody gets in but over a line, which the last on the way has to hold.
bool World::Admits(HostIndex from, HostIndex to, const std::vector<HostIndex>& way) const {
  if (!hosts_[to]->behind_nat) return true;
  if (!hosts_[from]->detours.contains(hosts_[to]->disk.node)) return false;
  return hosts_[to]->lines.contains(way.size() > 2 ? way[way.size() - 2] : from);
}

Time World::WayDelivery(HostIndex from, HostIndex to, const std::vector<HostIndex>& way) {
  if (way.empty()) return network_.LinkDelivery(now_, from, to);
  const bool forth = way.front() == from;
  Time at = now_;
  for (std::size_t i = 1; i < way.size(); ++i) {
    const HostIndex near = forth ? way[i - 1] : way[way.size() - i];
    const HostIndex far = forth ? way[i] : way[way.size() - i - 1];
    at = network_.LinkDelivery(at, near, far);
  }
  return at;
}

// A link whose direct path hangs is given up and dialed anew over the relays; one over relays moves to the
// direct path without loss.
void World::FollowDetours(Host& host, const UseDetours& use) {
  std::map<NodeId, std::vector<HostIndex>> before = std::exchange(host.detours, {});
  for (const Detour& detour : use.detours) {
    std::vector<HostIndex>& relays = host.detours[detour.peer];
    for (const auto& [relay, address] : detour.relays) relays.push_back(IndexOf(relay));
  }
  std::map<NodeId, bool> changed;
  for (const auto& [peer, relays] : host.detours) {
    const auto known = before.find(peer);
    if (known == before.end() || known->second != relays) changed[peer] = true;
  }
  for (const auto& [peer, relays] : before) {
    if (!host.detours.contains(peer)) changed[peer] = false;
  }
  for (const auto& [peer, round] : changed) {
    const auto found = by_id_.find(peer);
    if (found == by_id_.end()) continue;
    Link& link = LinkOf(host.index, found->second);
    if (!link.up && !link.dialing) continue;
    const std::vector<HostIndex> way = WayTo(host, found->second);
    if (link.way == way) continue;
    if (!round) {
      if (WayOpen(host.index, found->second, {})) link.way.clear();
    } else if (!WayOpen(host.index, found->second, link.way)) {
      EndLink(host.index, found->second, LinkEnd::kTimeout, true, true);
    }
  }
}

}  // namespace hs::sim
