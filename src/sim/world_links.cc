// Wires and links of the simulated world: datagrams, TCP links with their failures, plain connections.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/world.h"

namespace hs::sim {
namespace {

constexpr Duration kDialTimeout = 2s;
constexpr Duration kStallTimeout = 15s;  // a link that moves nothing for this long breaks
constexpr Duration kIdleClose = 20s;     // one that nobody holds and nobody uses is closed, as in the runtime
constexpr Duration kMappingLife = 30s;   // of a NAT
constexpr std::uint16_t kNatPort = 40000;  // in place of the agent's own

}  // namespace

World::Link& World::LinkOf(HostIndex a, HostIndex b) {
  const auto [known, fresh] = links_of_[a].try_emplace(b);
  if (fresh) known->second = links_of_[b][a] = links_.emplace_back(std::make_unique<Link>()).get();
  return *known->second;
}

void World::CloseIdleLinks() {
  At(now_ + kIdleClose / 4, [this] { CloseIdleLinks(); });
  for (HostIndex a = 0; a < links_of_.size(); ++a) {
    for (const auto& [b, link] : links_of_[a]) {
      if (b < a || !link->up || link->break_pending || now_ - link->used_at < kIdleClose) continue;
      const bool held =
          hosts_[a]->held.contains(hosts_[b]->disk.node) || hosts_[b]->held.contains(hosts_[a]->disk.node);
      if (!held) EndLink(a, b, LinkEnd::kClosed, true, true);
    }
  }
}

void World::SendDatagramFrom(Host& host, SendDatagram& send) {
  const auto found = IndexAt(send.address.ip);
  if (!found || *found == host.index) return;
  const HostIndex to = *found;
  const Host& hidden = *hosts_[to];
  if (send.address.port != (hidden.behind_nat ? kNatPort : host.address.port)) return;
  if (hidden.behind_nat) {
    const auto mapping = hidden.sent_to.find(host.index);
    if (mapping == hidden.sent_to.end() || mapping->second + kMappingLife < now_) return;
  }
  if (host.behind_nat) host.sent_to[to] = now_;
  const Endpoint source{host.address.ip, host.behind_nat ? kNatPort : host.address.port};
  const auto message = std::make_shared<GossipMessage>(std::move(send.message));
  for (const Time at : network_.Deliveries(now_, host.index, to)) {
    At(at, [this, to, from = host.disk.node, address = source, message] {
      Host& target = *hosts_[to];
      if (!target.Running()) return;
      // A stopped agent's socket buffer is finite.
      if (target.paused && target.inbox.size() > 2000) return;
      const bool last = message.use_count() == 1;  // no duplicate is on its way
      Deliver(to, target.life, DatagramReceived{from, address, last ? std::move(*message) : *message});
    });
  }
}

// One local network for all, on which a cut holds as anywhere.
void World::AskLanFrom(Host& host) {
  for (HostIndex to = 0; to < hosts_.size(); ++to) {
    if (to == host.index) continue;
    for (const Time at : network_.Deliveries(now_, host.index, to)) {
      At(at, [this, to, from = host.disk.node, address = host.address] {
        Deliver(to, hosts_[to]->life, LanHeard{from, address});
      });
    }
  }
}

void World::SendOnLink(Host& host, NodeId to, const Endpoint& address, LinkMessage message) {
  const auto found = IndexAt(address.ip);
  if (!found || *found == host.index) return;
  const HostIndex peer = *found;
  if (hosts_[peer]->disk.node != to) {  // another box lives there now
    Deliver(host.index, host.life, LinkDown{to, LinkEnd::kDenied});
    return;
  }
  Link& link = LinkOf(host.index, peer);
  if (!link.up) {
    link.waiting[host.index < peer ? 0 : 1].push_back(std::move(message));
    Dial(host, peer);
    return;
  }
  Transmit(host.index, peer,
           [this, &link, generation = link.generation, peer, from = host.disk.node,
            message = std::make_unique<LinkMessage>(std::move(message))] {
             if (link.generation != generation) return;
             Deliver(peer, hosts_[peer]->life, LinkReceived{from, std::move(*message)});
           });
}

void World::Transmit(HostIndex from, HostIndex to, Action arrive) {
  Link& link = LinkOf(from, to);
  link.used_at = now_;
  const int direction = from < to ? 0 : 1;
  if (!WayOpen(from, to, link.way) || !link.stalled[direction].empty()) {
    link.stalled[direction].push_back(std::move(arrive));
    if (!link.break_pending) {
      link.break_pending = true;
      At(now_ + kStallTimeout, [this, from, to, generation = link.generation] {
        Link& late = LinkOf(from, to);
        if (late.generation != generation || !late.break_pending) return;
        EndLink(from, to, LinkEnd::kTimeout, true, true);
      });
    }
    return;
  }
  Time& last = link.last_arrival[direction];
  last = std::max(last, WayDelivery(from, to, link.way));
  At(last, std::move(arrive));
}

void World::FlushStalled() {
  for (HostIndex a = 0; a < links_of_.size(); ++a) {
    for (const auto& [b, link] : links_of_[a]) {
      if (b < a || !link->break_pending || !WayOpen(a, b, link->way)) continue;
      link->break_pending = false;
      for (auto& arrive : std::exchange(link->stalled[0], {})) Transmit(a, b, std::move(arrive));
      for (auto& arrive : std::exchange(link->stalled[1], {})) Transmit(b, a, std::move(arrive));
    }
  }
}

void World::Dial(Host& host, HostIndex peer) {
  Link& link = LinkOf(host.index, peer);
  if (link.up || link.dialing) return;
  link.dialing = true;
  link.way = WayTo(host, peer);
  const std::uint64_t generation = link.generation;
  // Three ways of the handshake; the answer is known after them, or never.
  const Time answered = WayDelivery(host.index, peer, link.way) + 2 * (network_.options().latency_max);
  At(answered, [this, from = host.index, peer, life = host.life, generation] {
    if (LinkOf(from, peer).generation == generation) FinishDial(from, peer, life);
  });
}

void World::FinishDial(HostIndex from, HostIndex to, std::uint32_t life) {
  Host& dialer = *hosts_[from];
  Host& target = *hosts_[to];
  Link& link = LinkOf(from, to);
  if (dialer.life != life) {
    ++link.generation;
    link.dialing = false;
    return;
  }
  const bool open = Admits(from, to, link.way) && WayOpen(from, to, link.way);
  if (open && target.Thinking()) {
    link.dialing = false;
    link.up = true;
    link.used_at = now_;
    Deliver(from, life, LinkUp{target.disk.node});
    Deliver(to, target.life, LinkUp{dialer.disk.node});
    dialer.redials.erase(target.disk.node);
    for (int direction = 0; direction < 2; ++direction) {
      Host& sender = *hosts_[direction == 0 ? std::min(from, to) : std::max(from, to)];
      Host& receiver = &sender == &dialer ? target : dialer;
      for (auto& message : std::exchange(link.waiting[direction], {})) {
        SendOnLink(sender, receiver.disk.node, receiver.address, std::move(message));
      }
    }
    return;
  }
  const bool refused = open && target.powered && !target.node && !target.behind_nat;
  if (refused) {
    EndLink(from, to, LinkEnd::kRefused, true, false);
    return;
  }
  const std::uint64_t generation = link.generation;
  At(now_ + kDialTimeout, [this, from, to, generation] {
    Link& late = LinkOf(from, to);
    if (late.generation == generation && late.dialing) EndLink(from, to, LinkEnd::kTimeout, true, false);
  });
}

// `tell_x` says whether that end is told; an end that cannot be reached is told after its own timeout
// elsewhere.
void World::EndLink(HostIndex a, HostIndex b, LinkEnd end, bool tell_a, bool tell_b) {
  Link& link = LinkOf(a, b);
  ++link.generation;
  link.up = link.dialing = link.break_pending = false;
  link.last_arrival[0] = link.last_arrival[1] = Time{};
  for (int direction = 0; direction < 2; ++direction) {
    link.stalled[direction].clear();
    link.waiting[direction].clear();
  }
  const auto tell = [&](HostIndex index, HostIndex peer) {
    Host& host = *hosts_[index];
    const NodeId peer_id = hosts_[peer]->disk.node;
    const bool open = WayOpen(a, b, link.way);
    const Time at = now_ + (open ? network_.options().latency_max : Duration(0));
    if (!open && end == LinkEnd::kReset) {
      // The reset cannot get through: this end learns by silence.
      At(now_ + kStallTimeout, [this, index, peer_id, life = host.life] {
        Deliver(index, life, LinkDown{peer_id, LinkEnd::kTimeout});
        Redial(*hosts_[index], peer_id);
      });
      return;
    }
    At(at, [this, index, peer_id, life = host.life, end] {
      Deliver(index, life, LinkDown{peer_id, end});
      Redial(*hosts_[index], peer_id);
    });
  };
  if (tell_a) tell(a, b);
  if (tell_b) tell(b, a);
}

void World::Redial(Host& host, NodeId peer) {
  if (!host.Running() || !host.held.contains(peer)) return;
  const unsigned failures = std::min(host.redials[peer]++, 5u);
  At(now_ + 100ms * (1 << failures), [this, index = host.index, life = host.life, peer] {
    Host& dialer = *hosts_[index];
    if (dialer.life != life) return;
    const auto held = dialer.held.find(peer);
    if (held == dialer.held.end()) return;
    const auto found = IndexAt(held->second.ip);
    if (!found || hosts_[*found]->disk.node != peer) return;
    Dial(dialer, *found);
  });
}

ConnectResult World::Knock(HostIndex from, const Endpoint& address) const {
  const auto found = IndexAt(address.ip);
  if (!found) return ConnectResult::kTimeout;
  const Host& target = *hosts_[*found];
  if (!target.powered || target.behind_nat || !network_.OpenBothWays(from, target.index))
    return ConnectResult::kTimeout;
  // A stopped process still has its connections accepted by the kernel.
  if (address.port == target.address.port)
    return target.node ? ConnectResult::kAccepted : ConnectResult::kRefused;
  bool work = false;
  for (const auto& [id, process] : target.processes) {
    if (process.address.port == address.port && process.Answers(now_)) return ConnectResult::kAccepted;
    work = work || process.alive;
  }
  // The box's HAProxy lives and dies with the work here.
  const bool inbound = address.port == target.meta.inbound_http || address.port == target.meta.inbound_tcp;
  return inbound && (work || target.node) ? ConnectResult::kAccepted : ConnectResult::kRefused;
}

void World::ConnectFrom(Host& host, const TryConnect& attempt) {
  const auto found = IndexAt(attempt.address.ip);
  const Time arrives = !found ? now_ : network_.LinkDelivery(now_, host.index, *found) + 100us;
  At(arrives, [this, index = host.index, life = host.life, attempt] {
    const ConnectResult result = Knock(index, attempt.address);
    if (result != ConnectResult::kTimeout) {
      Deliver(index, life, ConnectOutcome{attempt.attempt, result});
      return;
    }
    At(now_ + attempt.timeout, [this, index, life, number = attempt.attempt] {
      Deliver(index, life, ConnectOutcome{number, ConnectResult::kTimeout});
    });
  });
}

}  // namespace hs::sim
