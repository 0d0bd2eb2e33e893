// How Routing finds ways round a cut, and what it tells others of it.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/hash.h"
#include "core/routing/routing.h"

namespace hs {
namespace {

// Ways asked at once; each answer is a datagram there and one back.
constexpr std::size_t kAskedAtOnce = 8;
// Rounds with one relay before two are tried, and how many in all before a pause.
constexpr int kRoundsOfOne = 8;
constexpr int kRoundsInAll = 12;
constexpr Duration kSearchPause = 2s;
// Those who wait for their turn to search try again about so long after, each by the number of them.
constexpr Duration kTurn = 50ms;
// From so many on a list that others have as well is told by its owner's name.
constexpr std::size_t kLongList = 8;

}  // namespace

std::uint64_t HashOfPeers(const std::vector<ReachException>& exceptions) {
  std::uint64_t hash = 1;
  for (const ReachException& exception : exceptions) hash = CombineHash(hash, exception.peer.Prefix64());
  return hash == 0 ? 1 : hash;
}

// Asks several ways at once: the first that answers is the quickest.
void Routing::Search(NodeId peer, Trouble& trouble) {
  const std::size_t asks = asks_.Take(now_, kAskedAtOnce);
  if (asks == 0) {
    // By chance, so that those with the first ids do not take every turn.
    const auto waiting = static_cast<std::int64_t>(troubles_.size() - detours_);
    trouble.search_next = now_ + prng_.Between(kTurn, kTurn * (1 + waiting / 8));
    return;
  }
  // At first only relays that serve somebody already: mostly one answers, which costs nothing, where a cut
  // between large groups would use up what may be asked in vain.
  std::vector<Relays> ways = Candidates(peer, trouble, asks, trouble.rounds == 0);
  const bool likely = !ways.empty() && trouble.rounds == 0;
  if (ways.empty() && trouble.rounds == 0) ways = Candidates(peer, trouble, asks);
  asks_.GiveBack(asks - ways.size());
  for (const Relays& relays : ways) {
    trouble.tried.insert(relays);
    Ask(peer, relays, true);
  }
  const bool exhausted = ways.size() < asks && !likely;
  if (++trouble.rounds >= kRoundsInAll || (exhausted && trouble.rounds > kRoundsOfOne)) {
    trouble.rounds = 0;
    trouble.tried.clear();
    trouble.search_next = now_ + kSearchPause;
    return;
  }
  if (exhausted) trouble.rounds = std::max(trouble.rounds, kRoundsOfOne);
  trouble.search_next = ways.empty() ? now_ : now_ + tunables_.probe_timeout / 2;
}

std::vector<Relays> Routing::Candidates(NodeId peer, const Trouble& trouble, std::size_t count,
                                        bool only_proven) {
  std::vector<Relays> ways;
  const auto take = [&](Relays way) {
    if (ways.size() < count && !trouble.tried.contains(way) && std::ranges::find(ways, way) == ways.end()) {
      ways.push_back(std::move(way));
    }
  };
  const auto [first, proven] = FirstRelays(peer);
  if (only_proven) {
    for (std::size_t i = 0; i < proven; ++i) {
      if (Reaches(first[i], peer)) take({first[i]});
    }
    return ways;
  }
  if (trouble.rounds < kRoundsOfOne) {
    for (const NodeId& relay : first) {
      if (Reaches(relay, peer)) take({relay});
    }
    if (!ways.empty() || trouble.detour) return ways;
  }
  // Two relays: of those we reach, one that reaches somebody who reaches the peer.
  std::vector<NodeId> last;
  for (const auto& [id, member] : *members_) {
    if (id == self_ || id == peer || member.state != MemberState::kAlive || member.meta->dials_out) continue;
    if (Reaches(id, peer)) last.push_back(id);
  }
  prng_.Shuffle(last);
  for (const NodeId& far : last) {
    for (const NodeId& near : first) {
      if (ways.size() >= count) return ways;
      if (near != far && !SaidCut(near, far) && !SaidCut(far, near)) take({near, far});
    }
  }
  return ways;
}

// Whom we reach, most promising first: relays that serve somebody already (whoever bridges a cut for one
// bridges it for others), then the nearest, then the others, in an order of this pair's own, so that not
// every pair loads the same relay.
Routing::Ranking Routing::FirstRelays(NodeId peer) const {
  std::set<NodeId> proven;
  for (const auto& [other, trouble] : troubles_) {
    if (trouble.detour) proven.insert(trouble.detour->begin(), trouble.detour->end());
  }
  for (const auto& [owner, body] : said_) {
    for (const ReachException& exception : std::get<ReachReport>(*body).exceptions) {
      if (proven.size() < 64) proven.insert(exception.relays.begin(), exception.relays.end());
    }
  }
  struct Ranked {
    bool unproven;
    std::int64_t distance;  // in powers of two, so that chance does not rank equals
    std::uint64_t draw;
    NodeId id;
    auto operator<=>(const Ranked&) const = default;
  };
  std::vector<Ranked> ranked;
  const std::uint64_t pair = CombineHash(self_.Prefix64(), peer.Prefix64());
  for (const auto& [id, member] : *members_) {
    if (id == self_ || id == peer || !MayRelay(id)) continue;
    const auto known = round_trips_.find(id);
    std::int64_t distance = 64;
    if (known != round_trips_.end()) {
      distance = std::bit_width(static_cast<std::uint64_t>(known->second / 500us));
    }
    ranked.push_back({!proven.contains(id), distance, CombineHash(pair, id.Prefix64()), id});
  }
  std::ranges::sort(ranked);
  Ranking ranking;
  for (const Ranked& each : ranked) {
    ranking.relays.push_back(each.id);
    if (!each.unproven) ++ranking.proven;
  }
  return ranking;
}

bool Routing::MayRelay(NodeId relay) const {
  const auto member = members_->find(relay);
  if (member == members_->end() || member->second.state != MemberState::kAlive) return false;
  if (member->second.meta->dials_out) return false;
  return !troubles_.contains(relay) && !SaidCut(relay, self_);
}

bool Routing::DialsOut(NodeId id) const {
  const auto member = members_->find(id);
  return member != members_->end() && member->second.meta->dials_out;
}

// As far as anybody said.
bool Routing::Reaches(NodeId relay, NodeId peer) const {
  if (SaidCut(relay, peer) || SaidCut(peer, relay)) return false;
  return !DialsOut(peer) || std::ranges::binary_search(members_->at(peer).meta->relays, relay);
}

bool Routing::SaidCut(NodeId teller, NodeId peer) const {
  auto said = said_.find(teller);
  if (said == said_.end()) return false;
  const auto* report = &std::get<ReachReport>(*said->second);
  if (report->same_as) {
    const auto hash = report->peers_hash;
    said = said_.find(report->same_as);
    if (said == said_.end()) return false;
    report = &std::get<ReachReport>(*said->second);
    if (HashOfPeers(report->exceptions) != hash) return false;
  }
  return std::ranges::binary_search(report->exceptions, peer, {}, &ReachException::peer);
}

ReachReport Routing::Report() const {
  ReachReport report;
  for (const auto& [peer, trouble] : troubles_) {
    if (!trouble.cut || !trouble.detour || trouble.declared) continue;  // its own word is told already
    const auto us = std::clamp<std::int64_t>(trouble.detour_round_trip / 1us, 0, UINT32_MAX);
    report.exceptions.push_back({peer, trouble.heard, *trouble.detour, static_cast<std::uint32_t>(us)});
  }
  if (report.exceptions.size() < kLongList) return report;
  // Whoever has the smallest id of those with the same list tells it.
  const std::uint64_t hash = HashOfPeers(report.exceptions);
  for (const auto& [owner, body] : said_) {
    if (self_ < owner) break;
    const auto& other = std::get<ReachReport>(*body);
    if (other.exceptions.size() == report.exceptions.size() && HashOfPeers(other.exceptions) == hash) {
      return {{}, owner, hash};
    }
  }
  return report;
}

PathView Routing::View(NodeId peer) const {
  PathView view;
  const auto found = troubles_.find(peer);
  if (found != troubles_.end() && found->second.detour) {
    view.relays = *found->second.detour;
    view.heard = found->second.heard || found->second.declared;
    view.round_trip = found->second.detour_round_trip;
    return view;
  }
  if (const auto known = round_trips_.find(peer); known != round_trips_.end())
    view.round_trip = known->second;
  return view;
}

std::string Routing::NameOf(NodeId id) const {
  const auto member = members_->find(id);
  return member == members_->end() ? id.Short() : member->second.meta->name;
}

std::string Routing::Words(const Relays& relays) const {
  std::string words;
  for (const NodeId& relay : relays) words += (words.empty() ? "" : " and ") + NameOf(relay);
  return words;
}

}  // namespace hs
