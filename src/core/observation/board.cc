#include "core/observation/board.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace hs {
namespace {

constexpr Duration kPatience = 1s;
// Comparing is work for both sides by what they hold. Where boxes are short of CPU everybody differs, and
// comparing all the time would keep it so.
constexpr Duration kRestPerHeld = 1ms;
// Each event alone would cost every board a message on every link. Where there are many peers, bursts are
// longer, and so are the pauses.
constexpr Duration kEventPause = 50ms;
constexpr Duration kEventPausePerPeer = 2ms;
constexpr Duration kEventPauseMax = 500ms;
// So long after the last word on paths the next one is urgent.
constexpr Duration kReachQuiet = 1s;
// Between two floods: in a burst each carries what came meanwhile.
constexpr Duration kFloodPause = 5ms;
constexpr Duration kFloodPausePerPeer = 200us;
constexpr Duration kFloodPauseMax = 50ms;
constexpr Duration kAskWait = 1s;
constexpr Duration kAskAgain = 30s;
// Records per message, so that one message stays well below a megabyte.
constexpr std::size_t kPushMax = 256;
// What was learned by comparing notes is passed on when it is little (as documents are).
constexpr std::size_t kPassOnMax = 32;

// A flood of nothing: "flood to me again".
const RecordPush kTellMe{.records = {}, .flood = true};

bool IsEvent(const Record& record) { return record.key.kind == RecordKind::kEvent; }

// Under what two boards compare a record: itself, or all events of one life of their owner.
RecordKey ComparedBy(const RecordKey& key, const RecordVersion& version) {
  return key.kind == RecordKind::kEvent ? RecordKey{key.kind, key.owner, version.boot} : key;
}

// Goes through what somebody holds in step with what we do.
class Others {
 public:
  using Entry = std::pair<RecordKey, RecordVersion>;
  explicit Others(std::vector<Entry> held) : entries_(std::move(held)) {
    for (auto& [key, version] : entries_) key = ComparedBy(key, version);
    if (!std::ranges::is_sorted(entries_, {}, &Entry::first))
      std::ranges::stable_sort(entries_, {}, &Entry::first);
  }
  // Keys must be asked for in their order.
  std::optional<RecordVersion> Find(const RecordKey& key) {
    std::optional<RecordVersion> version;
    for (; next_ < entries_.size() && entries_[next_].first <= key; ++next_) {
      if (entries_[next_].first == key) version = entries_[next_].second;
      unasked_ = unasked_ || entries_[next_].first != key;
    }
    return version;
  }
  // They hold what was not asked for.
  bool AnyUnasked() const { return unasked_ || next_ < entries_.size(); }

 private:
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
  bool unasked_ = false;
};

}  // namespace

Board::Board(const Tunables& tunables, NodeId self, std::uint32_t boot)
    : tunables_(tunables),
      self_(self),
      boot_(boot),
      differences_(kPatience, tunables.sync_interval),
      region_differences_(kPatience, tunables.sync_interval),
      digest_(kEmptyDigest),
      region_digest_(kEmptyDigest),
      events_(static_cast<std::size_t>(tunables.events_kept)) {}

BoardOutputs Board::Step(Time now, const BoardInput& input) {
  now_ = now;
  std::visit([&](const auto& what) { On(what); }, input);
  return Finish();
}

BoardOutputs Board::Hear(Time now, NodeId from, const RecordPush& push) {
  now_ = now;
  Take(from, push);
  return Finish();
}

BoardOutputs Board::Hear(Time now, NodeId from, const RecordOffer& offer) {
  now_ = now;
  Answer(from, offer);
  return Finish();
}

BoardOutputs Board::Finish() {
  Flush();
  return std::exchange(out_, {});
}

Time Board::NextDeadline() const {
  return std::min({differences_.NextDeadline(), region_differences_.NextDeadline(), flush_at_});
}

// ------------------------------------------------------------------------------------------------ own
// records

void Board::On(const NewLife& life) {
  if (life.boot <= boot_) return;
  boot_ = life.boot;
  std::vector<Record> own;
  for (const auto& [key, record] : records_) {
    if (key.owner == self_) own.push_back(record);
  }
  for (Record& record : own) {
    record.version = {boot_, ++sequence_};
    Put(record);
  }
}

void Board::On(const Publish& publish) {
  HS_CHECK(publish.body != nullptr && publish.kind != RecordKind::kEvent);
  HS_CHECK(publish.body->index() == static_cast<std::size_t>(publish.kind));
  const RecordKey key{publish.kind, self_, publish.sub};
  const auto it = records_.find(key);
  if (it != records_.end() && *it->second.body == *publish.body) return;
  Put({key, {boot_, ++sequence_}, publish.body});
}

void Board::On(const PublishEvent& publish) {
  // The boot counter keeps numbers of different lives apart.
  const std::uint64_t number = std::uint64_t{boot_} << 32 | ++event_number_;
  Put({{RecordKind::kEvent, self_, number},
       {boot_, ++sequence_},
       std::make_shared<RecordBody>(publish.event)});
}

// ------------------------------------------------------------------------------------------------ keeping

bool Board::Accept(const Record& record) const {
  if (record.body == nullptr || record.body->index() != static_cast<std::size_t>(record.key.kind))
    return false;
  if (!record.key.owner) return false;
  // Our own word is ours: of us only events of former lives are taken from others.
  if (record.key.owner == self_) return IsEvent(record) && record.version.boot < boot_;
  return true;
}

bool Board::Put(const Record& record) {
  if (!(IsEvent(record) ? events_.Put(record) : PutStatement(record))) return false;
  if (IsEvent(record)) differences_.Changed(now_);
  Tell(record);
  return true;
}

bool Board::PutStatement(const Record& record) {
  const RecordKey& key = record.key;
  if (!ConcernsUs(record)) return false;
  if (const auto gone = gone_.find(key.owner); gone != gone_.end() && record.version.boot <= gone->second)
    return false;
  const auto life = lives_.find(key.owner);
  if (life != lives_.end() && record.version.boot < life->second) return false;
  if (IsVoidPlan(record)) return false;
  const auto [it, fresh] = records_.try_emplace(key);
  if (!fresh) {
    if (record.version <= it->second.version) return false;
    Count(it->second);
  }
  it->second = record;
  Count(record);
  DropEarlierLives(record);
  return true;
}

void Board::Tell(const Record& record) {
  Change* change = nullptr;
  if (IsEvent(record)) {
    change = &changed_.emplace_back();
    if (std::uint32_t* waiting = events_.WaitingOf(record))
      *waiting = static_cast<std::uint32_t>(changed_.size());
  } else {
    const auto [place, fresh] = changed_statements_.try_emplace(record.key, changed_.size());
    change = fresh ? &changed_.emplace_back() : &changed_[place->second];
    urgent_ = IsUrgent(record) || urgent_;
  }
  change->record = record;
  change->from = {};
  if (step_from_) change->from.Add(step_from_);
  out_.push_back(RecordChanged{record});
}

// A cut is news. Cuts all the time, everywhere, are the weather.
bool Board::IsUrgent(const Record& record) {
  if (record.key.kind != RecordKind::kReach) return true;
  return now_ - std::exchange(reach_told_at_, now_) >= kReachQuiet;
}

Board::Change* Board::WaitingWith(const Record& record) {
  if (changed_.empty()) return nullptr;
  std::size_t place = 0;
  if (IsEvent(record)) {
    const std::uint32_t* waiting = events_.WaitingOf(record);
    if (waiting == nullptr || *waiting == 0) return nullptr;
    place = *waiting - 1;
  } else {
    const auto waiting = changed_statements_.find(record.key);
    if (waiting == changed_statements_.end()) return nullptr;
    place = waiting->second;
  }
  if (place >= changed_.size()) return nullptr;  // was passed on
  Change& change = changed_[place];
  return change.record.key == record.key && change.record.version == record.version ? &change : nullptr;
}

// What a node said in a former life, and has not said again, is void.
void Board::DropEarlierLives(const Record& record) {
  std::uint32_t& life = lives_[record.key.owner];
  if (record.version.boot <= life) return;
  life = record.version.boot;
  EraseStatements(record.key.owner, life - 1);
}

void Board::EraseStatements(NodeId owner, std::uint32_t boot) {
  for (auto kind :
       {RecordKind::kNodeReport, RecordKind::kPlanSlice, RecordKind::kRegionReport, RecordKind::kReach}) {
    auto it = records_.lower_bound({kind, owner, 0});
    while (it != records_.end() && it->first.kind == kind && it->first.owner == owner) {
      if (it->second.version.boot > boot) {
        ++it;
        continue;
      }
      Count(it->second);
      it = records_.erase(it);
    }
  }
}

void Board::On(const OwnerGone& gone) {
  if (gone.node == self_) return;
  std::uint32_t& last = gone_[gone.node];
  last = std::max(last, gone.boot);
  if (const auto life = lives_.find(gone.node); gone.boot == 0 && life != lives_.end()) last = life->second;
  EraseStatements(gone.node, last);
}

// ------------------------------------------------------------------------------------------------ between
// nodes

void Board::On(const Tick&) {
  while (const auto peer = differences_.Due(now_, digest())) {
    if (peers_.contains(*peer)) SendOffer(*peer, true);
  }
  while (const auto peer = region_differences_.Due(now_, region_digest_)) {
    if (peers_.contains(*peer)) SendOffer(*peer, true);
  }
}

void Board::Take(NodeId from, const RecordPush& push) {
  if (push.known) OnKnown(from);
  const std::size_t waited = changed_.size();
  std::size_t fresh = 0;
  step_from_ = from;
  for (const Record& record : push.records) {
    if (!Accept(record)) {
      ++refused_;
    } else if (Put(record)) {
      ++fresh;
    } else if (Change* waiting = WaitingWith(record)) {
      waiting->from.Add(from);
    }
  }
  step_from_ = {};
  if (!push.flood) {
    if (fresh <= kPassOnMax) return;
    changed_.resize(waited);
    for (auto it = changed_statements_.begin(); it != changed_statements_.end();)
      it = it->second < waited ? std::next(it) : changed_statements_.erase(it);
  } else if (fresh > 0) {
    SetLazy(from, false);
  } else if (!push.records.empty()) {
    OnNothingNew(from);
  } else if (!push.known) {
    SetLazy(from, false);  // it asks to be told after all
  }
}

void Board::SetLazy(NodeId peer, bool lazy) {
  const auto link = links_.find(peer);
  if (link != links_.end() && std::exchange(link->second.lazy, lazy) != lazy) eager_links_ = {};
}

void Board::OnNothingNew(NodeId from) {
  if (now_ < asking_until_) return;
  const auto link = links_.find(from);
  if (link == links_.end()) return;
  if (link->second.asked != Time{} && now_ - link->second.asked < kAskAgain) return;
  if (!link->second.lazy && HasFewWays(from)) return;
  link->second.asked = now_;
  asking_until_ = now_ + kAskWait;
  out_.push_back(SendLink{from, AddressOf(from), RecordPush{{}, false, true}});
}

void Board::OnKnown(NodeId from) {
  const auto link = links_.find(from);
  if (link == links_.end()) return;
  if (link->second.asked != Time{}) asking_until_ = now_;
  if (link->second.lazy) return;
  if (HasFewWays(from)) {
    // It left this node out already where this is its answer: since the question others may have gone.
    if (link->second.asked != Time{}) out_.push_back(SendLink{from, AddressOf(from), kTellMe});
    return;
  }
  SetLazy(from, true);
  out_.push_back(SendLink{from, AddressOf(from), RecordPush{{}, false, true}});
}

void Board::Answer(NodeId from, const RecordOffer& offer) {
  Others theirs(ConcerningUs(offer));
  std::vector<Record> newer;
  bool lacking = false;
  for (const auto& [key, version] : HeldFor(from)) {
    const auto known = theirs.Find(ComparedBy(key, version));
    if (known && version < *known) lacking = true;
    if (known && version <= *known) continue;
    if (key.kind == RecordKind::kEvent) {
      events_.AddLaterOf(key.owner, version.boot, known, newer);
    } else {
      newer.push_back(records_.at(key));
    }
  }
  lacking = lacking || theirs.AnyUnasked();
  if (!newer.empty()) SetLazy(from, false);  // news does not reach it well
  Send(from, std::move(newer), false);
  if (offer.reply_wanted && lacking) SendOffer(from, false);
}

void Board::On(const LinkUp& link) {
  if (link.peer == self_) return;
  // In a burst of joins or losses a node has dozens of links, and each would bring everybody what he knows: a
  // new one beyond those needed is to be left out from the start.
  const bool enough = !HasFewWays(link.peer);
  const auto [known, fresh] = links_.try_emplace(link.peer);
  if (!fresh) return;
  eager_links_ = {};
  Meet(link.peer);
  if (!enough || !peers_.contains(link.peer)) return;
  known->second.asked = now_;
  out_.push_back(SendLink{link.peer, AddressOf(link.peer), RecordPush{{}, false, true}});
}

// One at a time: whoever comes back to many has most of what they know from the first.
void Board::Meet(NodeId peer) {
  if (now_ < meet_next_ || !links_.contains(peer) || !peers_.contains(peer)) return;
  if (!met_.insert(peer).second) return;
  meet_next_ = now_ + kPatience;
  SendOffer(peer, true);
}

void Board::On(const LinkDown& down) {
  const auto link = links_.find(down.peer);
  if (link == links_.end()) return;
  const bool lazy = link->second.lazy;
  links_.erase(link);
  eager_links_ = {};
  if (!lazy) BringBack();
}

// A way is lost: others take its place.
void Board::BringBack() {
  for (auto& [peer, link] : links_) {
    if (!link.lazy) continue;
    if (!HasFewWays(peer)) continue;
    link.lazy = false;
    eager_links_ = {};
    out_.push_back(SendLink{peer, AddressOf(peer), kTellMe});
  }
}

void Board::On(const BoardPeers& peers) {
  std::map<NodeId, Endpoint> present(peers.present.begin(), peers.present.end());
  std::vector<NodeId> absent;
  for (const auto& [id, address] : peers_) {
    if (!present.contains(id)) absent.push_back(id);
  }
  for (const NodeId& id : absent) On(BoardPeer{id, std::nullopt});
  for (const auto& [id, address] : present) On(BoardPeer{id, address});
}

void Board::On(const BoardPeer& peer) {
  if (peer.id == self_) return;
  eager_links_ = {};
  present_inside_.reset();
  if (peer.address) {
    peers_[peer.id] = *peer.address;
    gone_.erase(peer.id);  // it lives after all
    Meet(peer.id);
    return;
  }
  if (peers_.erase(peer.id) == 0) return;
  met_.erase(peer.id);
  differences_.Forget(peer.id);
  region_differences_.Forget(peer.id);
  BringBack();
}

void Board::On(const BoardDigestHeard& heard) {
  if (heard.digest == digest()) {
    differences_.Forget(heard.peer);
  } else if (peers_.contains(heard.peer)) {
    differences_.Heard(now_, heard.peer, heard.digest, digest());
  }
  if (IsInside(heard.peer) && peers_.contains(heard.peer))
    region_differences_.Heard(now_, heard.peer, heard.region, region_digest_);
}

void Board::Send(NodeId to, std::vector<Record> records, bool flood) {
  if (records.empty()) return;
  if (records.size() <= kPushMax) {
    out_.push_back(SendLink{to, AddressOf(to), RecordPush{std::move(records), flood}});
    return;
  }
  for (std::size_t from = 0; from < records.size(); from += kPushMax) {
    const auto begin = records.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = records.begin() + static_cast<std::ptrdiff_t>(std::min(from + kPushMax, records.size()));
    out_.push_back(SendLink{to, AddressOf(to), RecordPush{{begin, end}, flood}});
  }
}

void Board::SendOffer(NodeId to, bool reply_wanted) {
  RecordOffer offer{reply_wanted, HeldFor(to)};
  const Time rested = now_ + kRestPerHeld * static_cast<std::int64_t>(offer.held.size());
  differences_.NotBefore(rested);
  region_differences_.NotBefore(rested);
  meet_next_ = std::max(meet_next_, rested);
  out_.push_back(SendLink{to, AddressOf(to), std::move(offer)});
}

void Board::Flush() {
  if (changed_.empty()) {
    urgent_ = false;
    flush_at_ = kNever;
    return;
  }
  const auto peers = static_cast<std::int64_t>(peers_.size());
  const Duration wait = std::clamp<Duration>(kEventPausePerPeer * peers, kEventPause, kEventPauseMax);
  const Time due = std::max(flush_next_, urgent_ ? now_ : now_ + wait);
  flush_at_ = std::min(flush_at_, due);
  if (now_ < flush_at_) return;
  urgent_ = false;
  flush_at_ = kNever;
  flush_next_ = now_ + std::clamp<Duration>(kFloodPausePerPeer * peers, kFloodPause, kFloodPauseMax);
  std::ranges::sort(changed_, {}, [](const Change& change) { return change.record.key; });
  for (const auto& [peer, link] : links_) {
    if (link.lazy) continue;
    const bool inside = IsInside(peer);
    std::vector<Record> records;
    records.reserve(changed_.size());
    for (const Change& change : changed_) {
      if (!change.from.Contains(peer) && Tells(inside, change.record)) records.push_back(change.record);
    }
    if (!records.empty()) Send(peer, std::move(records), true);
  }
  changed_.clear();
  changed_statements_.clear();
}

Endpoint Board::AddressOf(NodeId peer) const {
  const auto it = peers_.find(peer);
  return it == peers_.end() ? Endpoint{} : it->second;
}

}  // namespace hs
