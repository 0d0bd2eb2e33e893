// How Membership finds others: seeds at the start, those who went, and whole tables now and then.
#include <algorithm>
#include <bit>
#include <utility>

#include "core/membership/membership.h"

namespace hs {
namespace {

// Seeds on the first pass are asked this quickly one after the other; a stale list must not delay a join.
constexpr Duration kSeedPace = 100ms;
constexpr Duration kSeedFirst = 500ms;
constexpr Duration kSeedMax = 30s;
// Members that went are tried at this pace at most, each with its own back-off. In a cluster of n each is
// tried by all others, so even the longest wait means one ping every 60 s / n.
constexpr Duration kRetryPace = 100ms;
constexpr Duration kRetryFirst = 2s;
constexpr Duration kRetryMax = 60s;
// Tables that agree are exchanged all the same once in this many turns: a digest of 32 bits may lie.
constexpr int kExchangeAnyway = 20;

}  // namespace

void Membership::OnSeeds(const Seeds& seeds) {
  for (const auto& [id, address] : seeds.peers) {
    if (id == self_ || !address || address == self().meta.address) continue;
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
  if (!retries_.empty()) next = std::min(next, retries_.begin()->first);
  if (next == kNever) return;
  Disarm(retry_);
  ArmRetry(std::max(next, now_.mono + kRetryPace));
}

// One such timer at a time is enough: the earliest.
void Membership::ArmRetry(Time at) {
  if (retry_ != timers_.end() && retry_->first <= at) return;
  Disarm(retry_);
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
    if (!joined_ && seed.id && now_.mono - PeerOf(seed.id).pushed_at > kSeedFirst) {
      SendPushPull(seed.id, seed.address, true);
    }
    return true;
  }
  return false;
}

bool Membership::RetryGone() {
  if (retries_.empty() || retries_.begin()->first > now_.mono) return false;
  const NodeId id = retries_.begin()->second;
  Peer& peer = PeerOf(id);
  peer.retry_wait = std::clamp(peer.retry_wait * 2, kRetryFirst, kRetryMax);
  ScheduleRetry(id, prng_.Between(peer.retry_wait / 2, peer.retry_wait));
  StartProbe(id, At(id).meta.address, ProbeKind::kRetry);
  return true;
}

void Membership::ScheduleRetry(NodeId id, Duration wait) {
  Peer& peer = PeerOf(id);
  if (wait == Duration{}) wait = prng_.Between(kRetryFirst / 2, kRetryFirst);
  retries_.erase({peer.next_retry, id});
  peer.next_retry = now_.mono + wait;
  retries_.insert({peer.next_retry, id});
  if (retries_.begin()->second == id) ArmRetry(peer.next_retry);
}

// Whole tables are the largest messages there are, so they move only where digests differ. In larger clusters
// rarer, since each is larger (as in memberlist's pushPullScale).
void Membership::PushPullOne() {
  const auto scale = std::max(1, static_cast<int>(std::bit_width(PresentCount())) - 5);
  // A turn after a long sleep comes on top of the regular ones.
  std::erase_if(timers_, [](const auto& entry) { return entry.second.kind == TimerKind::kPushPull; });
  Arm(now_.mono + tunables_.push_pull_interval * scale * 3 / 4 +
          prng_.Between(0ms, tunables_.push_pull_interval * scale / 2),
      TimerKind::kPushPull);
  auto drawn = present_.Draw(1, {});
  if (drawn.empty()) return;
  // After a sleep whoever is linked already will do: this is no time for handshakes.
  if (now_.mono < grace_until_ && !held_.empty()) drawn.front() = held_[prng_.Below(held_.size())].first;
  const Peer& peer = PeerOf(drawn.front());
  const bool agrees = peer.heard_at != Time{} && peer.differs_since == Time{} && peer.said_digest;
  if (agrees && now_.mono >= grace_until_ && ++push_pulls_skipped_ < kExchangeAnyway) return;
  push_pulls_skipped_ = 0;
  SendPushPull(drawn.front(), At(drawn.front()).meta.address, true);
}

}  // namespace hs
