// How Membership finds others: seeds at the start, those who went, and whole tables now and then.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/grow.h"
#include "core/membership/membership.h"

namespace hs {
namespace {

// Seeds on the first pass are asked this quickly one after the other; a stale list must not delay a join.
constexpr Duration kSeedPace = 100ms;
constexpr Duration kSeedFirst = 500ms;
constexpr Duration kSeedMax = 30s;
// Members that went are tried at this pace at most, each with its own back-off. Each is tried by all who are
// present, so that somebody tries it about once a second: one after the other where they are many.
constexpr Duration kRetryPace = 100ms;
constexpr Duration kRetryFirst = 2s;
constexpr Duration kRetryMaxPerMember = 1s;
constexpr Duration kRetryMaxLeast = 5s;
constexpr Duration kRetryMax = 60s;
// So many of those not heard are tried soon when one of them is back; where there are more, not for each one
// that is back, and those that come first from anywhere on.
constexpr std::size_t kRetrySoonMax = 64;
constexpr Duration kRetrySoon = 1s;
constexpr std::size_t kRetrySoonLooks = 2048;
// So many void entries are left where they are in any case.
constexpr std::size_t kVoidRetries = 64;
// Tables that agree are exchanged all the same once in this many turns: a digest of 32 bits may lie.
constexpr std::size_t kExchangeAnyway = 20;

}  // namespace

void Membership::OnSeeds(const Seeds& seeds) {
  for (const auto& [id, address] : seeds.peers) {
    if (id == self_ || !address || address == self().meta->address) continue;
    const auto known = [&](const Seed& seed) { return seed.address == address && seed.id == id; };
    if (std::any_of(seeds_.begin(), seeds_.end(), known)) continue;
    seeds_.push_back({id, address, now_.mono, {}, false});
  }
  // Three at once; the rest at a pace.
  for (int i = 0; i < 3; ++i) RetrySeed();
  ArmRetry(now_.mono + kSeedPace);
}

void Membership::OnHint(const Hint& hint) {
  if (leaving_ || hint.id == self_ || removed_.contains(hint.id)) return;
  StartProbe(hint.id, hint.address, ProbeKind::kRetry);
}

void Membership::RetryOne() {
  if (leaving_) return;
  RetrySeed();
  RetryGone();
  Time next = kNever;
  for (const Seed& seed : seeds_) next = std::min(next, seed.next_try);
  next = std::min(next, NextRetry());
  if (next == kNever) return;
  timers_.Disarm(retry_);
  ArmRetry(std::max(next, now_.mono + kRetryPace));
}

// One such timer at a time is enough: the earliest.
void Membership::ArmRetry(Time at) {
  if (retry_.at <= at) return;
  timers_.Disarm(retry_);
  retry_ = Arm(at, TimerKind::kRetry);
}

bool Membership::RetrySeed() {
  std::erase_if(seeds_,
                [&](const Seed& seed) { return seed.answered || (seed.id && Find(seed.id) != nullptr); });
  for (Seed& seed : seeds_) {
    if (seed.next_try > now_.mono) continue;
    seed.wait = std::clamp(seed.wait * 2, kSeedFirst, kSeedMax);
    seed.next_try = now_.mono + prng_.Between(seed.wait * 3 / 4, seed.wait);
    StartProbe(seed.id, seed.address, ProbeKind::kRetry);
    if (!joined_ && seed.id && now_.mono - PushedAt(seed.id) > kSeedFirst) {
      SendPushPull(seed.id, seed.address, true);
    }
    return true;
  }
  return false;
}

bool Membership::RetryGone() {
  if (NextRetry() > now_.mono) return false;
  const NodeId id = members_.Of(retries_.front().second).id;
  Folder& folder = FolderOf(id);
  const Duration longest = std::clamp<Duration>(
      kRetryMaxPerMember * static_cast<std::int64_t>(PresentCount()), kRetryMaxLeast, kRetryMax);
  folder.retry_wait = std::clamp(folder.retry_wait * 2, kRetryFirst, longest);
  ScheduleRetry(id, prng_.Between(folder.retry_wait / 2, folder.retry_wait));
  StartProbe(id, At(id).meta->address, ProbeKind::kRetry);
  return true;
}

void Membership::ScheduleRetry(NodeId id, Duration wait) {
  const Slot slot = SlotOf(id);
  Folder& folder = peers_.FolderOf(slot);
  if (wait == Duration{}) wait = prng_.Between(kRetryFirst / 2, kRetryFirst);
  CancelRetry(slot);
  folder.next_retry = now_.mono + wait;
  ++retries_valid_;
  const auto later = [this](const auto& a, const auto& b) { return RetriesLater(a, b); };
  if (retries_.size() > retries_valid_ + retries_valid_ / 4 + kVoidRetries) {
    std::erase_if(retries_, [this](const auto& retry) { return !IsValidRetry(retry); });
    std::make_heap(retries_.begin(), retries_.end(), later);
  }
  MakeRoom(retries_);
  retries_.emplace_back(folder.next_retry, slot);
  std::push_heap(retries_.begin(), retries_.end(), later);
  if (NextRetry() == folder.next_retry && retries_.front().second == slot) ArmRetry(folder.next_retry);
}

void Membership::CancelRetry(Slot slot) {
  Folder* folder = peers_.Find(slot);
  if (folder == nullptr || folder->next_retry == Time{}) return;
  folder->next_retry = {};
  --retries_valid_;
}

bool Membership::RetriesLater(const std::pair<Time, Slot>& a, const std::pair<Time, Slot>& b) const {
  if (a.first != b.first) return a.first > b.first;
  return members_.Of(a.second).id > members_.Of(b.second).id;
}

bool Membership::IsValidRetry(const std::pair<Time, Slot>& retry) const {
  const Folder* folder = peers_.Find(retry.second);
  return folder != nullptr && folder->next_retry == retry.first;
}

// The first, and drops what is void before it. kNever: none.
Time Membership::NextRetry() {
  while (!retries_.empty() && !IsValidRetry(retries_.front())) {
    std::pop_heap(retries_.begin(), retries_.end(),
                  [this](const auto& a, const auto& b) { return RetriesLater(a, b); });
    retries_.pop_back();
  }
  return retries_.empty() ? kNever : retries_.front().first;
}

// A cut may have healed: try the others behind it soon, spread over a second.
void Membership::RetrySilentSoon() {
  std::size_t look = 0;
  std::size_t looks = retries_.size();
  if (retries_valid_ > kRetrySoonMax) {
    if (now_.mono < retry_soon_next_) return;
    retry_soon_next_ = now_.mono + kRetrySoon;
    looks = std::min(looks, kRetrySoonLooks);
    look = prng_.Below(retries_.size());
  }
  std::vector<std::pair<Time, Slot>> silent;
  for (; looks > 0 && silent.size() < kRetrySoonMax; --looks, ++look) {
    const auto& retry = retries_[look % retries_.size()];
    if (IsValidRetry(retry) && members_.Of(retry.second).state == MemberState::kUnreachable)
      silent.push_back(retry);
  }
  std::ranges::sort(silent, [this](const auto& a, const auto& b) { return RetriesLater(b, a); });
  for (const auto& [at, slot] : silent) {
    peers_.FolderOf(slot).retry_wait = {};
    ScheduleRetry(members_.Of(slot).id, prng_.Between(0ms, kRetrySoon));
  }
}

// Whole tables are the largest messages there are, so they move only where digests differ. In larger clusters
// rarer, since each is larger (as in memberlist's pushPullScale).
void Membership::PushPullOne() {
  const auto scale = std::max(1, static_cast<int>(std::bit_width(PresentCount())) - 5);
  // A turn after a long sleep comes on top of the regular ones.
  timers_.DisarmIf([](const Timer& timer) { return timer.kind == TimerKind::kPushPull; });
  Arm(now_.mono + tunables_.push_pull_interval * scale * 3 / 4 +
          prng_.Between(0ms, tunables_.push_pull_interval * scale / 2),
      TimerKind::kPushPull);
  const auto drawn = present_.Draw(1, {});
  if (drawn.empty()) return;
  NodeId with = members_.Of(drawn.front()).id;
  // After a sleep whoever is linked already will do: this is no time for handshakes.
  if (now_.mono < grace_until_ && !held_.empty()) with = held_[prng_.Below(held_.size())].first;
  const Card& card = CardOf(with);
  const std::size_t anyway = kExchangeAnyway * std::max<std::size_t>(1, PresentCount() / kSmallCluster);
  const bool unknown = PresentCount() > kSmallCluster && joined_ && now_.mono - card.heard_at > kDigestLife;
  const bool agrees = card.heard_at != Time{} && card.differs_since == Time{} && card.said_digest;
  if ((agrees || unknown) && now_.mono >= grace_until_ && ++push_pulls_skipped_ < anyway) {
    if (unknown) StartProbe(with, At(with).meta->address, ProbeKind::kRetry);
    return;
  }
  push_pulls_skipped_ = 0;
  SendPushPull(with, At(with).meta->address, true);
}

}  // namespace hs
