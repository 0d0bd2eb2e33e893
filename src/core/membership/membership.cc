#include "core/membership/membership.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace hs {
namespace {

constexpr Duration kForgetAfter = 72h;
constexpr Duration kAgePause = 1s;  // not more often are all looked at for having been so for long
// Twice the time a datagram takes on a slow link: the second round of goodbyes reaches who missed the first.
constexpr Duration kLeaveAgain = 80ms;
constexpr Duration kLeaveWait = 200ms;
constexpr Duration kHoldPause = 150ms;
constexpr Duration kLateExchange = 5s;
constexpr std::uint32_t kSequencesApart = 1 << 24;
constexpr Duration kLatenessWindow = 5s;
// Any box is so late now and then; the usual waits allow for it.
constexpr Duration kLateUsual = 20ms;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

// What a member contributes to the digest: nothing unless present, so that forgetting the gone changes
// nothing.
std::uint64_t DigestOf(const Member& member) {
  if (!IsPresent(member.state)) return 0;
  const std::uint64_t life = std::uint64_t{member.incarnation.boot} << 32 | member.incarnation.counter;
  return Mix64(member.id.Prefix64() ^ Mix64(life));
}

}  // namespace

Membership::Membership(const Tunables& tunables, MembershipSelf self, Prng prng, Time start)
    : tunables_(tunables),
      self_(self.id),
      boot_id_(self.boot_id),
      boot_counter_(self.boot_counter),
      started_(start),
      prng_(prng),
      now_{start, 0},
      present_(prng_.Fork()),
      late_window_(start),
      grace_until_(start) {
  HS_CHECK(self.id);
  // Elsewhere in each life, so that an answer to a former life's question answers none of this one's.
  next_sequence_ += static_cast<std::uint32_t>(Mix64(self.boot_id.value) % kSequencesApart);
  Member me;
  me.id = self.id;
  me.boot_id = self.boot_id;
  me.incarnation = {self.boot_counter, 0};
  me.meta = std::move(self.meta);
  me.state_since = me.alive_since = start;
  me.seen_this_run = true;
  digest_ = DigestOf(me);
  queue_.Put(UpdateOf(me));
  members_.emplace(self_, std::move(me));
  listens_since_ = start;
  // Nodes started together should not probe together.
  Arm(start + prng_.Between(0ms, tunables_.probe_interval), TimerKind::kProbeTick);
  Arm(start + prng_.Between(0ms, tunables_.push_pull_interval), TimerKind::kPushPull);
}

void Membership::Wake(Now now) {
  // The clock of a leaving or frozen box may stand still, but never runs back.
  const Time due = NextDeadline();
  now_ = now;
  const Duration late = due == kNever ? Duration{} : std::max(Duration{}, now.mono - due);
  // A long sleep says nothing of how late this box is while it is awake.
  NoteLateness(Slept(late) ? Duration{} : std::clamp(late - kLateUsual, Duration{}, tunables_.late_wake));
  if (late > tunables_.late_wake) OnLateWake(late);
}

void Membership::NoteLateness(Duration late) {
  if (now_.mono - late_window_ >= kLatenessWindow) {
    late_before_ = now_.mono - late_window_ < 2 * kLatenessWindow ? late_ : Duration{};
    late_ = {};
    late_window_ = now_.mono;
  }
  late_ = std::max(late_, late);
}

std::vector<Membership::Output> Membership::Step(Now now, const Input& input) {
  Wake(now);
  std::visit(
      Overloaded{[](const Tick&) {}, [&](const DatagramReceived& in) { OnDatagram(in); },
                 [&](const PushPullReceived& in) { OnPushPull(in.from, in.message); },
                 [&](const LinkUp& in) { Connected(in.peer); }, [&](const LinkDown& in) { OnLinkDown(in); },
                 [&](const ConnectOutcome& in) { OnConnect(in); },
                 [&](const SetMeta& in) { OnMeta(in.meta); }, [&](const Seeds& in) { OnSeeds(in); },
                 [&](const SetDigests& in) {
                   intent_digest_ = in.intent;
                   observation_digest_ = in.observation;
                   region_digest_ = in.region;
                 },
                 [&](const SetRegion& in) {
                   region_ = in.members;
                   ring_changed_ = true;
                 },
                 [&](const MarkDead& in) { OnMarkDead(in); }, [&](const Removed& in) { OnRemoved(in); },
                 [&](const AnsweredElsewhere& in) { OnAnsweredElsewhere(in.id); },
                 [&](const Hint& in) { OnHint(in); }, [&](const Leave&) { OnLeave(); }},
      input);
  return Finish();
}

std::vector<Membership::Output> Membership::Hear(Now now, const DatagramReceived& datagram) {
  Wake(now);
  OnDatagram(datagram);
  return Finish();
}

std::vector<Membership::Output> Membership::Hear(Now now, NodeId from, const PushPull& table) {
  Wake(now);
  OnPushPull(from, table);
  return Finish();
}

std::vector<Membership::Output> Membership::Finish() {
  while (timers_.Next() <= now_.mono) Fire(timers_.TakeFirst());
  // A newcomer takes its place at once. Later each change moves a few links, which costs handshakes on both
  // sides: those of one burst are moved together, and not while news of the change is on its way.
  if (ring_changed_ && held_.empty()) {
    HoldRing();
  } else if (ring_changed_ && !ring_armed_) {
    ring_armed_ = true;
    Arm(now_.mono + kHoldPause, TimerKind::kHoldRing);
  }
  FlushUrgent();
  return std::exchange(out_, {});
}

Time Membership::NextDeadline() const { return timers_.Next(); }

std::vector<NodeId> Membership::PresentIds() const {
  std::vector<NodeId> ids;
  for (const auto& [id, member] : members_) {
    if (IsPresent(member.state)) ids.push_back(id);
  }
  return ids;
}

std::uint32_t Membership::MembersDigest() const {
  const auto folded = static_cast<std::uint32_t>(digest_ ^ digest_ >> 32);
  return folded == 0 ? 1 : folded;  // 0 means "not said"
}

Membership::Timers::Handle Membership::Arm(Time at, TimerKind kind, std::uint64_t number) {
  return timers_.Arm(at, Timer{kind, 0, number});
}

void Membership::ArmForGood(Time at, TimerKind kind, NodeId id, std::uint64_t number) {
  timers_.ArmForGood(at, Timer{kind, SlotOf(id), number});
}

void Membership::Fire(const Timer& timer) {
  const auto sequence = static_cast<std::uint32_t>(timer.number);
  const NodeId id = members_.Of(timer.slot).id;  // zero: forgotten since
  switch (timer.kind) {
    case TimerKind::kProbeTick:
      ProbeNext();
      Arm(now_.mono + Scaled(tunables_.probe_interval), TimerKind::kProbeTick);
      return;
    case TimerKind::kProbeTimeout:
      return OnProbeTimeout(sequence);
    case TimerKind::kProbeEnd:
      return OnProbeEnd(sequence);
    case TimerKind::kRelay:
      return OnRelayEnd(sequence);
    case TimerKind::kSuspicion:
      return OnSuspicionEnd(id);
    case TimerKind::kClaimWiden:
      return SendClaims(id);
    case TimerKind::kTellAll:
    case TimerKind::kTellUntold:
      return OnTurn(id, timer.number, timer.kind == TimerKind::kTellUntold);
    case TimerKind::kConnectAgain:
      return Connect(id, true, static_cast<int>(timer.number));
    case TimerKind::kHoldRing:
      return HoldRing();
    case TimerKind::kRetry:
      retry_ = {};
      return RetryOne();
    case TimerKind::kPushPull:
      return PushPullOne();
    case TimerKind::kAge:
      return OnAge();
    case TimerKind::kGoAbove:
      return GoAbove();
    case TimerKind::kLeaveAgain:
      return Spread(UpdateOf(self()), true);
    case TimerKind::kLeaveDone:
      timers_.Clear();
      retry_ = age_ = {};
      out_.emplace_back(LeaveDone{});
      return;
  }
}

// When it enters another state just by being as it is for so long.
Time Membership::AgesAt(const Member& member) const {
  if (member.id == self_) return kNever;
  if (member.state == MemberState::kUnreachable) return member.state_since + tunables_.dead_after;
  const bool ended = member.state == MemberState::kDead || member.state == MemberState::kLeft;
  return ended ? member.state_since + kForgetAfter : kNever;
}

// One timer for all, the earliest: half of a large cluster may be silent.
void Membership::ArmAge(Time at) {
  if (age_.at <= at) return;
  timers_.Disarm(age_);
  age_ = Arm(at, TimerKind::kAge);
}

void Membership::OnAge() {
  age_ = {};
  std::vector<NodeId> due;
  Time next = kNever;
  for (const auto& [id, member] : members_) {
    const Time at = AgesAt(member);
    if (at <= now_.mono)
      due.push_back(id);
    else
      next = std::min(next, at);
  }
  for (const NodeId& id : due) {
    if (At(id).state != MemberState::kUnreachable) {
      Forget(id);
      continue;
    }
    Member after = At(id);
    after.state = MemberState::kDead;
    Replace(std::move(after), "silent for longer than dead_after");
  }
  if (next != kNever) ArmAge(std::max(next, now_.mono + kAgePause));
}

void Membership::Forget(NodeId id) {
  const Slot slot = SlotOf(id);
  CancelRetry(slot);
  peers_.Forget(slot);
  queue_.Erase(id);
  refusals_.Forget(id);
  members_.erase(id);
}

// This node was stopped, swapped out or starved: whoever seems not to have answered may have answered long
// ago, with the answer still in a socket buffer or thrown away. So it blames nobody for that time.
void Membership::OnLateWake(Duration late) {
  ForgetProbes();
  relays_.clear();
  AddHealth(late > tunables_.probe_interval ? 2 : 1);
  grace_until_ = now_.mono + (Slept(late) ? tunables_.probe_interval : Scaled(tunables_.probe_interval));
  for (const auto& [id, member] : members_) {
    const Slot slot = SlotOf(id);
    peers_.CardOf(slot).differs_since = {};
    Folder* folder = peers_.Find(slot);
    if (folder == nullptr) continue;
    folder->failed_at = {};
    if (!folder->suspicion) continue;
    folder->suspicion->Restart(now_.mono);
    folder->suspicion->RemoveWitness(self_);
    if (folder->suspicion->witnesses()->empty()) {
      WithdrawSuspicion(id, self_, "withdrawn: this node itself had slept");
    } else {
      ArmSuspicion(id);
    }
  }
  if (!Slept(late)) return;  // on a box without CPU this comes again and again
  listens_since_ = now_.mono;
  // Much may have happened meanwhile, and the box may be cut off: then it is to know soon.
  if (now_.mono >= sweep_next_) {
    sweep_next_ = now_.mono + Scaled(kSweepPause);
    CallRoll();
  }
  if (MayExchange(kLateExchange)) Arm(now_.mono, TimerKind::kPushPull);
}

void Membership::OnMeta(const MemberMeta& meta) {
  if (leaving_ || *self().meta == meta) return;
  Member after = self();
  after.meta = meta;
  ++after.incarnation.counter;
  Replace(after, "changed its metadata");
  Spread(UpdateOf(after), true);
}

void Membership::OnLeave() {
  if (leaving_) return;
  leaving_ = true;
  Member after = self();
  after.state = MemberState::kLeft;
  ++after.incarnation.counter;
  Replace(after, "leaves on request");
  probes_.clear();
  timers_.Clear();
  retry_ = age_ = {};
  ring_armed_ = false;
  if (present_.size() == 0) {
    Arm(now_.mono, TimerKind::kLeaveDone);
    return;
  }
  Spread(UpdateOf(after), true);
  Arm(now_.mono + kLeaveAgain, TimerKind::kLeaveAgain);
  Arm(now_.mono + kLeaveWait, TimerKind::kLeaveDone);
}

// Controller and stand-by find it at the same moment, while the news that its agent is gone is on its way.
void Membership::OnMarkDead(const MarkDead& order) {
  const Member* member = Find(order.id);
  if (member == nullptr || order.id == self_) return;
  if (member->state != MemberState::kAgentDown && member->state != MemberState::kUnreachable) return;
  Member after = *member;
  after.state = MemberState::kDead;
  Replace(after, order.cause, true);
  const bool first = self().meta->roles.controller;
  TellLater(order.id, first ? 1 : 2, !first);
}

void Membership::OnRemoved(const Removed& removed) {
  removed_ = removed.ids;
  for (const NodeId& id : removed_) {
    const Member* member = Find(id);
    if (member == nullptr || id == self_ || member->state == MemberState::kLeft) continue;
    Member after = *member;
    after.state = MemberState::kLeft;
    // Everyone judges by the same document, so nobody has to be told.
    Replace(std::move(after), "was removed from the cluster");
  }
}

std::uint64_t Membership::StateNumber(const Member& member) {
  return static_cast<std::uint64_t>(member.state_since.time_since_epoch().count());
}

MemberUpdate Membership::UpdateOf(const Member& member) const {
  // Of most members nothing is asked but what they say themselves.
  return UpdateOf(member, member.state == MemberState::kAlive ? nullptr : peers_.Find(SlotOf(member.id)));
}

MemberUpdate Membership::UpdateOf(const Member& member, const Folder* folder) {
  MemberUpdate update{member.id, member.boot_id, member.incarnation, member.state, {}, {}};
  if (member.state == MemberState::kAlive) update.meta = member.meta;
  if (member.state == MemberState::kAlive || member.state == MemberState::kLeft || folder == nullptr)
    return update;
  if (member.state != MemberState::kSuspect) {
    update.witnesses = folder->gone_witnesses;
  } else if (folder->suspicion) {
    update.witnesses = folder->suspicion->witnesses();
  }
  return update;
}

// The one place where a member's record changes: keeps the indices in step and tells.
void Membership::Replace(Member after, std::string cause, bool first_hand) {
  std::optional<Member> before;
  if (const Member* known = Find(after.id)) before = *known;
  const bool was_present = before && IsPresent(before->state);
  const bool is_present = IsPresent(after.state);
  const std::uint64_t change = (before ? DigestOf(*before) : 0) ^ DigestOf(after);
  digest_ ^= change;
  if (change != 0 && changes_.Take(now_.mono, 1) == 0) {
    if (now_.mono >= storm_until_) storm_since_ = now_.mono;
    storm_until_ = now_.mono + kDigestLife;
  }
  if (!before || before->state != after.state) after.state_since = now_.mono;
  if (is_present) after.seen_this_run = true;

  Member& kept = members_[after.id];
  if (after.id != self_) {
    const Slot slot = SlotOf(after.id);
    if (const auto stranger = strangers_.find(after.id); !before && stranger != strangers_.end()) {
      peers_.FolderOf(slot).pushed_at = stranger->second;
      strangers_.erase(stranger);
    }
    if (is_present && !was_present) {
      after.alive_since = now_.mono;
      if (before && before->state != MemberState::kLeft) {
        after.quarantined_until = peers_.FolderOf(slot).quarantine.OnReturn(
            now_.mono, tunables_.quarantine_base, tunables_.quarantine_max);
      }
      present_.Insert(slot);
      CancelRetry(slot);
      if (Folder* folder = peers_.Find(slot)) folder->retry_wait = {};
    } else if (!is_present && was_present) {
      present_.Erase(slot);
    }
    if (Folder* folder = peers_.Find(slot)) {
      if (after.state != MemberState::kSuspect) folder->suspicion.reset();
      if (is_present) folder->gone_witnesses = {};
    }
    if (!is_present && (was_present || !before) && after.state != MemberState::kLeft)
      ScheduleRetry(after.id, 0ms);
    if (!before || before->state != after.state) ArmAge(AgesAt(after));
  }
  const bool moved = !before || before->meta->address != after.meta->address;
  if (was_present != is_present || (is_present && moved)) ring_changed_ = true;
  kept = after;
  out_.emplace_back(MemberChanged{std::move(before), std::move(after), std::move(cause), first_hand});
}

void Membership::HoldRing() {
  ring_changed_ = ring_armed_ = false;
  HoldLinks hold;
  if (!leaving_) {
    const auto neighbours = static_cast<std::size_t>(tunables_.ring_neighbours);
    std::vector<NodeId> ids = PresentRing().Holds(self_, neighbours);
    const Ring region(members_, [this](const Member& member) { return region_.contains(member.id); });
    if (!region_.empty()) {
      for (const NodeId& id : region.Holds(self_, neighbours)) {
        if (Present(id)) ids.push_back(id);
      }
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const NodeId& id : ids) hold.peers.emplace_back(id, At(id).meta->address);
  }
  if (hold.peers == held_) return;
  held_ = hold.peers;
  out_.emplace_back(std::move(hold));
}

Ring Membership::PresentRing() const {
  return {members_, [](const Member& member) { return IsPresent(member.state); }};
}

Membership::Slot Membership::SlotOf(NodeId id) const {
  const Slot slot = members_.SlotOf(id);
  HS_CHECK(slot != MemberTable::kNone);
  return slot;
}

// Whatever of our own attempts failed, it is there.
void Membership::HeardWell(Slot slot) {
  if (Folder* folder = peers_.Find(slot)) folder->failed_at = {};
}

// Zero: never.
Time Membership::PushedAt(NodeId id) const {
  const Slot slot = members_.SlotOf(id);
  if (slot != MemberTable::kNone) {
    const Folder* folder = peers_.Find(slot);
    return folder == nullptr ? Time{} : folder->pushed_at;
  }
  const auto stranger = strangers_.find(id);
  return stranger == strangers_.end() ? Time{} : stranger->second;
}

bool Membership::Present(NodeId id) const {
  const Member* member = Find(id);
  return member != nullptr && IsPresent(member->state);
}

void Membership::AddHealth(int delta) {
  health_ = std::clamp(health_ + delta, 0, static_cast<int>(tunables_.health_multiplier_max) - 1);
}

}  // namespace hs
