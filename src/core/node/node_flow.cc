// What the mechanisms say: out of the node, or on to one another.
#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "core/node/node_impl.h"

namespace hs {
namespace {

// A change of members that decides nothing about control is looked at with the others of its burst.
constexpr Duration kLeadPause = 100ms;

// Of all that a door looks at in a report. Most reports say something else: a plan was taken over, a replica
// is being prepared.
std::uint64_t HashOfServing(const Record& record) {
  std::uint64_t hash = record.version.boot;
  for (const ReplicaStatus& status : std::get<NodeReport>(*record.body).replicas) {
    const bool running = status.state == ReplicaState::kRunning;
    if (!running && status.state != ReplicaState::kDraining) continue;
    hash = CombineHash(hash, status.id.value);
    hash = CombineHash(hash, Hash64(status.address.ToString()));
    hash = CombineHash(hash, (running ? 1u : 0u) + (status.health == Health::kUnhealthy ? 2u : 0u));
  }
  return hash;
}

// The same of a region's summary, and of its ranking among those that overlap.
std::uint64_t HashOfServing(const Record& record, const RegionReport& report) {
  std::uint64_t hash = CombineHash(record.version.boot, report.region);
  hash = CombineHash(hash, report.stamp.term);
  for (const ServiceInRegion& service : report.services) {
    hash = CombineHash(hash, Hash64(service.service));
    for (const ServiceAtNode& at : service.nodes) {
      hash = CombineHash(hash, at.node.Prefix64());
      hash = CombineHash(hash, at.running);
      hash = CombineHash(hash, std::uint64_t{at.well} << 32 | at.draining);
    }
  }
  return hash;
}

// Of the states of a box, these are the same to a door.
int DoorSees(MemberState state) {
  if (IsPresent(state) || state == MemberState::kAgentDown) return 0;
  return state == MemberState::kUnreachable ? 1 : 2;
}

// Most words of a member about itself are an answer to a suspicion, with nothing new in them.
bool ConcernsRoles(const Membership::MemberChanged& change) {
  if (!change.before) return true;
  const Member& before = *change.before;
  const Member& after = change.after;
  return before.state != after.state || before.meta->roles != after.meta->roles ||
         before.meta->labels != after.meta->labels || before.meta->door != after.meta->door ||
         before.alive_since != after.alive_since || before.quarantined_until != after.quarantined_until;
}

// It may be a copy of that member's disk, without its roles; then the original is back in a moment.
bool StartedElsewhere(const Membership::MemberChanged& change) {
  if (!change.before || !IsPresent(change.before->state)) return false;
  return change.before->boot_id != change.after.boot_id &&
         change.before->meta->address != change.after.meta->address;
}

// Of a member that dials out: whether it is there, and over whom it is reached.
bool ConcernsDialing(const Membership::MemberChanged& change) {
  const MemberMeta& after = *change.after.meta;
  if (!change.before) return after.dials_out;
  const MemberMeta& before = *change.before->meta;
  if (!before.dials_out && !after.dials_out) return false;
  return IsPresent(change.before->state) != IsPresent(change.after.state) ||
         before.dials_out != after.dials_out || before.relays != after.relays;
}

std::string ReplicaNews(const ReplicaChanged& change) {
  const ReplicaStatus& status = change.after ? *change.after : *change.before;
  return ReplicaName(status.service, status.id);
}

}  // namespace

// Each mechanism's outputs are variants of contract outputs, which leave the node as they are, and of words
// of its own, for which there is an On().
template <typename MechanismOutputs>
void Node::Impl::Carry(MechanismOutputs outputs) {
  for (auto& output : outputs) {
    std::visit(
        [this](auto& value) {
          if constexpr (std::is_constructible_v<Output, decltype(std::move(value))>) {
            outputs_.emplace_back(std::move(value));
          } else {
            On(value);
          }
        },
        output);
  }
}

void Node::Impl::AsMember(const Membership::Input& input) { Carry(membership_.Step(now_, input)); }
void Node::Impl::AsMember(const DatagramReceived& datagram) { Carry(membership_.Hear(now_, datagram)); }
void Node::Impl::AsMember(NodeId from, const PushPull& table) { Carry(membership_.Hear(now_, from, table)); }
void Node::Impl::Intend(const IntentInput& input) { Carry(intent_.Step(now_, input)); }
void Node::Impl::Observe(const BoardInput& input) { Carry(board_.Step(now_.mono, input)); }
void Node::Impl::Observe(NodeId from, const RecordPush& push) { Carry(board_.Hear(now_.mono, from, push)); }
void Node::Impl::Observe(NodeId from, const RecordOffer& offer) {
  Carry(board_.Hear(now_.mono, from, offer));
}
void Node::Impl::Supervise(const SupervisorInput& input) { Carry(supervisor_.Step(now_, input)); }
void Node::Impl::Search(const LanSearch::Input& input) { Carry(lan_.Step(now_.mono, input)); }
void Node::Impl::Weigh(const EvidenceInput& input) { Carry(evidence_.Step(now_.mono, input)); }

void Node::Impl::Reach(const RoutingInput& input) {
  Carry(routing_.Step(now_.mono, membership_.members(), input));
}

// ------------------------------------------------------------------------------------------------ membership

void Node::Impl::On(const Membership::MemberChanged& change) {
  dirty_.members = members_moved_ = dialing_due_ = true;
  NoteRegion(change);
  const Member& after = change.after;
  // Who controls can only change by the word of somebody with a role, or by our own; the rest of what
  // leadership derives may wait for more news of the same burst.
  const auto plays = [](const Member& member) {
    return member.meta->roles.controller || member.meta->roles.standby;
  };
  const bool decisive = after.id == self_ || !region_.controller || after.id == region_.controller ||
                        after.id == region_.standby || plays(after) ||
                        (change.before && plays(*change.before));
  const bool at_once = decisive && !StartedElsewhere(change);
  if (ConcernsRoles(change)) lead_at_ = std::min(lead_at_, at_once ? now_.mono : now_.mono + kLeadPause);
  if (after.id == self_) {
    const bool reborn = change.before && after.incarnation.boot > change.before->incarnation.boot;
    return reborn ? CountLivesFrom(after.incarnation.boot) : void();
  }
  NoteCompany(change);
  TellPeer(change);
  if ((change.before ? change.before->incarnation.boot : 1) < after.incarnation.boot)
    Observe(LaterLife{after.id, after.incarnation.boot});
  if (!change.before || change.before->meta->address != after.meta->address) addresses_changed_ = true;
  if (ConcernsDoor(change)) dirty_.serving = true;
  const bool was_present = change.before && IsPresent(change.before->state);
  if (was_present != IsPresent(after.state) ||
      (change.before && change.before->meta->name != after.meta->name))
    dirty_.names = true;
  const bool moved = !change.before || change.before->state != after.state;
  if (moved && after.state != MemberState::kSuspect &&
      !(change.before && change.before->state == MemberState::kSuspect &&
        after.state == MemberState::kAlive)) {
    // Everyone logs what it sees. To all tells the controller, and of a loss whoever judged for himself: so
    // one change in a large cluster is a few events, and not one of each member; and where members come and
    // go without an end, what goes to everybody has a pace.
    const std::string kind = std::string("member.") + ToString(after.state);
    const bool tells = Leads() || (change.first_hand && !IsPresent(after.state));
    if (tells && member_news_.Take(now_.mono) == 1) {
      Emit(kind, after.meta->name, change.cause);
    } else {
      Note(kind, after.meta->name, change.cause);
    }
  }
  if (after.state == MemberState::kDead || after.state == MemberState::kLeft) {
    KeepLastWords(after.id);
    Observe(OwnerGone{after.id, after.incarnation.boot});
    Reach(ReachSaid{after.id, nullptr});
  }
  if (IsPresent(after.state)) last_words_.erase(after.id);
  if (!IsPresent(after.state)) {
    intent_digests_.erase(after.id);
    documents_told_.erase(after.id);
    load_book_.Forget(after.id);
    serving_.erase(after.id);
    region_serving_.erase(after.id);
    sources_.erase(after.id);
  }
}

// A door asks for replicas; where a box without any is, and whether it is there, it need not know.
bool Node::Impl::ConcernsDoor(const Membership::MemberChanged& change) const {
  const MemberMeta& after = *change.after.meta;
  // What is there in another region is said by the summary of whoever claims it.
  if (!Regional() || here_.contains(change.after.id)) {
    const auto report = board_.Report(change.after.id);
    if (report == nullptr || std::get<NodeReport>(*report).replicas.empty()) return false;
  }
  if (!change.before) return true;
  const MemberMeta& before = *change.before->meta;
  const bool elsewhere =
      before.region != after.region || before.roles != after.roles || before.labels != after.labels;
  return (Regional() && elsewhere) || DoorSees(change.before->state) != DoorSees(change.after.state) ||
         before.address != after.address || before.inbound_http != after.inbound_http ||
         before.inbound_tcp != after.inbound_tcp;
}

// An old copy of this node's disk was put back, or started elsewhere: what it says now must count for more
// than what was said then.
void Node::Impl::CountLivesFrom(std::uint32_t boot) {
  Observe(NewLife{boot});
  Emit("member.reborn", meta_.name,
       "others know of a later start of this node than its disk does: an old copy of that was put back, or a "
       "copy was started elsewhere; it counts its starts from " +
           std::to_string(boot));
}

// Who counts as present, and where, concerns all that talk to others.
void Node::Impl::TellPeer(const Membership::MemberChanged& change) {
  const Member& after = change.after;
  const bool was = change.before && IsPresent(change.before->state);
  const bool is = IsPresent(after.state);
  if (was != is) Reach(RoutingMembersChanged{});
  if (ConcernsDialing(change)) Reach(DialersChanged{});
  if (was == is && (!is || change.before->meta->address == after.meta->address)) return;
  std::optional<Endpoint> address;
  if (is) address = after.meta->address;
  Intend(IntentPeer{after.id, address});
  Observe(BoardPeer{after.id, address});
}

void Node::Impl::On(const Membership::ClockSample& sample) {
  Intend(ClockSample{sample.peer, sample.offset_ms});
}

void Node::Impl::On(const Membership::PeerDigests& digests) {
  if (digests.intent != 0 && std::exchange(intent_digests_[digests.peer], digests.intent) != digests.intent) {
    steady_dirty_ = true;
  }
  const bool nothing_to_compare = documents_lost_ && intent_.documents().empty();
  if (digests.intent == intent_.digest() && !nothing_to_compare) intent_known_ = true;
  Intend(IntentDigestHeard{digests.peer, digests.intent});
  Observe(BoardDigestHeard{digests.peer, digests.observation, digests.region});
}

void Node::Impl::On(const Membership::IdentityConflict& conflict) {
  Emit("member.identity-conflict", meta_.name,
       "another agent with this node's id answers at " + conflict.address.ToString() +
           ": this data directory is a copy; this one takes a new id");
  outputs_.emplace_back(TakeNewIdentity{conflict.address});
}

void Node::Impl::On(const Membership::LeaveDone&) { outputs_.emplace_back(Gone{{}}); }

// ------------------------------------------------------------------------------------------------ intent

void Node::Impl::On(const AckDocument& ack) {
  if (!ack.address) return;
  GossipMessage message;
  message.body = DocumentAck{ack.stamp};
  outputs_.emplace_back(SendDatagram{ack.to, ack.address, std::move(message)});
}

void Node::Impl::On(const DocumentChanged& change) {
  dirty_.documents = true;
  const auto key = ParseKey(change.key);
  if (!key) return;
  if (key->kind == KeyKind::kStack || key->kind == KeyKind::kScale) stacks_moved_ = true;
  // Told by the node that took the write; the others see the same document.
  if (change.after.stamp.node != self_) return;
  if (change.before && change.before->body == change.after.body) return;  // only its stamp is new
  const bool gone = change.after.IsTombstone();
  const std::string subject =
      key->kind == KeyKind::kDrain || key->kind == KeyKind::kNode ? NameOf(key->node) : key->name;
  switch (key->kind) {
    case KeyKind::kStack:
      return gone ? Emit("intent.remove", subject,
                         "revision " + std::to_string(key->revision) + " was removed")
                  : Emit("intent.deploy", subject,
                         "revision " + std::to_string(key->revision) + " was deployed");
    case KeyKind::kScale: {
      const auto* scale = std::get_if<ScaleOverride>(&change.after.body);
      return Emit("intent.scale", subject,
                  scale == nullptr ? "the scale override was removed"
                                   : "asked for " + std::to_string(scale->replicas) + " replicas");
    }
    case KeyKind::kDrain:
      return Emit(gone ? "intent.undrain" : "intent.drain", subject,
                  gone ? "may take work again" : "asked to give its work away");
    case KeyKind::kToken:
      return Emit(gone ? "intent.token-revoked" : "intent.token", subject,
                  gone ? "a token was revoked" : "a token was made");
    case KeyKind::kNode:
      return Emit(gone ? "intent.node-removed" : "intent.node-admitted", subject,
                  gone ? "its key is no longer trusted" : "its key is trusted from now on");
    case KeyKind::kQuota:
      return Emit(gone ? "intent.quota-removed" : "intent.quota", subject,
                  gone ? "the quota was removed" : "a quota was set");
  }
}

void Node::Impl::On(const DocumentHeldBack& held) {
  Emit("intent.held-back", held.key,
       "stamped too far ahead of the members' clocks: kept aside until its time comes; check the clock of "
       "the box that wrote it");
}

void Node::Impl::On(const DocumentRestamped& restamped) {
  Emit("intent.restamped", restamped.key,
       "written here while the calendar of this box was " +
           std::to_string((restamped.before.wall_ms - restamped.after.wall_ms) / 60'000) +
           " min ahead of the other members': it now carries the time of theirs");
}

void Node::Impl::On(const DocumentConflict& conflict) {
  Emit("intent.conflict", conflict.loser.key,
       "two writers wrote it without knowing of each other; the later one counts, the other can be read "
       "under conflicts");
}

// ------------------------------------------------------------------------------------------------
// observation

void Node::Impl::On(const RecordChanged& change) {
  switch (change.record.key.kind) {
    case RecordKind::kNodeReport: {
      dirty_.reports = true;
      if (!std::get<NodeReport>(*change.record.body).bundles.empty()) dirty_.bundles = true;
      const std::uint64_t serving = HashOfServing(change.record);
      if (std::exchange(serving_[change.record.key.owner], serving) != serving) dirty_.serving = true;
      return;
    }
    case RecordKind::kRegionReport:
      if (Regional()) {
        const auto& report = std::get<RegionReport>(*change.record.body);
        const std::uint64_t serving = HashOfServing(change.record, report);
        if (std::exchange(region_serving_[change.record.key.owner], serving) != serving)
          dirty_.serving = true;
      }
      [[fallthrough]];
    case RecordKind::kPlanSlice:
      dirty_.plans = true;
      return;
    case RecordKind::kEvent:
      return;
    case RecordKind::kReach:
      return Reach(ReachSaid{change.record.key.owner, change.record.body});
  }
}

// ------------------------------------------------------------------------------------------------ replicas

void Node::Impl::On(const ReplicaChanged& change) {
  dirty_.statuses = true;
  if (!change.after) {
    // A node that gives its work away is a worker until the last of it is gone.
    if (supervisor_.statuses().empty()) lead_at_ = now_.mono;
    Emit("replica.gone", ReplicaNews(change), change.cause);
    return;
  }
  const bool moved = !change.before || change.before->state != change.after->state;
  const bool turned = change.before && change.before->health != change.after->health &&
                      change.after->health == Health::kUnhealthy;
  if (moved) {
    Emit(std::string("replica.") + ToString(change.after->state), ReplicaNews(change), change.cause);
  } else if (turned) {
    Emit("replica.unhealthy", ReplicaNews(change), change.cause);
  }
}

void Node::Impl::On(const NodeProvenDead& proof) { AsMember(Membership::MarkDead{proof.node, proof.cause}); }

// ------------------------------------------------------------------------------------------------ helpers

// By the clocks of all: with a calendar a year ahead this node's events would outlive everybody's.
Event Node::Impl::EventOf(const std::string& kind, const std::string& subject,
                          const std::string& cause) const {
  return {intent_.MedianNow(now_.wall_ms), self_, kind, subject, cause};
}

void Node::Impl::Emit(const std::string& kind, const std::string& subject, const std::string& cause) {
  Event event = EventOf(kind, subject, cause);
  Observe(PublishEvent{event});
  outputs_.emplace_back(EmitEvent{std::move(event)});
}

void Node::Impl::Note(const std::string& kind, const std::string& subject, const std::string& cause) {
  outputs_.emplace_back(EmitEvent{EventOf(kind, subject, cause)});
}

std::string Node::Impl::NameOf(NodeId node) const {
  const auto member = membership_.members().find(node);
  return member == membership_.members().end() ? node.Short() : member->second.meta->name;
}

}  // namespace hs
