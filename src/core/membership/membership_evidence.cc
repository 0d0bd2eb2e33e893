// How Membership finds that an agent is gone: broken links, fresh connections, refusals, two witnesses.
//
// A broken link alone proves nothing (the peer may have closed it), so the witness connects afresh. Only a
// refusal counts: the machine answers, and nobody listens. Statements of all who noticed go to the same two,
// the members next to the target on the ring, so that these decide and tell everyone; if they do not, the
// statements go wider, to some drawn by chance too.
#include <algorithm>
#include <utility>

#include "core/membership/membership.h"

namespace hs {
namespace {

constexpr Duration kConnectTimeout = 500ms;
// Between two attempts at the same member.
constexpr Duration kConnectPause = 300ms;
// A dying process closes its sockets one after the other: its listener may accept for a moment after its
// links broke.
constexpr Duration kDyingPause = 15ms;
constexpr int kDyingTries = 3;
// The deciders answer within a round trip; later, they are gone too.
constexpr Duration kWidenAfter = 60ms;
constexpr int kClaimRounds = 3;
// Where all share few cores; boxes of their own need less.
constexpr Duration kTurnPerMember = 500us;
// Up to this size a node checks whether it alone is left to witness.
constexpr std::size_t kLoneWitness = 8;

}  // namespace

void Membership::OnLinkDown(const LinkDown& down) {
  if (leaving_ || !Present(down.peer)) return;
  // After a bye; by silence, which probes judge; by somebody who lives.
  if (down.end == LinkEnd::kClosed || down.end == LinkEnd::kTimeout || down.end == LinkEnd::kDenied) return;
  // One that was up has broken: news, whatever an attempt just before it has shown.
  if (down.end == LinkEnd::kReset) FolderOf(down.peer).connect_at = {};
  Connect(down.peer, true, 0);
}

void Membership::Connect(NodeId target, bool broke, int tries) {
  const Member* member = Find(target);
  if (member == nullptr || !IsPresent(member->state) || target == self_ || !member->meta->address) return;
  // Whoever refuses at the address of a box behind NAT is somebody else.
  if (member->meta->dials_out) return;
  Folder& folder = FolderOf(target);
  if (tries == 0) {
    if (folder.connect_at != Time{} && now_.mono - folder.connect_at < kConnectPause) return;
    if (refusals_.Has(target, self_, member->incarnation.boot, now_.mono)) return;
  }
  folder.connect_at = now_.mono;
  const std::uint64_t attempt = kAttemptBit | next_attempt_++;
  attempts_[attempt] = {target, broke, tries};
  out_.emplace_back(TryConnect{attempt, member->meta->address, kConnectTimeout});
}

void Membership::OnConnect(const ConnectOutcome& outcome) {
  const auto it = attempts_.find(outcome.attempt);
  if (it == attempts_.end()) return;
  const Attempt attempt = it->second;
  attempts_.erase(it);
  const Member* member = Find(attempt.target);
  if (leaving_ || member == nullptr || !IsPresent(member->state)) return;
  if (outcome.result == ConnectResult::kAccepted) {
    Connected(attempt.target);
    if (attempt.broke && attempt.tries < kDyingTries) {
      const int tries = attempt.tries + 1;
      ArmForGood(now_.mono + kDyingPause * tries, TimerKind::kConnectAgain, attempt.target,
                 static_cast<std::uint64_t>(tries));
    }
  }
  // No answer is no evidence: probes judge silence. But nothing speaks against the word of others.
  if (outcome.result == ConnectResult::kTimeout) Decide(attempt.target, true);
  if (outcome.result != ConnectResult::kRefused) return;
  Folder& folder = FolderOf(attempt.target);
  if (folder.walled_boot == member->incarnation.boot) return;
  refusals_.Add(attempt.target, self_, member->incarnation.boot, now_.mono);
  if (Decide(attempt.target)) return;
  folder.claim_rounds = 0;
  SendClaims(attempt.target);
}

void Membership::Connected(NodeId peer) {
  refusals_.Withdraw(peer, self_);
  if (!Find(peer) || peer == self_) return;
  if (Folder* folder = peers_.Find(SlotOf(peer))) folder->walled_boot.reset();
}

void Membership::OnClaim(const DatagramReceived& datagram, const RefusalClaim& claim) {
  const Member* member = Find(claim.target);
  if (member == nullptr || claim.target == datagram.from || !Present(datagram.from)) return;
  if (claim.target == self_) {
    // Someone cannot connect to us though our datagrams flow: a matter of routes, not of life.
    return;
  }
  const bool gone = !IsPresent(member->state);
  if (gone || claim.incarnation.boot != member->incarnation.boot) {
    // All who noticed say so at once: most say it when it is decided, and hear of that with all others.
    if (gone && PresentCount() <= kTellAll && now_.mono - member->state_since < kWidenAfter) return;
    if (gone || claim.incarnation < member->incarnation) Correct(datagram.from, *member);
    return;
  }
  refusals_.Add(claim.target, datagram.from, claim.incarnation.boot, now_.mono);
  if (!Decide(claim.target)) Connect(claim.target, false, 0);
}

// Two witnesses, or this one where nobody else is left to ask. Others may share a firewall that refuses in
// the target's name: on their word alone only where this node tried as well and got no answer.
bool Membership::Decide(NodeId target, bool unanswered) {
  const Member& member = At(target);
  std::vector<NodeId> witnesses = refusals_.Witnesses(target, member.incarnation.boot, now_.mono);
  const bool own = std::binary_search(witnesses.begin(), witnesses.end(), self_);
  bool enough = witnesses.size() >= 2 && (own || unanswered);
  if (!enough && !witnesses.empty() && witnesses.front() == self_ && present_.size() <= kLoneWitness) {
    enough = std::all_of(present_.all().begin(), present_.all().end(), [&](Slot slot) {
      const Member& other = members_.Of(slot);
      return refusals_.Has(other.id, self_, other.incarnation.boot, now_.mono);
    });
  }
  if (!enough) return false;
  if (witnesses.size() > Suspicion::kWitnessesMax) witnesses.resize(Suspicion::kWitnessesMax);
  Member after = member;
  after.state = MemberState::kAgentDown;
  FolderOf(target).gone_witnesses = witnesses;
  const std::string cause = std::to_string(witnesses.size()) +
                            (witnesses.size() == 1 ? " member was" : " members were") +
                            " refused a connection to " + member.meta->address.ToString();
  refusals_.Forget(target);
  Replace(after, cause, true);
  TellInTurn(target);
  // Where several died, the last one decided may leave this node as the only witness against the others.
  if (present_.size() > kLoneWitness) return true;
  for (const Slot slot : std::vector<Slot>(present_.all())) {
    const Member& other = members_.Of(slot);
    if (!IsPresent(other.state)) continue;
    if (refusals_.Has(other.id, self_, other.incarnation.boot, now_.mono)) Decide(other.id);
  }
  return true;
}

// Two decide at the same moment, and were both to tell all, everyone would be busy with hearing it twice. So
// the member after the target tells all, and the one before it tells all once more, for what got lost.
// Whoever decides because neither did tells all unless he has heard it meanwhile.
void Membership::TellInTurn(NodeId target) {
  const Ring ring = PresentRing();
  const auto is_next = [&](bool forward) {
    const std::vector<NodeId> next = ring.Nearest(target, 1, forward);
    return next.empty() || next.front() == self_;
  };
  if (is_next(true)) return Spread(UpdateOf(At(target)), true);
  const bool second = is_next(false);
  TellLater(target, second ? 1 : 2, !second);
}

// After so many turns, each as long as it takes all to hear one such word. Whoever stands by says nothing
// until then, or the echo of his own words would keep him silent.
void Membership::TellLater(NodeId target, int turns, bool unless_told) {
  const Member& member = At(target);
  if (PresentCount() > kTellAll) return Spread(UpdateOf(member), true);
  if (!unless_told) queue_.Put(UpdateOf(member));
  FolderOf(target).end_told = false;
  const Duration wait = turns * kTurnPerMember * static_cast<std::int64_t>(PresentCount());
  ArmForGood(now_.mono + wait, unless_told ? TimerKind::kTellUntold : TimerKind::kTellAll, target,
             StateNumber(member));
}

void Membership::OnTurn(NodeId target, std::uint64_t state, bool unless_told) {
  const Member* member = Find(target);
  if (member == nullptr || StateNumber(*member) != state) return;
  if (unless_told && FolderOf(target).end_told) return;
  Spread(UpdateOf(*member), true);
}

void Membership::SendClaims(NodeId target) {
  const Member* member = Find(target);
  if (member == nullptr || !IsPresent(member->state)) return;
  if (!refusals_.Has(target, self_, member->incarnation.boot, now_.mono)) return;
  if (Decide(target)) return;
  Folder& folder = FolderOf(target);
  const Ring ring = PresentRing();
  const auto neighbours = static_cast<std::size_t>(tunables_.ring_neighbours);
  std::vector<NodeId> to;
  if (folder.claim_rounds == 0) {
    for (const bool forward : {true, false}) {
      for (const NodeId& id : ring.Nearest(target, 1, forward)) to.push_back(id);
    }
  } else {
    to = ring.Watchers(target, neighbours);
    std::vector<Slot> except{SlotOf(target)};
    for (const NodeId& id : to) except.push_back(members_.SlotOf(id));
    for (const Slot slot : present_.Draw(3, except)) to.push_back(members_.Of(slot).id);
  }
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
  for (const NodeId& id : to) {
    if (id != self_) SendTo(id, RefusalClaim{target, member->incarnation});
  }
  if (++folder.claim_rounds < kClaimRounds) {
    ArmForGood(now_.mono + kWidenAfter * folder.claim_rounds, TimerKind::kClaimWiden, target);
  }
}

}  // namespace hs
