#include "core/observation/board.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace hs {
namespace {

// A digest of nothing must not be 0, which means "not said".
constexpr std::uint64_t kEmptyDigest = 0x5e1f27c3a9b4d681ULL;
constexpr Duration kPatience = 1s;
// Each event alone would cost every board a message on every link. Where there are many peers, bursts are
// longer, and so are the pauses.
constexpr Duration kEventPause = 50ms;
constexpr Duration kEventPausePerPeer = 2ms;
constexpr Duration kEventPauseMax = 500ms;
// Between two floods: in a burst each carries what came meanwhile.
constexpr Duration kFloodPause = 5ms;
constexpr Duration kFloodPausePerPeer = 200us;
constexpr Duration kFloodPauseMax = 50ms;
// Ways by which news comes in, and goes out.
constexpr std::size_t kEagerMin = 3;
// Where there are so many, a new link is to be left out from the start: in a burst of joins or losses a node
// has dozens of links, and each would bring everybody what he knows.
constexpr std::size_t kEagerMax = 6;
constexpr Duration kAskWait = 1s;
constexpr Duration kAskAgain = 30s;
// Records per message, so that one message stays well below a megabyte.
constexpr std::size_t kPushMax = 256;
// What was learned by comparing notes is passed on when it is little (as documents are).
constexpr std::size_t kPassOnMax = 32;

std::uint64_t HashOfVersion(const Record& record) {
  std::uint64_t hash =
      CombineHash(static_cast<std::uint64_t>(record.key.kind), Hash64(record.key.owner.Hex()));
  hash = CombineHash(hash, record.key.sub);
  hash = CombineHash(hash, record.version.boot);
  return CombineHash(hash, record.version.sequence);
}

bool IsEvent(const Record& record) { return record.key.kind == RecordKind::kEvent; }

// Under what two boards compare a record: itself, or all events of one life of their owner.
RecordKey ComparedBy(const RecordKey& key, const RecordVersion& version) {
  return key.kind == RecordKind::kEvent ? RecordKey{key.kind, key.owner, version.boot} : key;
}

WallMs AgeOf(const Record& record) { return std::get<Event>(*record.body).at_ms; }

}  // namespace

Board::Board(const Tunables& tunables, NodeId self, std::uint32_t boot, Prng prng)
    : tunables_(tunables),
      self_(self),
      boot_(boot),
      differences_(kPatience, tunables.sync_interval, prng),
      digest_(kEmptyDigest) {}

BoardOutputs Board::Step(Time now, const BoardInput& input) {
  now_ = now;
  std::visit([&](const auto& what) { On(what); }, input);
  DropOldEvents();
  Flush();
  return std::exchange(out_, {});
}

Time Board::NextDeadline() const { return std::min(differences_.NextDeadline(), flush_at_); }

// ------------------------------------------------------------------------------------------------ own
// records

void Board::On(const NewLife& life) {
  if (life.boot <= boot_) return;
  boot_ = life.boot;
  std::vector<Record> own;
  for (const auto& [key, record] : records_) {
    if (key.owner == self_ && !IsEvent(record)) own.push_back(record);
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
  const RecordKey& key = record.key;
  if (IsEvent(record)) {
    if (IsTooOld(record)) return false;
  } else {
    if (const auto gone = gone_.find(key.owner); gone != gone_.end() && record.version.boot <= gone->second)
      return false;
    const auto life = lives_.find(key.owner);
    if (life != lives_.end() && record.version.boot < life->second) return false;
  }
  const auto it = records_.find(key);
  if (it != records_.end()) {
    if (record.version <= it->second.version) return false;
    Erase(it);
  }
  records_.emplace(key, record);
  differences_.Changed(now_);
  if (IsEvent(record)) {
    CountEvent(record);
  } else {
    digest_ ^= HashOfVersion(record);
    DropEarlierLives(record);
  }
  Change& change = changed_[key];
  change.record = record;
  change.from.clear();
  if (step_from_) change.from.push_back(step_from_);
  urgent_ = urgent_ || !IsEvent(record);
  out_.push_back(RecordChanged{record});
  return true;
}

void Board::CountEvent(const Record& record) {
  const auto [it, fresh] = newest_event_.try_emplace(record.key.owner, record.key);
  if (!fresh) {
    const Record& newest = records_.at(it->second);
    const bool older = record.version <= newest.version;
    const Record& spare = older ? record : newest;
    spare_events_.emplace(AgeOf(spare), spare.key);
    if (older) return;
    digest_ ^= HashOfVersion(newest);
    it->second = record.key;
  }
  digest_ ^= HashOfVersion(record);
}

// It would be dropped at once. Were it news all the same, two full boards would tell each other of it for
// ever.
bool Board::IsTooOld(const Record& record) const {
  if (spare_events_.size() + newest_event_.size() < static_cast<std::size_t>(tunables_.events_kept))
    return false;
  const auto newest = newest_event_.find(record.key.owner);
  if (newest == newest_event_.end() || records_.at(newest->second).version < record.version) return false;
  return spare_events_.empty() || EventAge{AgeOf(record), record.key} < *spare_events_.begin();
}

void Board::Erase(std::map<RecordKey, Record>::iterator it) {
  if (IsEvent(it->second)) {
    spare_events_.erase({AgeOf(it->second), it->first});
    const auto newest = newest_event_.find(it->first.owner);
    if (newest != newest_event_.end() && newest->second == it->first) {
      digest_ ^= HashOfVersion(it->second);
      newest_event_.erase(newest);
    }
  } else {
    digest_ ^= HashOfVersion(it->second);
  }
  records_.erase(it);
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
      const auto next = std::next(it);
      if (it->second.version.boot <= boot) {
        Erase(it);
        differences_.Changed(now_);
      }
      it = next;
    }
  }
}

// The newest of each owner stays in any case: boards compare by it.
void Board::DropOldEvents() {
  while (!spare_events_.empty() &&
         spare_events_.size() + newest_event_.size() > static_cast<std::size_t>(tunables_.events_kept)) {
    Erase(records_.find(spare_events_.begin()->second));
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
  while (const auto peer = differences_.Due(now_, digest_)) {
    if (peers_.contains(*peer)) SendOffer(*peer, true);
  }
}

void Board::On(const RecordsReceived& received) {
  const RecordPush& push = received.push;
  if (push.known) OnKnown(received.from);
  std::vector<RecordKey> fresh;
  step_from_ = received.from;
  for (const Record& record : push.records) {
    if (!Accept(record)) {
      ++refused_;
      continue;
    }
    if (Put(record)) {
      fresh.push_back(record.key);
      continue;
    }
    const auto waiting = changed_.find(record.key);
    if (waiting != changed_.end() && waiting->second.record.version == record.version)
      waiting->second.from.push_back(received.from);
  }
  step_from_ = {};
  if (!push.flood) {
    if (fresh.size() > kPassOnMax) {
      for (const RecordKey& key : fresh) changed_.erase(key);
    }
  } else if (!fresh.empty()) {
    SetLazy(received.from, false);
  } else if (!push.records.empty()) {
    OnNothingNew(received.from);
  }
}

// Asked for with every flood that tells nothing new.
std::size_t Board::EagerLinks() const {
  if (!eager_links_) {
    eager_links_ = static_cast<std::size_t>(std::ranges::count_if(
        links_, [this](const NodeId& peer) { return !lazy_.contains(peer) && peers_.contains(peer); }));
  }
  return *eager_links_;
}

void Board::SetLazy(NodeId peer, bool lazy) {
  if (lazy ? lazy_.insert(peer).second : lazy_.erase(peer) != 0) eager_links_.reset();
}

void Board::OnNothingNew(NodeId from) {
  if (now_ < asking_until_ || !links_.contains(from)) return;
  const auto asked = asked_.find(from);
  if (asked != asked_.end() && now_ - asked->second < kAskAgain) return;
  if (!lazy_.contains(from) && EagerLinks() <= kEagerMin) return;
  asked_[from] = now_;
  asking_until_ = now_ + kAskWait;
  out_.push_back(SendLink{from, AddressOf(from), RecordPush{{}, false, true}});
}

void Board::OnKnown(NodeId from) {
  if (asked_.contains(from)) asking_until_ = now_;
  if (!links_.contains(from) || lazy_.contains(from) || EagerLinks() <= kEagerMin) return;
  SetLazy(from, true);
  out_.push_back(SendLink{from, AddressOf(from), RecordPush{{}, false, true}});
}

void Board::On(const RecordOfferReceived& received) {
  std::map<RecordKey, RecordVersion> theirs;
  for (const auto& [key, version] : received.offer.held) theirs[ComparedBy(key, version)] = version;
  std::vector<Record> newer;
  for (const auto& [key, record] : records_) {
    const auto it = theirs.find(ComparedBy(key, record.version));
    if (it == theirs.end() || it->second < record.version) newer.push_back(record);
  }
  if (!newer.empty()) SetLazy(received.from, false);  // news does not reach it well
  Send(received.from, std::move(newer), false);
  if (!received.offer.reply_wanted) return;
  std::map<RecordKey, RecordVersion> ours;
  for (const auto& [key, version] : Held()) ours[ComparedBy(key, version)] = version;
  const bool lacking = std::ranges::any_of(theirs, [&](const auto& entry) {
    const auto it = ours.find(entry.first);
    return it == ours.end() || it->second < entry.second;
  });
  if (lacking) SendOffer(received.from, false);
}

void Board::On(const LinkUp& link) {
  if (link.peer == self_) return;
  const bool enough = EagerLinks() >= kEagerMax;
  if (!links_.insert(link.peer).second) return;
  eager_links_.reset();
  if (!enough || !peers_.contains(link.peer)) return;
  asked_[link.peer] = now_;
  out_.push_back(SendLink{link.peer, AddressOf(link.peer), RecordPush{{}, false, true}});
}
void Board::On(const LinkDown& link) {
  if (links_.erase(link.peer) == 0) return;
  eager_links_.reset();
  asked_.erase(link.peer);
  if (lazy_.erase(link.peer) == 0) BringBack();
}

// A way is lost: others take its place.
void Board::BringBack() {
  while (!lazy_.empty() && EagerLinks() < kEagerMax) SetLazy(*lazy_.begin(), false);
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
  eager_links_.reset();
  if (peer.address) {
    peers_[peer.id] = *peer.address;
    gone_.erase(peer.id);  // it lives after all
    return;
  }
  if (peers_.erase(peer.id) == 0) return;
  differences_.Forget(peer.id);
  if (links_.contains(peer.id) && !lazy_.contains(peer.id)) BringBack();
}

void Board::On(const BoardDigestHeard& heard) {
  if (peers_.contains(heard.peer)) differences_.Heard(now_, heard.peer, heard.digest, digest_);
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
  out_.push_back(SendLink{to, AddressOf(to), RecordOffer{reply_wanted, Held()}});
}

// Every statement, and of events the last one of each life: those before it came before it.
std::vector<std::pair<RecordKey, RecordVersion>> Board::Held() const {
  std::vector<std::pair<RecordKey, RecordVersion>> held;
  for (const auto& [key, record] : records_) {
    const bool continues =
        IsEvent(record) && !held.empty() &&
        ComparedBy(key, record.version) == ComparedBy(held.back().first, held.back().second);
    if (continues) held.pop_back();
    held.emplace_back(key, record.version);
  }
  return held;
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
  std::vector<Change> changed;
  changed.reserve(changed_.size());
  for (auto& [key, change] : std::exchange(changed_, {})) changed.push_back(std::move(change));
  for (const NodeId& peer : links_) {
    if (lazy_.contains(peer)) continue;
    std::vector<Record> records;
    for (const Change& change : changed) {
      if (std::ranges::find(change.from, peer) == change.from.end()) records.push_back(change.record);
    }
    if (!records.empty()) Send(peer, std::move(records), true);
  }
}

Endpoint Board::AddressOf(NodeId peer) const {
  const auto it = peers_.find(peer);
  return it == peers_.end() ? Endpoint{} : it->second;
}

// ------------------------------------------------------------------------------------------------ reading

std::shared_ptr<const RecordBody> Board::Find(const RecordKey& key) const {
  const auto it = records_.find(key);
  return it == records_.end() ? nullptr : it->second.body;
}

std::shared_ptr<const RecordBody> Board::Report(NodeId node) const {
  return Find({RecordKind::kNodeReport, node, 0});
}

std::shared_ptr<const RecordBody> Board::Slice(NodeId controller, NodeId node) const {
  return Find({RecordKind::kPlanSlice, controller, node.Prefix64()});
}

std::shared_ptr<const RecordBody> Board::Region(NodeId controller, RegionId region) const {
  return Find({RecordKind::kRegionReport, controller, region});
}

std::map<NodeId, std::shared_ptr<const RecordBody>> Board::Reports() const {
  std::map<NodeId, std::shared_ptr<const RecordBody>> reports;
  for (auto it = records_.begin(); it != records_.end() && it->first.kind == RecordKind::kNodeReport; ++it) {
    if (it->first.sub == 0) reports.emplace(it->first.owner, it->second.body);
  }
  return reports;
}

std::map<NodeId, std::shared_ptr<const RecordBody>> Board::Slices(NodeId controller) const {
  std::map<NodeId, std::shared_ptr<const RecordBody>> slices;
  auto it = records_.lower_bound({RecordKind::kPlanSlice, controller, 0});
  for (; it != records_.end() && it->first.kind == RecordKind::kPlanSlice && it->first.owner == controller;
       ++it) {
    slices.emplace(std::get<PlanSlice>(*it->second.body).node, it->second.body);
  }
  return slices;
}

std::vector<std::shared_ptr<const RecordBody>> Board::Events() const {
  std::vector<EventAge> ages(spare_events_.begin(), spare_events_.end());
  for (const auto& [owner, key] : newest_event_) ages.emplace_back(AgeOf(records_.at(key)), key);
  std::ranges::sort(ages);
  std::vector<std::shared_ptr<const RecordBody>> events;
  for (const auto& [age, key] : ages) events.push_back(records_.at(key).body);
  return events;
}

}  // namespace hs
