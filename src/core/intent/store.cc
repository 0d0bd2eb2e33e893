#include "core/intent/store.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace hs {
namespace {

// A digest of nothing must not be 0, which means "not said".
constexpr std::uint64_t kEmptyDigest = 0x9d5c0fb1e3a7264bULL;
constexpr std::size_t kConflictsMax = 100;
constexpr std::size_t kHeldMax = 1000;
constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::size_t kClocksToForget = 2;  // others whose clocks are known
constexpr Duration kSweepInterval = 60s;
constexpr Duration kPatience = 1s;
constexpr Duration kSaveAgain = 2s;
// News learned by comparing notes is passed on when it is little: then it is news to the neighbours too. A
// newcomer that fetched everything would only tell them what they know.
constexpr std::size_t kPassOnMax = 32;
// Where the floor is kept on disk: a tombstone under a key whose bytes are those of a document's, so that
// every store takes it, but whose name IsValidName refuses, so that no client or peer can write it. Never
// sent.
constexpr char kFloorKey[] = "token/.floor";

// What its writer knew under the key. Of one that takes a stamp back that is not said: nothing is taken for
// known, so that nothing is lost unread.
Stamp KnownToWriter(const Document& document) {
  return document.seen < document.stamp ? document.seen : Stamp{};
}

}  // namespace

std::uint64_t IntentStore::HashOfVersion(const std::string& key, const Stamp& stamp) {
  std::uint64_t hash = CombineHash(Hash64(key), static_cast<std::uint64_t>(stamp.wall_ms));
  hash = CombineHash(hash, stamp.logical);
  return CombineHash(hash, Hash64(stamp.node.Hex()));
}

IntentStore::IntentStore(const Tunables& tunables, NodeId self, std::vector<Document> loaded, Now now)
    : tunables_(tunables),
      self_(self),
      clock_(self, tunables.clock_hold_back),
      differences_(kPatience, tunables.sync_interval),
      digest_(kEmptyDigest) {
  for (const Document& document : loaded) {
    if (document.key == kFloorKey) floor_ = std::max(floor_, document.stamp);
  }
  for (Document& document : loaded) {
    if (document.key == kFloorKey) continue;
    if (!KeyFits(document.key, document.body)) {
      ++refused_;
      continue;
    }
    if (document.stamp == Stamp{}) continue;  // taken back
    in_step_ms_ = std::max(in_step_ms_, document.stamp.wall_ms);
    // Forgotten before: others have it no more.
    if (document.IsTombstone() && document.stamp <= floor_) continue;
    Apply(now, document);
  }
  out_.clear();  // what was there before the start is no change
  conflicts_.clear();
  DropTombstones(now);
}

IntentOutputs IntentStore::Step(Now now, const IntentInput& input) {
  clock_.Advance(now);
  std::visit([&](const auto& what) { On(now, what); }, input);
  return std::exchange(out_, {});
}

Time IntentStore::NextDeadline() const {
  Time next = std::min({sweep_at_, held_due_, save_again_, differences_.NextDeadline()});
  if (!waiting_.empty()) next = std::min(next, waiting_.front().first);
  for (const auto& [request, write] : writes_) {
    if (!write.durable) continue;
    next = std::min({next, write.resend_at, write.started + tunables_.write_give_up});
    const Time wait_over = write.started + tunables_.write_wait;
    if (!write.waited) next = std::min(next, wait_over);
  }
  return next;
}

std::vector<Document> IntentStore::held_back() const {
  std::vector<Document> held;
  for (const auto& [key, document] : held_) held.push_back(document);
  return held;
}

void IntentStore::On(Now now, const Tick&) {
  BeginWaiting(now);
  SettleAll(now);
  if (now.mono >= held_due_) ReleaseHeld(now);
  if (now.mono >= save_again_) SaveAgain(now);
  if (now.mono >= sweep_at_) DropTombstones(now);
  while (const auto peer = differences_.Due(now.mono, digest_)) {
    if (peers_.contains(*peer)) SendOffer(*peer, true);
  }
}

void IntentStore::On(Now now, const ClockSample& sample) {
  if (!peers_.contains(sample.peer)) return;
  clock_.Sample(sample.peer, sample.offset_ms);
  BeginWaiting(now);
  if (!held_.empty()) ReleaseHeld(now);
  if (!lacked_.empty()) Restamp(now);
}

void IntentStore::On(Now now, const Persisted& persisted) {
  const auto it = jobs_.find(persisted.id);
  if (it == jobs_.end()) return;
  const Job job = std::move(it->second);
  jobs_.erase(it);
  for (const Document& document : job.documents) {
    const auto waiting = persisting_.find(document.key);
    if (waiting != persisting_.end() && waiting->second.second == persisted.id) persisting_.erase(waiting);
    Apply(now, document);
  }
  for (const auto& [to, stamp] : job.acks) Acknowledge(to, stamp);
  if (job.flood) Flood(job.documents, self_, NodeId{});
  if (!job.write) return;
  Write& write = writes_.at(*job.write);
  write.durable = true;
  write.resend_at = now.mono + tunables_.write_wait / 3;
  Flood(write.documents, self_, self_);
  Settle(now, *job.write);
}

void IntentStore::On(Now now, const PersistFailed& failed) {
  const auto it = jobs_.find(failed.id);
  if (it == jobs_.end()) return;
  Job job = std::move(it->second);
  jobs_.erase(it);
  std::erase_if(persisting_, [&](const auto& entry) { return entry.second.second == failed.id; });
  if (!job.write) return KeepUnsaved(now, std::move(job));
  writes_.erase(*job.write);
  out_.push_back(Reply{*job.write, Fail(Reaction::kRetryLater,
                                        "nothing was written: this node cannot store it: " + failed.reason)});
}

// ------------------------------------------------------------------------------------------------ documents

Stamp IntentStore::KnownStamp(const std::string& key) const {
  Stamp known;
  if (const auto it = documents_.find(key); it != documents_.end()) known = it->second.stamp;
  if (const auto it = persisting_.find(key); it != persisting_.end())
    known = std::max(known, it->second.first);
  return known;
}

Stamp IntentStore::RivalStamp(const std::string& key) const {
  Stamp greatest = KnownStamp(key);
  if (!key.starts_with("stack/")) return greatest;
  const std::string prefix = key.substr(0, key.rfind('/') + 1);
  for (const auto& [written, document] : DocumentsUnder(documents_, prefix))
    greatest = std::max(greatest, document.stamp);
  for (auto it = persisting_.lower_bound(prefix); it != persisting_.end() && it->first.starts_with(prefix);
       ++it) {
    greatest = std::max(greatest, it->second.first);
  }
  return greatest;
}

IntentStore::Verdict IntentStore::Judge(Now now, NodeId from, const Document& document) {
  if (!KeyFits(document.key, document.body) || !document.stamp.node) {
    ++refused_;
    return Verdict::kIgnored;
  }
  const Stamp known = KnownStamp(document.key);
  const auto current = documents_.find(document.key);
  if (current != documents_.end()) {
    if (TakesBack(document, current->second)) return Verdict::kNew;
    if (TakesBack(current->second, document)) return Verdict::kKnown;
  }
  if (document.stamp <= known) {
    if (document.stamp < known) {
      if (current != documents_.end() && KnownToWriter(current->second) < document.stamp &&
          document.stamp < current->second.stamp && current->second.stamp.node != document.stamp.node &&
          current->second.body != document.body) {
        KeepConflict(document, current->second.stamp);
      }
    }
    return Verdict::kKnown;
  }
  if (clock_.TooFarAhead(document.stamp.wall_ms, now.wall_ms) &&
      document.stamp.wall_ms > RivalStamp(document.key).wall_ms) {
    if (held_.size() >= kHeldMax) return Verdict::kIgnored;
    if (!held_.try_emplace({document.key, document.stamp}, document).second) return Verdict::kIgnored;
    held_due_ = std::min(held_due_, now.mono + clock_.UntilDue(document.stamp.wall_ms, now.wall_ms));
    out_.push_back(DocumentHeldBack{document.key, document.stamp});
    return Verdict::kNewlyHeld;
  }
  if (known == Stamp{} && document.stamp <= floor_) {
    if (document.IsTombstone()) return Verdict::kIgnored;
    const auto peer = peers_.find(from);
    if (peer != peers_.end() && peer->second.floor && *peer->second.floor < floor_) {
      KeepConflict(document, Stamp{});
      return Verdict::kIgnored;
    }
  }
  return Verdict::kNew;
}

void IntentStore::Save(Job job) {
  const PersistId id = NextPersist();
  for (const Document& document : job.documents) persisting_[document.key] = {document.stamp, id};
  out_.push_back(Persist{id, job.documents});
  jobs_.emplace(id, std::move(job));
}

// A removal that this node was told of is not un-told because its disk is full. What is only ours to say (a
// new stamp) waits for the next occasion instead.
void IntentStore::KeepUnsaved(Now now, Job job) {
  if (job.flood || job.documents.empty()) return;
  for (const Document& document : job.documents) Apply(now, document);
  unsaved_.push_back(std::move(job));
  save_again_ = std::min(save_again_, now.mono + kSaveAgain);
}

// The disk must never get an older version after a newer one.
void IntentStore::SaveAgain(Now now) {
  save_again_ = kNever;
  const auto under_way = [&](const Document& document) { return persisting_.contains(document.key); };
  std::vector<Job> jobs = std::exchange(unsaved_, {});
  std::vector<Job> due;
  std::set<std::pair<std::string, Stamp>> refused;
  for (Job& job : jobs) {
    for (const Document& document : job.documents) refused.emplace(document.key, document.stamp);
    (std::ranges::any_of(job.documents, under_way) ? unsaved_ : due).push_back(std::move(job));
  }
  if (!unsaved_.empty()) save_again_ = now.mono + kSaveAgain;
  for (Job& job : due) {
    std::erase_if(job.documents, [&](const Document& document) {
      const auto visible = documents_.find(document.key);
      return visible != documents_.end() && visible->second.stamp != document.stamp &&
             !refused.contains({document.key, visible->second.stamp});
    });
    Save(std::move(job));
  }
}

void IntentStore::Apply(Now now, const Document& document) {
  clock_.Saw(document.stamp, now.wall_ms);
  const auto it = documents_.find(document.key);
  if (it != documents_.end()) {
    const Document& current = it->second;
    if (document.stamp <= current.stamp && !TakesBack(document, current)) return;
    if (KnownToWriter(document) < current.stamp && current.stamp.node != document.stamp.node &&
        current.body != document.body) {
      KeepConflict(current, document.stamp);
    }
    digest_ ^= HashOfVersion(current.key, current.stamp);
  }
  // What it takes back must not come up again when its time has come.
  std::erase_if(held_, [&](const auto& held) { return TakesBack(document, held.second); });
  digest_ ^= HashOfVersion(document.key, document.stamp);
  differences_.Changed(now.mono);
  DocumentChanged change{document.key, std::nullopt, document};
  if (it != documents_.end()) {
    change.before = std::exchange(it->second, document);
  } else {
    documents_.emplace(document.key, document);
  }
  out_.push_back(std::move(change));
}

// Takes a document back that the cluster had deleted longer ago than it remembers.
void IntentStore::Forget(Now now, const std::string& key) {
  const auto it = documents_.find(key);
  if (it == documents_.end()) return;
  KeepConflict(it->second, Stamp{});
  Document erased = Erased(now, it);
  documents_.erase(it);
  if (!persisting_.contains(key)) PersistAside({std::move(erased)});
}

void IntentStore::ReleaseHeld(Now now) {
  std::vector<Document> due;
  held_due_ = kNever;
  for (auto it = held_.begin(); it != held_.end();) {
    const Duration wait = clock_.UntilDue(it->second.stamp.wall_ms, now.wall_ms);
    if (wait == Duration::zero()) {
      due.push_back(std::move(it->second));
      it = held_.erase(it);
    } else {
      held_due_ = std::min(held_due_, now.mono + wait);
      ++it;
    }
  }
  if (!due.empty()) On(now, DocumentsReceived{self_, {std::move(due), false, NodeId{}}});
}

// The horizon moves by whole hours, so that all nodes drop the same tombstones at nearly the same time.
void IntentStore::DropTombstones(Now now) {
  sweep_at_ = now.mono + kSweepInterval;
  // Forgetting cannot be undone: one wrong calendar among the clocks we know must not be able to cause it.
  if (clock_.samples() < kClocksToForget) return;
  const WallMs horizon = (clock_.Earlier(now.wall_ms) - ToMs(tunables_.tombstone_keep)) / kHourMs * kHourMs;
  if (horizon <= horizon_ms_) return;
  horizon_ms_ = horizon;
  Stamp floor = floor_;
  std::vector<Document> dropped;
  for (auto it = documents_.begin(); it != documents_.end();) {
    // Of a newer version that is on its way to the disk the row must stay.
    if (it->second.IsTombstone() && it->second.stamp.wall_ms < horizon && !persisting_.contains(it->first)) {
      floor = std::max(floor, it->second.stamp);
      dropped.push_back(Erased(now, it));
      it = documents_.erase(it);
    } else {
      ++it;
    }
  }
  RaiseFloor(floor, std::move(dropped));
}

// Tells that the document is gone; what it becomes on disk, where it takes no room.
Document IntentStore::Erased(Now now, Documents::const_iterator document) {
  Document erased{document->first, Stamp{}, std::monostate{}, Stamp{}};
  digest_ ^= HashOfVersion(document->first, document->second.stamp);
  differences_.Changed(now.mono);
  out_.push_back(DocumentChanged{document->first, document->second, erased});
  return erased;
}

// Together with those it makes superfluous, so that none of them is there without the floor.
void IntentStore::RaiseFloor(const Stamp& floor, std::vector<Document> dropped) {
  if (floor > floor_) dropped.push_back({kFloorKey, floor, std::monostate{}, Stamp{}});
  floor_ = std::max(floor_, floor);
  if (!dropped.empty()) PersistAside(std::move(dropped));
}

// Nobody waits for it.
void IntentStore::PersistAside(std::vector<Document> documents) {
  const PersistId id = NextPersist();
  jobs_.emplace(id, Job{});
  out_.push_back(Persist{id, std::move(documents)});
}

void IntentStore::KeepConflict(const Document& loser, const Stamp& winner) {
  const bool known = std::ranges::any_of(
      conflicts_, [&](const Document& kept) { return kept.key == loser.key && kept.stamp == loser.stamp; });
  if (known) return;
  const auto place =
      std::ranges::find_if(conflicts_, [&](const Document& kept) { return kept.stamp < loser.stamp; });
  conflicts_.insert(place, loser);
  if (conflicts_.size() > kConflictsMax) conflicts_.pop_back();
  out_.push_back(DocumentConflict{loser, winner});
}

void IntentStore::On(Now now, const DocumentsReceived& received) {
  const DocumentPush& push = received.push;
  Job job;
  std::vector<Document> news;
  bool held = false;
  for (const Document& document : push.documents) {
    const Verdict verdict = Judge(now, received.from, document);
    held = held || verdict == Verdict::kNewlyHeld;
    if (verdict == Verdict::kNew || verdict == Verdict::kNewlyHeld) news.push_back(document);
    if (verdict == Verdict::kNew) {
      // One message may hold a key twice; only the greatest is kept.
      std::erase_if(job.documents, [&](const Document& other) {
        return other.key == document.key && other.stamp < document.stamp;
      });
      const bool beaten = std::ranges::any_of(
          job.documents, [&](const Document& other) { return other.key == document.key; });
      if (!beaten) job.documents.push_back(document);
    }
    const bool waited_for = push.ack_to && push.ack_to != self_;
    if (!waited_for || (verdict != Verdict::kNew && verdict != Verdict::kKnown)) continue;
    const std::pair ack(push.ack_to, document.stamp);
    const auto under_way = persisting_.find(document.key);
    if (verdict == Verdict::kNew) {
      job.acks.push_back(ack);
    } else if (IsDurable(document)) {
      // The same flood comes by every link; who asks for himself has missed the answer.
      const bool asks = received.from == push.ack_to;
      if (asks || std::ranges::find(acknowledged_, ack) == acknowledged_.end())
        Acknowledge(push.ack_to, document.stamp);
    } else {
      const auto holds = [&](const Document& other) { return other.key == document.key; };
      auto& acks = under_way != persisting_.end()
                       ? jobs_.at(under_way->second.second).acks
                       : std::ranges::find_if(unsaved_.rbegin(), unsaved_.rend(), [&](const Job& waiting) {
                           return std::ranges::any_of(waiting.documents, holds);
                         })->acks;
      if (std::ranges::find(acks, ack) == acks.end()) acks.push_back(ack);
    }
  }
  if (!job.documents.empty()) Save(std::move(job));
  // So that its writer learns at once that it is kept aside (Restamp).
  if (held && peers_.contains(received.from)) SendOffer(received.from, false);
  if (!news.empty() && (push.flood || news.size() <= kPassOnMax)) Flood(news, received.from, push.ack_to);
}

// A version of that stamp, unless it knows of this one.
bool IntentStore::MayTakeBack(const Document& document, const Stamp& stamp) {
  return document.stamp < document.seen && document.stamp < stamp && stamp <= document.seen &&
         stamp.node == document.seen.node;
}

bool IntentStore::TakesBack(const Document& document, const Document& current) {
  const bool knows_it = current.stamp < current.seen && document.seen <= current.seen;
  return document.key == current.key && MayTakeBack(document, current.stamp) && !knows_it;
}

// What a new version of `key` has seen. While what was taken back of the key lies ahead, each version says
// so: else those who hold an earlier one would think that this was taken back as well.
Stamp IntentStore::SeenNow(const std::string& key, const Stamp& stamp) const {
  const Document* latest = nullptr;
  if (const auto it = documents_.find(key); it != documents_.end()) latest = &it->second;
  if (const auto under_way = persisting_.find(key); under_way != persisting_.end()) {
    const auto job = jobs_.find(under_way->second.second);
    if (job != jobs_.end()) {
      const auto at = std::ranges::find(job->second.documents, key, &Document::key);
      if (at != job->second.documents.end()) latest = &*at;
    }
  }
  const bool ahead = latest != nullptr && latest->stamp < latest->seen && stamp < latest->seen;
  return ahead ? latest->seen : KnownStamp(key);
}

// What this node wrote alone, with a calendar that the others' clocks now show to be far ahead, they keep
// aside, maybe for years. It is written anew with the time at which it was written by their clocks, as near
// as can be told: so it neither waits nor beats what they wrote since.
void IntentStore::Restamp(Now now) {
  if (!ClockIsKnown()) return;
  std::vector<const Document*> ahead;
  for (const auto& [key, stamp] : std::exchange(lacked_, {})) {
    const auto it = documents_.find(key);
    if (it == documents_.end() || it->second.stamp != stamp || persisting_.contains(key)) continue;
    if (clock_.TooFarAhead(stamp.wall_ms, now.wall_ms)) ahead.push_back(&it->second);
  }
  std::ranges::sort(ahead, {}, [](const Document* document) { return document->stamp; });
  Job job;
  const WallMs present = clock_.Median(now.wall_ms);
  for (const Document* document : ahead) {
    Document anew = *document;
    anew.seen = document->stamp;
    anew.stamp.wall_ms -= now.wall_ms - present;
    // Its calendar may have been set since.
    if (anew.stamp.wall_ms > present || anew.stamp.wall_ms <= 0) anew.stamp = clock_.Next({}, now.wall_ms);
    out_.push_back(DocumentRestamped{anew.key, document->stamp, anew.stamp});
    job.documents.push_back(std::move(anew));
  }
  if (job.documents.empty()) return;
  job.flood = true;
  Save(std::move(job));
}

// It, or one that beats it, is on the disk. One that is visible while it is on its way was refused before.
bool IntentStore::IsDurable(const Document& document) const {
  const auto refused = [&](const Job& job) {
    return std::ranges::any_of(job.documents,
                               [&](const Document& other) { return other.key == document.key; });
  };
  if (std::ranges::any_of(unsaved_, refused)) return false;
  const auto under_way = persisting_.find(document.key);
  if (under_way == persisting_.end()) return true;
  const auto visible = documents_.find(document.key);
  return visible != documents_.end() && document.stamp <= visible->second.stamp &&
         visible->second.stamp < under_way->second.first;
}

}  // namespace hs
