// How Membership finds silence: probes, relays, suspicion.
#include <algorithm>
#include <utility>

#include "core/membership/membership.h"

namespace hs {
namespace {

// A failure of our own counts as testimony for this long, unless the member is heard meanwhile.
constexpr Duration kFailureLife = 2s;
// A lasting difference of tables, not news on its way.
constexpr Duration kDifferenceLasts = 2s;
// In clusters above kExchangersMax those that differ exchange tables one by one, each member's this much
// later.
constexpr Duration kExchangeSpan = 1ms;
// A newcomer hears from many unknown members before the first table is there.
constexpr Duration kUnknownPause = 250ms;
// Whoever is cut off from many asks them all at once, so many at most.
constexpr std::size_t kSweepMax = 32;
// How often somebody has to wake before the answer is seen: the target and this node; with a relay two more.
// A suspicion has to reach its suspect, whose word comes back.
constexpr int kWakesDirect = 2;
constexpr int kWakesRelayed = 4;
constexpr int kWakesRefuted = 4;

}  // namespace

// Every other probe goes to the next member on the ring, so that each member is probed by its predecessor
// once in two intervals for certain: chance alone leaves one member in a hundred unprobed for almost five
// intervals. The rest goes round in random order, which needs no agreement on the ring and finds the dead
// whose predecessor died with them.
void Membership::ProbeNext() {
  probe_neighbour_ = !probe_neighbour_;
  std::optional<NodeId> target;
  if (probe_neighbour_) {
    const auto next = PresentRing().Nearest(self_, 1, true);
    if (!next.empty() && At(next.front()).state == MemberState::kAlive) target = next.front();
  }
  if (!target) {
    if (const auto slot = present_.Next()) target = members_.Of(*slot).id;
  }
  if (target) StartProbe(*target, At(*target).meta->address, ProbeKind::kRegular);
}

void Membership::StartProbe(NodeId target, Endpoint address, ProbeKind kind) {
  const std::uint32_t sequence = next_sequence_++;
  Probe& probe = probes_[sequence];
  probe = {target, address, kind, now_.mono, {}, {}, {}, {}};
  // Buddy system: a suspect learns of its suspicion from the very ping, before anything else.
  std::vector<MemberUpdate> first;
  const Member* member = Find(target);
  if (member != nullptr && member->state != MemberState::kAlive) first.push_back(UpdateOf(*member));
  // Whoever may not know us, or not think us alive, learns of us.
  if (member == nullptr || !IsPresent(member->state)) first.push_back(UpdateOf(self()));
  Send(target, address, Ping{sequence, target}, std::move(first));
  const bool sweep = kind == ProbeKind::kSweep;
  if (kind != ProbeKind::kRetry) {
    const Duration wait = sweep ? tunables_.probe_timeout : Scaled(tunables_.probe_timeout);
    probe.timeout = Arm(now_.mono + wait + kWakesDirect * lateness(), TimerKind::kProbeTimeout, sequence);
  }
  const Duration whole = sweep ? tunables_.probe_interval : Scaled(tunables_.probe_interval);
  probe.end =
      Arm(now_.mono + whole + (kWakesDirect + kWakesRelayed) * lateness(), TimerKind::kProbeEnd, sequence);
}

// The target said nothing since this probe began, nor did a relay that was asked for it. Who was heard in its
// first half may have been cut off since. A box that cannot keep up misses answers too, so its sweeps get
// rarer with its health, which late wakes and missing relays lower: 64 agents started at once on two cores
// did not settle while they all swept every second.
void Membership::Sweep(const Probe& unheard) {
  if (now_.mono < sweep_next_ || now_.mono < grace_until_) return;
  sweep_next_ = now_.mono + Scaled(kSweepPause);
  std::vector<Slot> except;
  for (const Slot slot : present_.all()) {
    if (peers_.CardOf(slot).heard_at >= unheard.sent + tunables_.probe_timeout) except.push_back(slot);
  }
  CallRoll(except);
}

void Membership::CallRoll(const std::vector<Slot>& except) {
  for (const Slot slot : present_.Draw(kSweepMax, except)) {
    const Member& member = members_.Of(slot);
    if (member.state == MemberState::kAlive) StartProbe(member.id, member.meta->address, ProbeKind::kSweep);
  }
}

// What was asked before this node slept is void, its answers and those of relays with it. But whoever wakes
// after a long sleep is late again and again while it hears what it missed, and would never learn that it is
// cut off: so those of a roll that was being called are asked once more.
void Membership::ForgetProbes() {
  std::vector<NodeId> called;
  for (const auto& [sequence, probe] : probes_) {
    if (probe.kind == ProbeKind::kSweep) called.push_back(probe.target);
  }
  probes_.clear();
  for (const NodeId& id : called) {
    if (Present(id)) StartProbe(id, At(id).meta->address, ProbeKind::kSweep);
  }
}

void Membership::OnProbeTimeout(std::uint32_t sequence) {
  const auto it = probes_.find(sequence);
  if (it == probes_.end()) return;
  Probe& probe = it->second;
  probe.timeout = {};
  if (!Present(probe.target)) return;
  FolderOf(probe.target).failed_at = now_.mono;
  out_.emplace_back(PingMissed{probe.target});
  if (probe.kind == ProbeKind::kConfirm) {
    const NodeId target = probe.target;
    timers_.Disarm(probe.end);
    probes_.erase(it);
    if (now_.mono < grace_until_ || At(target).state != MemberState::kSuspect) return;
    return Suspect(target, {self_}, Source::kGossip, {});
  }
  // Relays that are suspect themselves would cost a witness, and those of whom a sweep has heard nothing too.
  std::vector<Slot> except{members_.SlotOf(probe.target)};
  if (probe.kind == ProbeKind::kSweep) {
    for (const Slot slot : present_.all()) {
      if (peers_.CardOf(slot).heard_at < probe.sent) except.push_back(slot);
    }
  }
  const std::size_t relays = Relays();
  for (const Slot slot : present_.Draw(2 * relays, except)) {
    if (probe.asked.size() >= relays) break;
    const Member& member = members_.Of(slot);
    if (member.state == MemberState::kAlive) probe.asked.push_back(member.id);
  }
  const PingRequest request{sequence, probe.target, probe.address};
  for (const NodeId& id : probe.asked) SendTo(id, request);
  // A refusal tells more, sooner, than silence does.
  Connect(probe.target, false, 0);
}

// A suspicion is news to all, so that those which are only due to lost datagrams cost each node the more, the
// more nodes there are. One relay more for ten times as many makes them rarer than that: where one datagram
// in a hundred is lost, 25 times.
std::size_t Membership::Relays() const {
  auto relays = static_cast<std::size_t>(tunables_.indirect_probes);
  if (relays == 0) return 0;
  for (std::size_t members = PresentCount(); members >= 10 * kSmallCluster; members /= 10) ++relays;
  return relays;
}

void Membership::OnProbeEnd(std::uint32_t sequence) {
  const auto it = probes_.find(sequence);
  if (it == probes_.end()) return;
  Probe probe = std::move(it->second);
  probes_.erase(it);
  timers_.Disarm(probe.timeout);  // where it is set longer than the interval
  const bool regular = probe.kind == ProbeKind::kRegular;
  if ((!regular && probe.kind != ProbeKind::kSweep) || !Present(probe.target)) return;
  // Lifeguard, 4.1: relays that did not even say Nack suggest that the trouble is here. Where nobody at all
  // said a word it is the wire; that this node is late it would know.
  const int nacked = static_cast<int>(probe.nacked.size());
  const int missed = static_cast<int>(probe.asked.size()) - nacked;
  if (regular && heard_.CountSince(probe.sent) > 0) AddHealth(probe.asked.empty() ? 1 : std::min(missed, 2));
  if (regular && missed > 0) Sweep(probe);
  // A sweep was begun after this node was late last.
  if (regular && now_.mono < grace_until_) return;
  // Whom it asked with all others it has heard since: a cut has healed, and all would accuse all.
  if (!regular && CardOf(probe.target).heard_at >= probe.sent + tunables_.probe_timeout) return;
  std::vector<NodeId> witnesses = probe.nacked;
  witnesses.push_back(self_);
  Suspect(probe.target, witnesses, Source::kGossip, {});
}

void Membership::OnRelayEnd(std::uint32_t sequence) {
  const auto it = relays_.find(sequence);
  if (it == relays_.end()) return;
  const Relay relay = it->second;
  relays_.erase(it);
  if (now_.mono >= grace_until_ && Present(relay.target)) FolderOf(relay.target).failed_at = now_.mono;
  Send(relay.requester, relay.requester_address, Nack{relay.requester_sequence});
}

void Membership::OnDatagram(const DatagramReceived& datagram) {
  const GossipMessage& message = datagram.message;
  if (leaving_ || removed_.contains(datagram.from)) return;
  if (datagram.from == self_) return OnNamesake(datagram);
  const bool was_known = Find(datagram.from) != nullptr;
  for (const MemberUpdate& update : message.updates) Apply(update, datagram.from, Source::kGossip);
  if (message.intent_digest != 0 || message.observation_digest != 0) {
    out_.emplace_back(
        PeerDigests{datagram.from, message.intent_digest, message.observation_digest, message.region_digest});
  }
  OnHeardFrom(datagram.from, datagram.address);
  OnPeerDigest(datagram.from, message.members_digest);
  if (const auto* ping = std::get_if<Ping>(&message.body)) return OnPing(datagram, *ping, was_known);
  if (const auto* request = std::get_if<PingRequest>(&message.body)) return OnPingRequest(datagram, *request);
  if (const auto* ack = std::get_if<Ack>(&message.body)) return OnAck(datagram, ack->sequence);
  if (const auto* nack = std::get_if<Nack>(&message.body)) return OnNack(datagram.from, nack->sequence);
  if (const auto* claim = std::get_if<RefusalClaim>(&message.body)) return OnClaim(datagram, *claim);
}

// What it differed in before counts for nothing any more, unless everything has been changing since.
void Membership::HeardFrom(NodeId from, Slot slot) {
  Card& card = peers_.CardOf(slot);
  const bool same_storm = card.heard_at >= storm_since_ || PresentCount() <= kExchangersMax;
  const bool storm = now_.mono < storm_until_ && same_storm;
  if (PresentCount() > kSmallCluster && !storm && now_.mono - card.heard_at > kDigestLife)
    card.differs_since = {};
  card.heard_at = now_.mono;
  heard_.Note(from, now_.mono);
}

// A sealed datagram proves that its sender runs, whatever it says.
void Membership::OnHeardFrom(NodeId from, Endpoint address) {
  const Member* member = Find(from);
  if (member == nullptr) {
    // It knows us, we do not know it: get its table, and with it its own word.
    const Time pushed_at = PushedAt(from);
    const bool due = pushed_at == Time{} || now_.mono - pushed_at > 1s;
    if (due && MayExchange(kUnknownPause)) SendPushPull(from, address, true);
    return;
  }
  const Slot slot = SlotOf(from);
  HeardFrom(from, slot);
  HeardWell(slot);
  if (address != member->meta->address) TellWhereItIsKnown(*member, address);
  if (IsPresent(member->state) || member->state == MemberState::kLeft) return;
  // We think it gone and it is not. Only its own word brings it back, so tell it what is said of it.
  Folder& folder = peers_.FolderOf(slot);
  if (folder.corrected_at != Time{} && now_.mono - folder.corrected_at < 200ms) return;
  folder.corrected_at = now_.mono;
  Send(from, address, News{}, {UpdateOf(*member)});
}

void Membership::OnPeerDigest(NodeId from, std::uint32_t digest) {
  if (digest == 0 || !Present(from)) return;
  Card& card = CardOf(from);
  card.said_digest = true;
  if (digest == MembersDigest()) {
    card.differs_since = {};
    return;
  }
  if (card.differs_since == Time{}) card.differs_since = now_.mono;
  if (now_.mono - card.differs_since < kDifferenceLasts || now_.mono - PushedAt(from) < kDifferenceLasts)
    return;
  if (!MyTurn() || !MayExchange(kDifferenceLasts)) return;
  exchange_turn_ = {};
  SendPushPull(from, At(from).meta->address, true);
}

// All of a large cluster find at about the same moment that they differ, and their tables, of ten thousand
// members a megabyte each, are to travel one after the other. That others agree ends no turn: most agree with
// each other while one is left behind.
bool Membership::MyTurn() {
  if (PresentCount() <= kExchangersMax) return true;
  if (exchange_turn_ == Time{} || exchange_turn_ < storm_since_) {
    const auto members = static_cast<std::int64_t>(PresentCount());
    exchange_turn_ = now_.mono + prng_.Between(Duration{}, 2 * kExchangeSpan * members);
  }
  return now_.mono >= exchange_turn_;
}

// While much changes, everybody differs from everybody, and a table from each would be most of the load: one
// at a time brings the same news.
bool Membership::MayExchange(Duration pause) {
  if (now_.mono < exchange_next_) return false;
  exchange_next_ = now_.mono + Scaled(pause);
  return true;
}

void Membership::OnPing(const DatagramReceived& datagram, const Ping& ping, bool was_known) {
  if (ping.target && ping.target != self_) return;
  std::vector<MemberUpdate> first;
  if (!was_known || !ping.target) first.push_back(UpdateOf(self()));
  Send(datagram.from, datagram.address, Ack{ping.sequence}, std::move(first));
}

void Membership::OnPingRequest(const DatagramReceived& datagram, const PingRequest& request) {
  if (request.target == self_ || !request.target) {
    return Send(datagram.from, datagram.address, Ack{request.sequence});
  }
  const Member* member = Find(request.target);
  const Endpoint address = member != nullptr ? member->meta->address : request.address;
  const std::uint32_t sequence = next_sequence_++;
  relays_[sequence] = {datagram.from, datagram.address, request.sequence, request.target};
  Send(request.target, address, Ping{sequence, request.target});
  // The requester waits from its timeout to its interval's end; answer in good time before.
  const Duration wait =
      std::min(tunables_.probe_timeout, tunables_.probe_interval - tunables_.probe_timeout) * 3 / 4;
  Arm(now_.mono + wait + kWakesDirect * lateness(), TimerKind::kRelay, sequence);
}

void Membership::OnAck(const DatagramReceived& datagram, std::uint32_t sequence) {
  if (const auto relay = relays_.find(sequence);
      relay != relays_.end() && relay->second.target == datagram.from) {
    Send(relay->second.requester, relay->second.requester_address, Ack{relay->second.requester_sequence});
    relays_.erase(relay);
    return;
  }
  const auto it = probes_.find(sequence);
  if (it == probes_.end()) return;
  Probe& probe = it->second;
  const bool relayed = std::find(probe.asked.begin(), probe.asked.end(), datagram.from) != probe.asked.end();
  if (probe.target && datagram.from != probe.target && !relayed) return;
  const NodeId reached = probe.target ? probe.target : datagram.from;
  const Duration round_trip = now_.mono - probe.sent;
  const ProbeKind kind = probe.kind;
  timers_.Disarm(probe.timeout);
  timers_.Disarm(probe.end);
  probes_.erase(it);
  if (!relayed) {
    if (Present(reached)) out_.emplace_back(PingAnswered{reached, round_trip});
    if (kind == ProbeKind::kRegular) AddHealth(-1);
    if (datagram.message.wall_ms != 0) {
      out_.emplace_back(ClockSample{reached, datagram.message.wall_ms + ToMs(round_trip) / 2 - now_.wall_ms});
    }
  }
  if (const Slot slot = members_.SlotOf(reached); slot != MemberTable::kNone) HeardWell(slot);
  WithdrawSuspicion(reached, self_, "answered");
  for (Seed& seed : seeds_) {
    if (seed.address == datagram.address || seed.id == reached) seed.answered = true;
  }
  if (kind == ProbeKind::kRetry && (!joined_ || !Present(reached))) {
    const Time pushed_at = PushedAt(reached);
    const bool due = pushed_at == Time{} || now_.mono - pushed_at > 500ms;
    // When a cut has healed all meet all at once; what these do not exchange others will, and digests tell.
    const bool mine =
        !joined_ || PresentCount() <= kExchangersMax || prng_.Below(PresentCount()) < kExchangersMax;
    if (due && mine) SendPushPull(reached, datagram.address, true);
  }
}

// As if a relay had said so in answer to a PingRequest.
void Membership::OnAnsweredElsewhere(NodeId id) {
  for (auto it = probes_.begin(); it != probes_.end();) {
    if (it->second.target != id || it->second.kind == ProbeKind::kRetry) {
      ++it;
      continue;
    }
    timers_.Disarm(it->second.timeout);
    timers_.Disarm(it->second.end);
    it = probes_.erase(it);
  }
  if (!Present(id)) return;
  HeardWell(SlotOf(id));
  WithdrawSuspicion(id, self_, "answered through another member");
}

void Membership::OnNack(NodeId from, std::uint32_t sequence) {
  const auto it = probes_.find(sequence);
  if (it == probes_.end()) return;
  Probe& probe = it->second;
  if (std::find(probe.asked.begin(), probe.asked.end(), from) == probe.asked.end()) return;
  if (std::find(probe.nacked.begin(), probe.nacked.end(), from) == probe.nacked.end())
    probe.nacked.push_back(from);
}

// Raises a suspicion or adds witnesses to it. Spread while further witnesses shorten it.
// `heard`: the list they are from.
void Membership::Suspect(NodeId target, const std::vector<NodeId>& witnesses, Source source,
                         NodeId heard_from, const Witnesses& heard) {
  const Member* member = Find(target);
  if (member == nullptr || !IsPresent(member->state) || target == self_) return;
  Folder& folder = FolderOf(target);
  const bool fresh = !folder.suspicion;
  if (fresh) {
    folder.suspicion = std::make_unique<Suspicion>(
        now_.mono, BoundsFor(PresentCount(), tunables_.suspicion_min, tunables_.suspicion_max_factor));
  }
  const bool was_full = !fresh && folder.suspicion->Full();
  bool more = false;
  for (const NodeId& witness : witnesses) more = folder.suspicion->AddWitness(witness) || more;
  if (more) folder.suspicion->Share(heard);
  // What this node saw for itself counts too.
  const bool failed = folder.failed_at != Time{} && now_.mono - folder.failed_at < kFailureLife;
  bool own = heard_from == NodeId{};
  if (failed && now_.mono >= grace_until_ && folder.suspicion->AddWitness(self_)) more = own = true;
  if (fresh) {
    Member after = *member;
    after.state = MemberState::kSuspect;
    Replace(after, "did not answer " + std::to_string(folder.suspicion->witnesses()->size()) + " members");
  }
  ArmSuspicion(target);
  if (source == Source::kExchange || !more || was_full) return;
  Spread(UpdateOf(At(target)), own && fresh, heard_from);
  // Those who watch it on the ring try for themselves, so that a suspicion with few witnesses is confirmed or
  // dropped.
  if (!fresh || own || folder.suspicion->Full()) return;
  const auto watchers = PresentRing().Watchers(target, static_cast<std::size_t>(tunables_.ring_neighbours));
  if (std::binary_search(watchers.begin(), watchers.end(), self_)) {
    StartProbe(target, At(target).meta->address, ProbeKind::kConfirm);
  }
}

// Where few are heard it is looked at again soon: none may be left to confirm it.
void Membership::ArmSuspicion(NodeId target) {
  Suspicion& suspicion = *FolderOf(target).suspicion;
  Time look = DeadlineOf(suspicion);
  if (HeardOfLate() < kConfirmationsMax) look = std::min(look, now_.mono + tunables_.probe_timeout);
  if (std::exchange(suspicion.armed, look) == look) return;
  ArmForGood(look, TimerKind::kSuspicion, target);
}

// In peace each member is asked by its predecessor once in two intervals. Whoever listened for so long and
// heard nobody is cut off alone, and waits in vain for others to confirm what it sees.
int Membership::HeardOfLate() const {
  const Time since = now_.mono - 2 * tunables_.probe_interval;
  return since < listens_since_ ? kConfirmationsMax : heard_.CountSince(since);
}

Time Membership::DeadlineOf(const Suspicion& suspicion) const {
  const Duration refuted = kWakesRefuted * lateness();
  if (suspicion.HasWitness(self_)) return suspicion.Deadline(HeardOfLate()) + refuted;
  // Who heard it from one other asks first (OnSuspicionEnd), and is no later for that.
  const bool asks = suspicion.witnesses()->size() == 1;
  return suspicion.LongestDeadline() - (asks ? tunables_.probe_timeout : Duration(0)) + refuted;
}

void Membership::OnSuspicionEnd(NodeId target) {
  const Member* member = Find(target);
  if (member == nullptr || member->state != MemberState::kSuspect) return;
  Folder& folder = FolderOf(target);
  Suspicion& suspicion = *folder.suspicion;
  // Timers are not cancelled; this one may be of an earlier suspicion, or too early since a witness withdrew.
  const Time deadline = DeadlineOf(suspicion);
  if (now_.mono < deadline) {
    suspicion.judged_at = {};
    return ArmSuspicion(target);
  }
  if (now_.mono < grace_until_) {
    ArmForGood(grace_until_, TimerKind::kSuspicion, target);
    return;
  }
  const bool tried = suspicion.HasWitness(self_);
  // Nobody is judged on one word alone without being asked once more: the wire may just have come back, and
  // whoever was cut off before may have passed on late what it suspected then.
  const bool alone = suspicion.witnesses()->size() == 1 && PresentCount() > 2;
  if (alone && suspicion.judged_at == Time{}) {
    StartProbe(target, member->meta->address, ProbeKind::kConfirm);
    suspicion.judged_at = now_.mono + tunables_.probe_timeout + kWakesDirect * lateness();
    ArmForGood(suspicion.judged_at, TimerKind::kSuspicion, target);
  }
  if (alone && now_.mono < suspicion.judged_at) return;
  Member after = *member;
  after.state = MemberState::kUnreachable;
  folder.gone_witnesses = suspicion.witnesses();
  const std::string cause = "silent for " + std::to_string(ToMs(now_.mono - suspicion.start())) +
                            " ms after the suspicion of " + std::to_string(folder.gone_witnesses->size()) +
                            " members";
  // All come to this at about the same time; those who tried for themselves tell of it.
  Replace(after, cause, tried);
  Spread(UpdateOf(after), true);
}

// This node (or `witness`) reached it after all. Others may still suspect it; then only its own word helps.
void Membership::WithdrawSuspicion(NodeId target, NodeId witness, std::string cause) {
  const Member* member = Find(target);
  if (member == nullptr || member->state != MemberState::kSuspect) return;
  Suspicion& suspicion = *FolderOf(target).suspicion;
  suspicion.RemoveWitness(witness);
  if (!suspicion.witnesses()->empty()) return ArmSuspicion(target);
  Member after = *member;
  after.state = MemberState::kAlive;
  Replace(after, std::move(cause));
  queue_.Erase(target);
}

}  // namespace hs
