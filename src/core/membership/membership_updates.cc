// What Membership believes: which news replaces what is known.
#include <algorithm>
#include <map>
#include <utility>

#include "core/membership/membership.h"

namespace hs {
namespace {

// Of what a table told, this much is passed on in any case.
constexpr std::size_t kPassOnMax = 32;
// After a cut of a large cluster each side calls all of the other gone. Of one table so many are asked and
// told themselves: all nodes together reach everyone all the same, and soon.
constexpr std::size_t kDisputesMax = 64;

// Among equal incarnations the greater rank wins. Agent-down is exact where unreachable is a guess.
int Rank(MemberState state) {
  switch (state) {
    case MemberState::kAlive:
      return 0;
    case MemberState::kSuspect:
      return 1;
    case MemberState::kUnreachable:
      return 2;
    case MemberState::kAgentDown:
      return 3;
    case MemberState::kDead:
      return 4;
    case MemberState::kLeft:
      return 5;
  }
  return 0;
}

}  // namespace

void Membership::Apply(const MemberUpdate& update, NodeId from, Source source) {
  if (!update.id || (update.state == MemberState::kAlive && !update.meta)) return;
  if (std::max(update.incarnation.boot, update.incarnation.counter) > kIncarnationMax) return;
  if (removed_.contains(update.id)) return;
  if (update.id == self_) return OnNewsAboutSelf(update, from);
  const Member* member = Find(update.id);
  if (member == nullptr) {
    if (update.state == MemberState::kAlive) ApplyNew(update, from, MemberState::kAlive);
    return;
  }
  if (update.incarnation < member->incarnation) return Correct(from, *member);
  if (update.incarnation == member->incarnation) {
    // The same life cannot come from two boots; keep the first heard.
    if (update.boot_id != member->boot_id) return;
    if (Rank(update.state) < Rank(member->state)) {
      // The subject saying so itself is told what is said of it (OnHeardFrom); others catch up by the digest.
      return;
    }
  }
  if (update.state == MemberState::kAlive) {
    if (update.incarnation > member->incarnation) ApplyAlive(*member, update, from);
  } else if (update.state == MemberState::kSuspect) {
    ApplySuspect(*member, update, from, source);
  } else {
    ApplyGone(*member, update, from, source);
  }
}

void Membership::ApplyNew(const MemberUpdate& update, NodeId from, MemberState state, const Witnesses& gone) {
  Member member;
  member.id = update.id;
  member.boot_id = update.boot_id;
  member.incarnation = update.incarnation;
  member.state = state;
  member.meta = update.meta;
  Replace(member,
          state == MemberState::kAlive ? "joined" : std::string("known to others as ") + ToString(state),
          from == update.id);
  if (state != MemberState::kAlive) {
    FolderOf(update.id).gone_witnesses = gone;
    return;
  }
  // Whoever a newcomer speaks to first tells everyone, since the newcomer knows nobody yet.
  if (from == update.id) {
    Spread(update, true, from);
  } else {
    queue_.Put(update);
    urgent_.try_emplace(update.id, Urgent{false, from});
  }
}

void Membership::ApplyAlive(const Member& member, const MemberUpdate& update, NodeId from) {
  const bool new_boot = update.incarnation.boot != member.incarnation.boot;
  const bool was_gone = !IsPresent(member.state);
  const bool was_silent = member.state == MemberState::kUnreachable || member.state == MemberState::kDead;
  // Where it lived somebody else may live on, of whose data directory it has a copy: then he is to know.
  const Endpoint& former = member.meta->address;
  if (new_boot && from == update.id && former != update.meta->address)
    Send(update.id, former, News{}, {update});
  if (new_boot) {
    refusals_.Forget(member.id);
  } else {
    // Alive after what the witnesses saw.
    for (const NodeId& id : refusals_.Witnesses(member.id, member.incarnation.boot, now_.mono)) {
      refusals_.Withdraw(member.id, id);
    }
  }
  Member after = member;
  after.boot_id = update.boot_id;
  after.incarnation = update.incarnation;
  after.state = MemberState::kAlive;
  // Where it says the same as before, the word known already is kept, which others may hold too.
  if (after.meta != update.meta) after.meta = update.meta;
  std::string cause = "said new things of itself";
  if (new_boot) {
    cause = "restarted";
  } else if (was_gone) {
    cause = "is back";
  } else if (member.state == MemberState::kSuspect) {
    cause = "refuted the suspicion";
  }
  Witnesses accusers;
  if (Folder* folder = peers_.Find(SlotOf(member.id)); folder != nullptr) {
    if (folder->suspicion) accusers = folder->suspicion->witnesses();
    const bool refuted = member.state == MemberState::kAgentDown && !new_boot && from == member.id;
    if (refuted && std::ranges::find(*folder->gone_witnesses, self_) != folder->gone_witnesses->end())
      folder->walled_boot = member.incarnation.boot;
  }
  Replace(after, std::move(cause), from == update.id);
  Spread(update, new_boot && from == update.id, from);
  if (accusers) urgent_[update.id].accusers = accusers;
  if (was_silent) RetrySilentSoon();
}

void Membership::ApplySuspect(const Member& member, const MemberUpdate& update, NodeId from, Source source) {
  if (!IsPresent(member.state) && update.incarnation == member.incarnation) return;
  const std::vector<NodeId> witnesses = Credible(*update.witnesses, update.id);
  if (witnesses.empty()) return;
  if (update.incarnation > member.incarnation) {
    // It spoke again without us hearing; what is said now is about that later word.
    Member after = member;
    after.incarnation = update.incarnation;
    after.boot_id = update.boot_id;
    after.state = MemberState::kAlive;
    Replace(after, "spoke to others");
  }
  Suspect(update.id, witnesses, source, from, update.witnesses);
}

void Membership::ApplyGone(const Member& member, const MemberUpdate& update, NodeId from, Source source) {
  if (update.incarnation == member.incarnation && Rank(update.state) == Rank(member.state)) {
    FolderOf(update.id).end_told = true;
    return;
  }
  const std::vector<NodeId> witnesses = Credible(*update.witnesses, update.id);
  const bool present = IsPresent(member.state);
  const bool own_word = update.state == MemberState::kLeft;
  if (present && !own_word) {
    // A table exchanged after a cut is full of judgements that were right on the other side: they only
    // suspect here. So does the word of one witness, however sure it is, unless there is nobody else who
    // could tell.
    const bool exchange = source == Source::kExchange && joined_;
    const std::size_t count = witnesses.size() + (SawItself(update) ? 1 : 0);
    if (exchange || (count < 2 && PresentCount() > 2)) {
      if (witnesses.empty() && !exchange) return;
      if (exchange) {
        if (!std::binary_search(disputes_.begin(), disputes_.end(), update.id)) return;
        SendTo(update.id, News{}, {update});
        Suspect(update.id, {from}, Source::kExchange, from);
        return StartProbe(update.id, At(update.id).meta->address, ProbeKind::kConfirm);
      }
      if (update.state == MemberState::kAgentDown) {
        for (const NodeId& id : witnesses) refusals_.Add(update.id, id, update.incarnation.boot, now_.mono);
        return Connect(update.id, false, 0);
      }
      return Suspect(update.id, witnesses, source, from, update.witnesses);
    }
  }
  Member after = member;
  after.incarnation = update.incarnation;
  after.boot_id = update.boot_id;
  after.state = update.state;
  FolderOf(update.id).gone_witnesses = update.witnesses;
  std::string cause;
  switch (update.state) {
    case MemberState::kLeft:
      cause = "said goodbye";
      break;
    case MemberState::kAgentDown:
      cause = std::to_string(update.witnesses->size()) + " members were refused a connection";
      break;
    case MemberState::kDead:
      // Whoever says so either asked the ports of its work, or waited long enough.
      cause = member.state == MemberState::kUnreachable
                  ? "silent for too long to count as cut off"
                  : "its agent is gone and, as another member found, the ports of its work refuse as well";
      break;
    default:
      cause = "silent to " + std::to_string(update.witnesses->size()) + " members";
  }
  Replace(after, std::move(cause), from == update.id);
  if (source != Source::kGossip) return;
  // Everyone is told of an agent that is down, and told again by the member before it on the ring.
  if (update.state == MemberState::kAgentDown && PresentCount() + kTellMargin <= kTellAll) {
    const std::vector<NodeId> second = PresentRing().Nearest(update.id, 1, false);
    if (!second.empty() && second.front() == self_) return TellLater(update.id, 1, false);
    return queue_.Put(UpdateOf(after));
  }
  Spread(UpdateOf(after), own_word && from == update.id && present, from);
}

// This node found for itself what the news says: then one other witness makes two.
bool Membership::SawItself(const MemberUpdate& update) {
  if (update.state == MemberState::kUnreachable) {
    const Folder* folder = peers_.Find(SlotOf(update.id));
    return folder != nullptr && folder->suspicion && folder->suspicion->HasWitness(self_);
  }
  return refusals_.Has(update.id, self_, update.incarnation.boot, now_.mono);
}

// Witnesses this node believes to be present. Who is cut off or asleep suspects everyone.
std::vector<NodeId> Membership::Credible(const std::vector<NodeId>& witnesses, NodeId accused) const {
  std::vector<NodeId> credible;
  for (const NodeId& id : witnesses) {
    if (id != accused && id != self_ && Present(id)) credible.push_back(id);
  }
  return credible;
}

void Membership::OnNewsAboutSelf(const MemberUpdate& update, NodeId from) {
  if (leaving_) return;
  if (update.boot_id != boot_id_) return OnOtherLife(update, from);
  const Member& me = self();
  if (update.incarnation < me.incarnation) return Correct(from, me);
  if (update.state == MemberState::kAlive) {
    if (update.incarnation > me.incarnation) RaiseIncarnation(update.incarnation, "went above its own echo");
    return;
  }
  // Lifeguard: being suspected hints that it is this node that is slow.
  AddHealth(1);
  RaiseIncarnation({update.incarnation.boot, update.incarnation.counter + 1},
                   std::string("refuted being ") + ToString(update.state));
}

void Membership::RaiseIncarnation(Incarnation above, std::string cause) {
  Member after = self();
  after.incarnation = above;
  Replace(after, std::move(cause));
  Spread(UpdateOf(after), true);
}

// The sender passes on what is outdated.
void Membership::Correct(NodeId from, const Member& member) {
  if (from == self_ || !Find(from)) return;
  Folder& folder = FolderOf(from);
  if (folder.corrected_at != Time{} && now_.mono - folder.corrected_at < 100ms) return;
  folder.corrected_at = now_.mono;
  SendTo(from, News{}, {UpdateOf(member)});
}

// Most of what a table says changes nothing. Tables are in the order of ids, as the members are: what is
// known is found by walking both.
std::vector<const MemberUpdate*> Membership::NewsOf(const PushPull& table) const {
  std::vector<const MemberUpdate*> news;
  auto known = members_.begin();
  for (const MemberUpdate& update : table.members) {
    while (known != members_.end() && known->first < update.id) ++known;
    const bool found = known != members_.end() && known->first == update.id && update.id != self_;
    if (found && update.incarnation == known->second.incarnation) {
      if (update.state == MemberState::kAlive) continue;
      if (update.state == known->second.state && update.state != MemberState::kSuspect) continue;
    }
    news.push_back(&update);
  }
  return news;
}

// Gone there, and present here or after what else the table says.
bool Membership::IsDispute(const MemberUpdate& update) const {
  if (IsPresent(update.state) || update.state == MemberState::kLeft || update.id == self_) return false;
  const Member* member = Find(update.id);
  return member != nullptr && (IsPresent(member->state) || update.incarnation > member->incarnation);
}

// Where there are too many, those that come next after this node in the order of ids, so that each node has
// others.
std::vector<NodeId> Membership::PickDisputes(const std::vector<const MemberUpdate*>& news) const {
  std::vector<NodeId> disputes;
  for (const MemberUpdate* update : news) {
    if (IsDispute(*update)) disputes.push_back(update->id);
  }
  std::sort(disputes.begin(), disputes.end());
  if (disputes.size() <= kDisputesMax) return disputes;
  std::rotate(disputes.begin(), std::lower_bound(disputes.begin(), disputes.end(), self_), disputes.end());
  disputes.resize(kDisputesMax);
  std::sort(disputes.begin(), disputes.end());
  return disputes;
}

void Membership::OnPushPull(NodeId from, const PushPull& table) {
  if (leaving_ || from == self_ || removed_.contains(from)) return;
  // Members that are new here and already gone there arrive as their last word and their end; taken together,
  // so that nobody seems to join only to vanish.
  std::map<NodeId, const MemberUpdate*> ends;
  const std::vector<const MemberUpdate*> news = NewsOf(table);
  for (const MemberUpdate* update : news) {
    if (!IsPresent(update->state) && !Find(update->id)) ends[update->id] = update;
  }
  const std::size_t known = members_.size();
  disputes_ = PickDisputes(news);
  std::vector<NodeId> fresh;
  for (const MemberUpdate* each : news) {
    const MemberUpdate& update = *each;
    if (!Find(update.id)) fresh.push_back(update.id);
    const auto end = ends.find(update.id);
    if (end != ends.end() && update.id != self_ && update.id) {
      if (update.meta && !Find(update.id) && !removed_.contains(update.id)) {
        ApplyNew(update, from, end->second->state, end->second->witnesses);
      }
      continue;
    }
    Apply(update, from, Source::kExchange);
  }
  // To a newcomer everybody is new, which is no news to them.
  if (fresh.size() > std::max(kPassOnMax, known)) {
    for (const NodeId& id : fresh) {
      if (id == from) continue;
      queue_.Erase(id);
      urgent_.erase(id);
    }
  }
  joined_ = joined_ || !table.reply_wanted;
  const Member* sender = Find(from);
  if (sender == nullptr) return;
  HeardFrom(from, SlotOf(from));
  if (table.reply_wanted) SendPushPull(from, sender->meta->address, false);
}

}  // namespace hs
