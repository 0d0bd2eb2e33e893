// Ways round cuts: messages over relays, what is carried for others, and what the caller and the others are
// told.
#include <algorithm>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// A cut between two boxes is news for everybody; one between many would be as many pieces of news.
constexpr std::size_t kToldToAll = 4;
// Between two words on whom this node does not reach.
constexpr Duration kReachPause = 1s;
// NATs keep a UDP mapping for 30 s or more after the last packet (RFC 4787, REQ-5, asks for 2 minutes).
constexpr Duration kMappingLife = 25s;
// So soon after it nobody doubts that there is one.
constexpr Duration kAnswerTime = 1s;

}  // namespace

void Node::Impl::On(const Membership::PingAnswered& answered) {
  // Where the question went by a relay, the time is that of the relay.
  if (hears_straight_ && routing_.ForDatagrams(answered.peer).empty()) {
    Reach(AnsweredDirectly{answered.peer, answered.round_trip});
  }
}

void Node::Impl::On(const Membership::PingMissed& missed) { Reach(DirectSilence{missed.peer}); }

void Node::Impl::On(const AnsweredByDetour& answered) {
  AsMember(Membership::AnsweredElsewhere{answered.peer});
}

void Node::Impl::On(const SendPathPing& ping) {
  SendOver(ping.to, ping.relays, GossipMessage{.body = PathPing{ping.sequence}});
}

void Node::Impl::On(const RouteChanged& change) {
  const bool back = change.after.empty() && !routing_.InTrouble(change.peer);
  const std::string kind = back ? "route.direct" : change.after.empty() ? "route.lost" : "route.detour";
  const std::string cause = "from " + meta_.name + ": " + change.cause;
  if (!DialsOut(change.peer) && routing_.Detours().size() <= kToldToAll && route_news_.Take(now_.mono) == 1) {
    Emit(kind, NameOf(change.peer), cause);
  } else {
    Note(kind, NameOf(change.peer), cause);
  }
}

// Whoever hands a message over is proven; that the source said it rests on the relay's word, as all news does
// that members pass on (docs/decisions/relayed-hop-by-hop.md).
void Node::Impl::OnRelayed(const DatagramReceived& datagram, const Relayed& relayed) {
  if (removed_.contains(relayed.source)) return;
  CarryDecision decision = carrier_.Step(now_.mono, membership_.members(), datagram.from, relayed);
  if (auto* on = std::get_if<CarryOn>(&decision)) {
    const Endpoint address = AddressOf(on->next);
    if (!address) return;
    outputs_.emplace_back(SendDatagram{on->next, address, GossipMessage{.body = std::move(on->message)}});
    return;
  }
  const auto* here = std::get_if<DeliverHere>(&decision);
  if (here == nullptr) return;
  if (const auto* ping = std::get_if<PathPing>(&relayed.inner->body)) {
    return SendOver(here->source, here->way_back, GossipMessage{.body = PathPong{ping->sequence}});
  }
  if (const auto* pong = std::get_if<PathPong>(&relayed.inner->body)) {
    return Reach(PathAnswered{here->source, pong->sequence});
  }
  const Endpoint address = AddressOf(here->source);
  if (!address) return;  // a stranger: it has to come in through the relay's own words first
  Hear({here->source, address, *relayed.inner}, false);
}

void Node::Impl::SendOver(NodeId to, const std::vector<NodeId>& relays, GossipMessage message) {
  const NodeId next = relays.empty() ? to : relays.front();
  const Endpoint address = AddressOf(next);
  if (!address) return;
  message.wall_ms = now_.wall_ms;
  if (!relays.empty()) {
    Relayed relayed{.source = self_, .ahead = {relays.begin() + 1, relays.end()}};
    relayed.ahead.push_back(to);
    relayed.inner = std::make_shared<const GossipMessage>(std::move(message));
    message = GossipMessage{.body = std::move(relayed)};
  }
  outputs_.emplace_back(SendDatagram{next, address, std::move(message)});
}

// The last thing that happens to a datagram: it goes round where it has to. Questions about a path and what
// is carried for others know their way.
void Node::Impl::Wrap(SendDatagram& datagram) {
  const GossipBody& body = datagram.message.body;
  if (std::holds_alternative<Relayed>(body) || std::holds_alternative<PathPing>(body) ||
      std::holds_alternative<PathPong>(body)) {
    return;
  }
  const Relays relays = routing_.ForDatagrams(datagram.to);
  if (relays.empty()) return;
  const Endpoint address = AddressOf(relays.front());
  if (!address) return;
  Relayed relayed{.source = self_, .ahead = {relays.begin() + 1, relays.end()}};
  relayed.ahead.push_back(datagram.to);
  relayed.inner = std::make_shared<const GossipMessage>(std::move(datagram.message));
  datagram = {relays.front(), address, GossipMessage{.body = std::move(relayed)}};
}

bool Node::Impl::DialsOut(NodeId node) const {
  const auto member = membership_.members().find(node);
  return member != membership_.members().end() && member->second.meta->dials_out;
}

// A member that dials out is where its datagrams come from, not where it says. It is proven: a sealed
// datagram came from there, and each counts once.
void Node::Impl::NoteSource(NodeId from, const Endpoint& source) {
  if (DialsOut(from)) sources_[from] = {source, now_.mono};
}

// What it sent a moment ago opened its NAT for an answer.
bool Node::Impl::AnswersStraight(const SendDatagram& datagram) const {
  const auto source = sources_.find(datagram.to);
  return source != sources_.end() && now_.mono <= source->second.heard_at + kAnswerTime;
}

void Node::Impl::Readdress(SendDatagram& datagram) const {
  const auto source = sources_.find(datagram.to);
  if (source == sources_.end() || source->second.heard_at + kMappingLife < now_.mono) return;
  datagram.address = source->second.address;
}

// Where this box's door sends people's requests, a cut must be found before they hang on it.
void Node::Impl::WatchDoorPaths() {
  std::vector<NodeId> paths;
  // Without a door of its own this node sends nobody's requests anywhere.
  static const std::vector<DoorService> kNone;
  for (const DoorService& service : meta_.door ? door_->services : kNone) {
    for (const DoorServer& server : service.servers) {
      if (!server.tls) continue;
      if (const auto id = NodeId::FromHex(server.name)) paths.push_back(*id);
    }
  }
  std::ranges::sort(paths);
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  door_paths_ = std::move(paths);
  WatchPathsInUse();
}

// Questions to the relays of a node that dials out keep the way back to it open besides.
void Node::Impl::WatchPathsInUse() {
  std::vector<NodeId> paths;
  std::ranges::set_union(door_paths_, meta_.relays, std::back_inserter(paths));
  if (paths == watched_paths_) return;
  watched_paths_ = paths;
  Reach(WatchPaths{std::move(paths)});
}

std::vector<LinkView> Node::Impl::Links() const {
  std::vector<LinkView> links;
  for (const auto& [id, member] : membership_.members()) {
    if (!IsPresent(member.state)) continue;
    for (const NodeId& relay : member.meta->relays) {
      if (relay != self_) links.push_back({.from = relay, .to = id, .line = true});
    }
    if (id == self_) continue;
    const PathView path = routing_.View(id);
    const bool line = path.relays.empty() && std::ranges::binary_search(member.meta->relays, self_);
    links.push_back({self_, id, path.relays, path.heard, line, path.round_trip});
  }
  const auto& records = board_.records();
  for (auto it = records.lower_bound({RecordKind::kReach, {}, 0}); it != records.end(); ++it) {
    if (it->first.kind != RecordKind::kReach) break;
    const NodeId teller = it->first.owner;
    if (teller == self_) continue;
    const auto* report = &std::get<ReachReport>(*it->second.body);
    const bool by_name = static_cast<bool>(report->same_as);
    if (by_name) {
      const auto other = records.find({RecordKind::kReach, report->same_as, 0});
      if (other == records.end()) continue;
      const auto* named = &std::get<ReachReport>(*other->second.body);
      if (HashOfPeers(named->exceptions) != report->peers_hash) continue;
      report = named;
    }
    for (const ReachException& exception : report->exceptions) {
      LinkView link{teller, exception.peer, exception.relays, exception.heard, false, {}};
      if (!by_name) link.round_trip = exception.round_trip_us * Duration(1us);
      links.push_back(std::move(link));
    }
  }
  return links;
}

void Node::Impl::SettleRoutes() {
  const Duration late = membership_.lateness();
  if (std::exchange(routes_late_, late) != late) Reach(OwnLateness{late});
  SettleDialing();
  const bool moved = std::exchange(addresses_changed_, false) && !detours_.empty();
  if (std::exchange(routes_version_, routing_.version()) != routing_.version() || moved) {
    std::vector<Detour> detours;
    const auto add = [&](NodeId peer, const Relays& relays) {
      Detour detour{peer, AddressOf(peer), {}, DialsOut(peer)};
      for (const NodeId& relay : relays) detour.relays.emplace_back(relay, AddressOf(relay));
      detours.push_back(std::move(detour));
    };
    for (const auto& [peer, relays] : routing_.Detours()) add(peer, relays);
    for (const NodeId& peer : routing_.Lines()) {
      if (routing_.ForLinks(peer).empty()) add(peer, {});  // else that path is cut as well
    }
    std::ranges::sort(detours, {}, &Detour::peer);
    if (detours != detours_) {
      detours_ = detours;
      outputs_.emplace_back(UseDetours{std::move(detours)});
    }
  }
  if (reach_version_ != routing_.version() && reach_next_ <= now_.mono) TellReach();
}

void Node::Impl::SettleDialing() {
  if (!meta_.dials_out) return;
  const bool others = routes_version_ != routing_.version();
  if (!std::exchange(dialing_due_, false) && !others && !addresses_changed_ &&
      dialing_.NextDeadline() > now_.mono) {
    return;
  }
  if (dialing_.Step(now_.mono, membership_.members(), routing_)) {
    meta_.relays = dialing_.relays();
    AsMember(Membership::SetMeta{meta_});
    WatchPathsInUse();
    std::string names;
    for (const NodeId& relay : meta_.relays) names += (names.empty() ? "" : ", ") + NameOf(relay);
    Note("route.lines", meta_.name,
         "nobody can connect to this box: it keeps lines to " + (names.empty() ? "nobody" : names));
  }
  std::vector<std::pair<NodeId, Endpoint>> lines;
  for (const NodeId& relay : meta_.relays) lines.emplace_back(relay, AddressOf(relay));
  if (lines == lines_) return;
  lines_ = lines;
  outputs_.emplace_back(UseLines{std::move(lines)});
}

void Node::Impl::TellReach() {
  reach_next_ = now_.mono + kReachPause;
  ReachReport report = routing_.Report();
  // Ways to members that dial out are no news.
  const bool news = report != reach_told_;
  if (news && reach_news_.Take(now_.mono) == 0) return;
  reach_version_ = routing_.version();
  if (!news) return;
  reach_told_ = report;
  Observe(Publish{RecordKind::kReach, 0, std::make_shared<const RecordBody>(std::move(report))});
}

}  // namespace hs
