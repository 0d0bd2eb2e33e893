// What Membership says: stamping, piggy-backing, and telling urgent news at once.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/grow.h"
#include "core/membership/membership.h"

namespace hs {
namespace {

// Of those who had accused a member that refutes it, each hearer tells so many: they may be cut off from it.
constexpr std::size_t kAccusersTold = 2;
// Body, stamps and digests around the updates.
constexpr std::size_t kHeaderBytes = 90;
constexpr std::size_t kRegionBytes = 10;  // its digest, while there are several
// When a table was sent to a stranger matters for no longer.
constexpr Duration kStrangerLife = 10s;

std::size_t Bytes(const std::vector<MemberUpdate>& updates) {
  std::size_t bytes = 0;
  for (const auto& update : updates) bytes += EncodedBytes(update);
  return bytes;
}

}  // namespace

GossipMessage Membership::Message(GossipBody body, std::vector<MemberUpdate> first) {
  GossipMessage message;
  message.body = std::move(body);
  message.intent_digest = intent_digest_;
  message.observation_digest = observation_digest_;
  message.region_digest = region_digest_;
  message.members_digest = MembersDigest();
  message.wall_ms = now_.wall_ms;
  message.updates = std::move(first);
  const std::size_t used = kHeaderBytes + (region_digest_ != 0 ? kRegionBytes : 0) + Bytes(message.updates);
  if (used < kDatagramBytes) {
    // Source: SWIM, 4.1: lambda * log(n) repeats reach everyone with high probability.
    const double spread = std::ceil(std::log10(static_cast<double>(PresentCount() + 1)));
    const int limit = static_cast<int>(tunables_.gossip_retransmit * std::max(1.0, spread));
    queue_.Take(kDatagramBytes - used, limit, message.updates);
  }
  return message;
}

void Membership::Send(NodeId to, Endpoint address, GossipBody body, std::vector<MemberUpdate> first) {
  if (!address) return;
  out_.emplace_back(SendDatagram{to, address, Message(std::move(body), std::move(first))});
}

void Membership::SendTo(NodeId to, GossipBody body, std::vector<MemberUpdate> first) {
  if (const Member* member = Find(to)) Send(to, member->meta->address, std::move(body), std::move(first));
}

void Membership::Spread(const MemberUpdate& update, bool origin, NodeId heard_from) {
  queue_.Put(update);
  Urgent& urgent = urgent_[update.id];
  urgent.origin = urgent.origin || origin;
  urgent.heard_from = heard_from;
}

// All urgent news of one step goes out together: a datagram to each of those to be told.
void Membership::FlushUrgent() {
  if (urgent_.empty()) return;
  const auto urgent = std::exchange(urgent_, {});
  bool origin = false;
  std::vector<MemberUpdate> news;
  std::vector<NodeId> except;
  std::vector<NodeId> suspects;
  std::vector<NodeId> accusers;
  std::size_t bytes = kHeaderBytes;
  for (const auto& [id, how] : urgent) {
    if (bytes + kUpdateBytesMin > kDatagramBytes) break;
    MemberUpdate update = UpdateOf(At(id));
    const std::size_t size = EncodedBytes(update);
    if (bytes + size > kDatagramBytes) continue;  // the rest is piggy-backed
    bytes += size;
    origin = origin || how.origin;
    if (how.heard_from && urgent.size() == 1) except.push_back(how.heard_from);
    if (update.state == MemberState::kSuspect && how.origin) suspects.push_back(id);
    if (update.state != MemberState::kSuspect && urgent.size() == 1) except.push_back(id);
    for (const NodeId& accuser : *how.accusers) {
      if (accuser != how.heard_from && accuser != self_ && Present(accuser)) accusers.push_back(accuser);
    }
    news.push_back(std::move(update));
  }

  std::size_t fanout = static_cast<std::size_t>(tunables_.eager_fanout);
  // Where the origin told all, one more packet per hearer covers losses.
  if (PresentCount() <= kTellAll) fanout = origin ? PresentCount() : std::min<std::size_t>(fanout, 1);
  std::vector<NodeId> told = suspects;
  for (const NodeId& id : told) except.push_back(id);
  std::ranges::sort(accusers);
  accusers.erase(std::unique(accusers.begin(), accusers.end()), accusers.end());
  prng_.Shuffle(accusers);
  accusers.resize(std::min(accusers.size(), kAccusersTold));
  // A node that is late itself takes less, or the news of being late would make all later still.
  fanout = eager_.Take(now_.mono, std::max(fanout, accusers.size()), 1.0 / (1 + health_));
  accusers.resize(std::min(accusers.size(), fanout));
  except.insert(except.end(), accusers.begin(), accusers.end());
  std::vector<Slot> left_out;
  for (const NodeId& id : except) left_out.push_back(members_.SlotOf(id));
  const std::vector<Slot> drawn = present_.Draw(fanout - accusers.size(), left_out);
  eager_.GiveBack(fanout - accusers.size() - drawn.size());
  told.insert(told.end(), accusers.begin(), accusers.end());
  for (const Slot slot : drawn) told.push_back(members_.Of(slot).id);
  GossipMessage message;
  message.body = News{};
  message.intent_digest = intent_digest_;
  message.observation_digest = observation_digest_;
  message.region_digest = region_digest_;
  message.members_digest = MembersDigest();
  message.wall_ms = now_.wall_ms;
  message.updates = std::move(news);
  for (const NodeId& id : told) out_.emplace_back(SendDatagram{id, At(id).meta->address, message});
}

// Every member; one that is gone as its last word first and then its end, so that a newcomer learns name and
// address.
std::vector<MemberUpdate> Membership::Table() const {
  std::vector<MemberUpdate> table;
  table.reserve(members_.size());
  for (auto at = members_.begin(); at != members_.end(); ++at) {
    const Member& member = at->second;
    if (member.state != MemberState::kAlive) {
      MakeRoom(table);
      table.push_back({member.id, member.boot_id, member.incarnation, MemberState::kAlive, member.meta, {}});
    }
    MakeRoom(table);
    table.push_back(UpdateOf(member, peers_.Find(at.slot())));
  }
  return table;
}

void Membership::SendPushPull(NodeId to, Endpoint address, bool reply_wanted) {
  if (!address || to == self_ || !to) return;
  const Slot slot = members_.SlotOf(to);
  std::erase_if(strangers_, [this](const auto& of) { return now_.mono - of.second > kStrangerLife; });
  (slot != MemberTable::kNone ? peers_.FolderOf(slot).pushed_at : strangers_[to]) = now_.mono;
  out_.emplace_back(SendLink{to, address, PushPull{reply_wanted, Table()}});
}

}  // namespace hs
