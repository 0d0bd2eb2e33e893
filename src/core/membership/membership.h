// Who is here: SWIM with Lifeguard, made faster by positive evidence.
//
// Intuition: a village without a mayor. Everyone greets one neighbour after the other; who does not answer is
// greeted by a few others too, before anyone says aloud that he may be gone, and he may object. Slamming a
// door in front of two witnesses needs no such patience: that he is out is a fact, though his house may still
// stand.
//
// What is known about a member is one value ordered by (incarnation, rank of state); the greater wins, and
// only the member itself raises its incarnation:  alive < suspect < unreachable < agent-down < dead < left.
//
// How silence is found in about a second for little traffic:
//   0 ms   ping          (one member per probe_interval; every other turn the ring neighbour, for a while)
//   200 ms three relays are asked, of many members some more; each answers within 150 ms, with a Nack if it
//   got no answer either 400 ms suspicion, with the relays that said Nack as witnesses: they tried for
//   themselves, so the
//          suspicion starts confirmed and lasts its shortest time. The suspect is told first, and so is
//          everyone else.
//   +300 ms * log10(n), if it does not refute: unreachable; everyone is told at once.
// Where a relay says nothing either, this node may be cut off with a few others, or alone. Asking one member
// per interval, ever slower for its growing health multiplier, it would take longer the more are gone. So it
// asks up to 32 at once whom it has not heard since, at the usual pace. As many witnesses shorten a suspicion
// to its least as there are members to be heard, three at the most: with one companion that is he, and
// whoever hears nobody waits for none. A prober that is itself deaf harms only itself: nobody takes
// 'unreachable' from one witness alone for more than a suspicion.
//
// Invariants:
//  1. Only a member itself raises its incarnation. A record never goes back in (incarnation, rank), save from
//     suspect to alive where this node dropped a suspicion of its own.
//  2. A present member becomes unreachable, agent-down or dead on two witnesses, or on this node's own
//     evidence after the longest wait, or where no other member could witness or be heard.
//  3. A node that slept accuses nobody of what happened while it slept.
//  4. Every datagram stays under kDatagramBytes; traffic per node depends on the size of the cluster only by
//  how much happens in it.
//  5. Same history in, same outputs out.
// It does not decide what anyone does about a member's state, and it sends no bytes itself.
//
// Sources: Das, Gupta, Motivala, "SWIM", DSN 2002. Dadgar, Phillips, Currey, "Lifeguard", DSN 2018.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "base/timer_queue.h"
#include "base/token_bucket.h"
#include "base/tunables.h"
#include "core/membership/gossip_queue.h"
#include "core/membership/peer_book.h"
#include "core/membership/probe_order.h"
#include "core/membership/refusals.h"
#include "core/membership/ring.h"
#include "core/messages.h"
#include "core/node/contract.h"
#include "core/types.h"

namespace hs {

struct MembershipSelf {
  NodeId id;
  BootId boot_id;
  std::uint32_t boot_counter = 0;
  MemberMeta meta;
};

class Membership {
 public:
  // ---- inputs beside those of contract.h
  struct PushPullReceived {
    NodeId from;
    PushPull message;
  };
  // This node's own metadata changed.
  struct SetMeta {
    MemberMeta meta;
  };
  // Where others may be found. Zero id: whoever answers there.
  struct Seeds {
    std::vector<std::pair<NodeId, Endpoint>> peers;
  };
  // Stamped on every message from now on.
  struct SetDigests {
    std::uint64_t intent = 0;
    std::uint64_t observation = 0;
    std::uint64_t region = 0;
    friend bool operator==(const SetDigests&, const SetDigests&) = default;
  };
  // The members of this node's region while there are several: it keeps links to some of them besides.
  struct SetRegion {
    std::set<NodeId> members;  // includes self; empty: there is one region
  };
  // Proof from elsewhere that the work of a member whose agent is down is gone too. Ignored for present
  // members.
  struct MarkDead {
    NodeId id;
    std::string cause;
  };
  // Nodes that people removed, the whole set: they count as gone, and nothing that they or others say of them
  // is believed until they are out of the set again.
  struct Removed {
    std::set<NodeId> ids;
  };
  // A relay got an answer from it: it lives, though our own questions may stay without one.
  struct AnsweredElsewhere {
    NodeId id;
  };
  // This member may be found there: it is pinged once.
  struct Hint {
    NodeId id;
    Endpoint address;
  };
  struct Leave {};
  using Input =
      std::variant<Tick, DatagramReceived, PushPullReceived, LinkUp, LinkDown, ConnectOutcome, SetMeta, Seeds,
                   SetDigests, SetRegion, MarkDead, Removed, AnsweredElsewhere, Hint, Leave>;

  // ---- outputs beside those of contract.h (SendDatagram, SendLink, HoldLinks, TryConnect)
  struct MemberChanged {
    std::optional<Member> before;  // nothing: new here
    Member after;
    std::string cause;  // one sentence
    // Judged here, or heard from the member itself; otherwise passed on by others, who told of it already.
    bool first_hand = false;
  };
  // The peer's calendar clock minus ours, corrected by half the round trip.
  struct ClockSample {
    NodeId peer;
    std::int64_t offset_ms = 0;
  };
  struct PeerDigests {
    NodeId peer;
    std::uint64_t intent = 0;
    std::uint64_t observation = 0;
    std::uint64_t region = 0;
  };
  // Someone else lives with our id, and it is this node that has to take another: a copied data directory.
  // Said once.
  struct IdentityConflict {
    BootId boot_id;
    Endpoint address;
  };
  // A ping of ours to a present member was answered by itself, or was not within probe_timeout.
  struct PingAnswered {
    NodeId peer;
    Duration round_trip{};
  };
  struct PingMissed {
    NodeId peer;
  };
  struct LeaveDone {};
  using Output = std::variant<SendDatagram, SendLink, HoldLinks, TryConnect, MemberChanged, ClockSample,
                              PeerDigests, IdentityConflict, PingAnswered, PingMissed, LeaveDone>;

  // Attempts of ours carry this bit; other outcomes are ignored.
  static constexpr std::uint64_t kAttemptBit = std::uint64_t{1} << 62;
  // Of one datagram's content, before sealing.
  static constexpr std::size_t kDatagramBytes = 1150;

  // Up to this many members the node where news starts tells everyone itself: one hop, one packet each.
  // Above, each first hearer tells `eager_fanout` more.
  static constexpr std::size_t kTellAll = 80;
  // Who tells may count some more members, or fewer, than those who hear it.
  static constexpr std::size_t kTellMargin = 16;
  // Above this size a table costs so much that those which agree are exchanged more rarely, so that each node
  // sends as much of them, and that a digest heard so long ago counts for nothing.
  static constexpr std::size_t kSmallCluster = 64;
  static constexpr Duration kDigestLife = 10s;  // except in a storm of changes
  // Above this size a table is so large that not all may exchange theirs at once.
  static constexpr std::size_t kExchangersMax = 256;
  // No node starts or refutes as often. Whoever went above a number near the end would begin at zero again,
  // and nobody would believe it any more.
  static constexpr std::uint32_t kIncarnationMax = std::uint32_t{1} << 31;
  static constexpr Duration kSweepPause = 1s;  // not more often are all asked whether they are there

  Membership(const Tunables& tunables, MembershipSelf self, Prng prng, Time start);

  std::vector<Output> Step(Now now, const Input& input);
  // The same for what comes most often and is large: without a copy.
  std::vector<Output> Hear(Now now, const DatagramReceived& datagram);
  std::vector<Output> Hear(Now now, NodeId from, const PushPull& table);
  Time NextDeadline() const;

  const MemberTable& members() const { return members_; }  // others and self
  const Member& self() const { return At(self_); }
  std::vector<NodeId> PresentIds() const;  // sorted; includes self unless it left
  std::size_t PresentCount() const { return present_.size() + 1; }
  int health_score() const { return health_; }  // 0: all well; Lifeguard's local health
  // The longest that this node woke after it should have, of the last 10 s or so, up to late_wake. Others, or
  // what lies on the way to them, may be as late.
  Duration lateness() const { return std::max(late_, late_before_); }
  // Equal on two nodes that see the same present members in the same incarnations.
  std::uint32_t MembersDigest() const;

 private:
  enum class TimerKind : std::uint8_t {
    kProbeTick,
    kProbeTimeout,
    kProbeEnd,
    kRelay,
    kSuspicion,
    kClaimWiden,
    kTellAll,
    kTellUntold,
    kConnectAgain,
    kHoldRing,
    kRetry,
    kPushPull,
    kAge,
    kGoAbove,
    kLeaveAgain,
    kLeaveDone
  };
  struct Timer {
    TimerKind kind;
    MemberTable::Slot slot = 0;  // of the member it is about, where it is about one
    std::uint64_t number = 0;
  };
  using Timers = TimerQueue<Timer>;
  enum class ProbeKind : std::uint8_t { kRegular, kConfirm, kRetry, kSweep };
  struct Probe {
    NodeId target;  // zero: whoever is there
    Endpoint address;
    ProbeKind kind = ProbeKind::kRegular;
    Time sent;
    std::vector<NodeId> asked;
    std::vector<NodeId> nacked;
    // Most probes are answered: then nobody need wake for these.
    Timers::Handle timeout;
    Timers::Handle end;
  };
  struct Relay {
    NodeId requester;
    Endpoint requester_address;
    std::uint32_t requester_sequence = 0;
    NodeId target;
  };
  using Slot = MemberTable::Slot;
  using Card = PeerBook::Card;
  using Folder = PeerBook::Folder;
  using Witnesses = SharedValue<std::vector<NodeId>>;
  struct Attempt {
    NodeId target;
    bool broke = false;  // a link broke just before: an accepted connection may be to a dying listener
    int tries = 0;
  };
  struct Seed {
    NodeId id;
    Endpoint address;
    Time next_try{};
    Duration wait{};
    bool answered = false;
  };
  // Another start of this node that is said to be alive: its former life, or somebody on a copy of its disk.
  struct Namesake {
    BootId boot_id;
    Endpoint address;
    std::uint32_t question = 0;  // what was asked, there or of one before; 0: nothing
    Time asked_at{};
    Time told_at{};
    bool met_young = false;  // when this node had just started
    Incarnation above;       // the latest life it was heard in, where that is not below ours
    bool armed = false;      // a timer to go above it
    Time raised_at{};
    int raised = 0;  // so often this node went above it
  };
  enum class Source : std::uint8_t { kGossip, kExchange };

  // membership.cc
  Timers::Handle Arm(Time at, TimerKind kind, std::uint64_t number = 0);
  void ArmForGood(Time at, TimerKind kind, NodeId id, std::uint64_t number = 0);
  void Wake(Now now);
  std::vector<Output> Finish();
  void Fire(const Timer& timer);
  void NoteLateness(Duration late);
  bool Slept(Duration late) const {
    return late > std::max<Duration>(tunables_.late_wake, 2 * tunables_.probe_interval);
  }
  void OnLateWake(Duration late);
  Time AgesAt(const Member& member) const;
  void ArmAge(Time at);
  void OnAge();
  void Forget(NodeId id);
  void OnMeta(const MemberMeta& meta);
  void OnLeave();
  void OnMarkDead(const MarkDead& order);
  void OnRemoved(const Removed& removed);
  MemberUpdate UpdateOf(const Member& member) const;
  static MemberUpdate UpdateOf(const Member& member, const Folder* folder);
  // When its state began, for timers that are void once it has another.
  static std::uint64_t StateNumber(const Member& member);
  void Replace(Member after, std::string cause, bool first_hand = false);
  void HoldRing();
  std::size_t Limit() const;
  Duration Scaled(Duration base) const { return base * (1 + health_); }
  void AddHealth(int delta);
  // Of members; others have no place in the book.
  Card& CardOf(NodeId id) { return peers_.CardOf(SlotOf(id)); }
  Folder& FolderOf(NodeId id) { return peers_.FolderOf(SlotOf(id)); }
  Slot SlotOf(NodeId id) const;
  void HeardFrom(NodeId from, Slot slot);
  void HeardWell(Slot slot);
  Time PushedAt(NodeId id) const;
  const Member* Find(NodeId id) const { return members_.Find(id); }
  const Member& At(NodeId id) const { return members_.at(id); }
  bool Present(NodeId id) const;
  Ring PresentRing() const;

  // membership_send.cc
  GossipMessage Message(GossipBody body, std::vector<MemberUpdate> first = {});
  void Send(NodeId to, Endpoint address, GossipBody body, std::vector<MemberUpdate> first = {});
  void SendTo(NodeId to, GossipBody body, std::vector<MemberUpdate> first = {});
  void Spread(const MemberUpdate& update, bool origin, NodeId heard_from = {});
  void FlushUrgent();
  void SendPushPull(NodeId to, Endpoint address, bool reply_wanted);
  std::vector<MemberUpdate> Table() const;

  // membership_probe.cc
  void ProbeNext();
  void StartProbe(NodeId target, Endpoint address, ProbeKind kind);
  void ForgetProbes();
  void OnProbeTimeout(std::uint32_t sequence);
  std::size_t Relays() const;
  void OnProbeEnd(std::uint32_t sequence);
  void Sweep(const Probe& unheard);
  void CallRoll(const std::vector<Slot>& except = {});
  int HeardOfLate() const;  // so many others, three at the most
  void OnRelayEnd(std::uint32_t sequence);
  void OnDatagram(const DatagramReceived& datagram);
  void OnPing(const DatagramReceived& datagram, const Ping& ping, bool was_known);
  void OnPingRequest(const DatagramReceived& datagram, const PingRequest& request);
  void OnAck(const DatagramReceived& datagram, std::uint32_t sequence);
  void OnNack(NodeId from, std::uint32_t sequence);
  void OnAnsweredElsewhere(NodeId id);
  void OnHeardFrom(NodeId from, Endpoint address);
  void OnPeerDigest(NodeId from, std::uint32_t digest);
  bool MayExchange(Duration pause);
  bool MyTurn();
  void Suspect(NodeId target, const std::vector<NodeId>& witnesses, Source source, NodeId heard_from,
               const Witnesses& heard = {});
  void OnSuspicionEnd(NodeId target);
  void WithdrawSuspicion(NodeId target, NodeId witness, std::string cause);
  void ArmSuspicion(NodeId target);
  Time DeadlineOf(const Suspicion& suspicion) const;

  // membership_updates.cc
  void Apply(const MemberUpdate& update, NodeId from, Source source);
  void ApplyNew(const MemberUpdate& update, NodeId from, MemberState state, const Witnesses& gone = {});
  void ApplyAlive(const Member& member, const MemberUpdate& update, NodeId from);
  void ApplySuspect(const Member& member, const MemberUpdate& update, NodeId from, Source source);
  void ApplyGone(const Member& member, const MemberUpdate& update, NodeId from, Source source);
  bool SawItself(const MemberUpdate& update);
  void OnNewsAboutSelf(const MemberUpdate& update, NodeId from);
  void RaiseIncarnation(Incarnation above, std::string cause);
  void Correct(NodeId from, const Member& member);
  std::vector<NodeId> Credible(const std::vector<NodeId>& witnesses, NodeId accused) const;
  std::vector<const MemberUpdate*> NewsOf(const PushPull& table) const;
  bool IsDispute(const MemberUpdate& update) const;
  std::vector<NodeId> PickDisputes(const std::vector<const MemberUpdate*>& news) const;
  void OnPushPull(NodeId from, const PushPull& table);

  // membership_namesake.cc
  void TellWhereItIsKnown(const Member& member, Endpoint address);
  void OnOtherLife(const MemberUpdate& update, NodeId from);
  void OnNamesake(const DatagramReceived& datagram);
  void AskNamesake();
  void TellNamesake();
  void GoAboveLater(Incarnation life);
  void GoAbove();
  bool IsYoung() const;
  void Yield(Endpoint to);

  // membership_evidence.cc
  void OnLinkDown(const LinkDown& down);
  void Connect(NodeId target, bool broke, int tries);
  void OnConnect(const ConnectOutcome& outcome);
  void Connected(NodeId peer);
  void OnClaim(const DatagramReceived& datagram, const RefusalClaim& claim);
  bool Decide(NodeId target, bool unanswered = false);  // true: its attempt just now got no answer
  void SendClaims(NodeId target);
  void TellInTurn(NodeId target);
  void TellLater(NodeId target, int turns, bool unless_told);
  void OnTurn(NodeId target, std::uint64_t state, bool unless_told);

  // membership_retry.cc
  void OnSeeds(const Seeds& seeds);
  void OnHint(const Hint& hint);
  void RetryOne();
  bool RetrySeed();
  bool RetryGone();
  void ScheduleRetry(NodeId id, Duration wait);
  void CancelRetry(Slot slot);
  bool RetriesLater(const std::pair<Time, Slot>& a, const std::pair<Time, Slot>& b) const;
  bool IsValidRetry(const std::pair<Time, Slot>& retry) const;
  Time NextRetry();
  void RetrySilentSoon();
  void ArmRetry(Time at);
  void PushPullOne();

  Tunables tunables_;
  NodeId self_;
  BootId boot_id_;
  std::uint32_t boot_counter_;  // of this start; the incarnation may have had to go above others since
  Time started_;
  Prng prng_;
  Now now_;
  std::vector<Output> out_;

  MemberTable members_;
  PeerBook peers_;
  LastHeard heard_;
  std::map<NodeId, Time> strangers_;  // when a table was last sent to who is no member
  std::set<NodeId> removed_;
  ProbeOrder present_;            // others only
  std::set<NodeId> region_;       // the members of our region; empty while there is one
  std::vector<NodeId> disputes_;  // of the table being read: whom it calls gone, to be followed up; sorted
  std::uint64_t digest_ = 0;
  GossipQueue queue_;
  RefusalBook refusals_;
  Timers timers_;
  Timers::Handle retry_;  // the one of kind kRetry
  Timers::Handle age_;
  std::map<std::uint32_t, Probe> probes_;
  std::map<std::uint32_t, Relay> relays_;
  std::map<std::uint64_t, Attempt> attempts_;
  std::vector<Seed> seeds_;
  // Members no longer present, by when to try them again: a heap. One that says another time than the
  // member's folder is void.
  std::vector<std::pair<Time, Slot>> retries_;
  std::size_t retries_valid_ = 0;
  std::vector<std::pair<NodeId, Endpoint>> held_;

  // News to be sent at the end of this step, by member; true: this node is where it started.
  struct Urgent {
    bool origin = false;
    NodeId heard_from;
    Witnesses accusers;  // whom a member refuted
  };
  std::map<NodeId, Urgent> urgent_;
  // Eager packets are a luxury, since piggy-backing carries the same news: a burst for the largest cluster
  // told directly, several times over, and a pace that a storm of news cannot exceed.
  TokenBucket eager_{512, 128};
  // Changes of the digest in peace: more of them are a storm.
  TokenBucket changes_{16, 1};
  Time storm_until_{};
  Time storm_since_{};

  std::uint64_t intent_digest_ = 0;
  std::uint64_t observation_digest_ = 0;
  std::uint64_t region_digest_ = 0;
  std::uint32_t next_sequence_ = 1;
  std::uint64_t next_attempt_ = 1;
  int health_ = 0;
  Duration late_{};  // longest of this window
  Duration late_before_{};
  Time late_window_;
  std::size_t push_pulls_skipped_ = 0;
  Time grace_until_;              // woke late: before, only a roll that it calls accuses
  Time sweep_next_{};             // not before
  Time listens_since_;            // its start, or the end of its last sleep
  Time exchange_next_{};          // a whole table because of some difference: not before
  Time exchange_turn_{};          // of a large cluster: not before, since it found that it differs
  Time retry_soon_next_{};        // all who were silent, since one is back: not before
  bool probe_neighbour_ = false;  // turn of the ring neighbour, not of the random order
  bool ring_changed_ = false;     // and not yet told by HoldLinks
  bool ring_armed_ = false;
  bool leaving_ = false;
  bool joined_ = false;  // had a whole table from someone
  bool yielded_ = false;
  std::optional<Namesake> namesake_;  // the one heard of last
  Time tell_where_next_{};  // somebody that speaks from elsewhere than it is known to live: not before
};

}  // namespace hs
