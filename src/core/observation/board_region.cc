// What a board keeps of its own region alone, while there are several: reports of its members and plans for
// them.
#include <algorithm>

#include "core/observation/board.h"

namespace hs {
namespace {

// Ways by which news comes in, and goes out.
constexpr std::size_t kEagerMin = 3;
constexpr std::size_t kManyInside = 12;

// Of a report or a slice: whom it is about.
NodeId AboutWhom(const Record& record) {
  const auto* slice = std::get_if<PlanSlice>(record.body.get());
  return slice == nullptr ? record.key.owner : slice->node;
}

}  // namespace

bool Board::IsRegional(const RecordKey& key) const {
  return !region_.members.empty() &&
         (key.kind == RecordKind::kNodeReport || key.kind == RecordKind::kPlanSlice);
}

bool Board::IsInside(NodeId node) const { return std::ranges::binary_search(region_.members, node); }

bool Board::ConcernsUs(const Record& record) const {
  if (!IsRegional(record.key)) return true;
  const NodeId node = AboutWhom(record);
  return IsInside(node) || std::ranges::binary_search(region_.kept, node);
}

// To be flooded to a peer, and compared with it.
bool Board::Tells(bool peer_inside, const Record& record) const {
  return !IsRegional(record.key) || (peer_inside && IsInside(AboutWhom(record)));
}

// Of what somebody holds, what we should hold too.
std::vector<std::pair<RecordKey, RecordVersion>> Board::ConcerningUs(const RecordOffer& offer) const {
  auto held = offer.held;
  if (region_.members.empty()) return held;
  std::erase_if(held, [this](const auto& entry) {
    const RecordKey& key = entry.first;
    if (!IsRegional(key)) return false;
    return !(key.kind == RecordKind::kNodeReport ? IsInside(key.owner)
                                                 : std::ranges::binary_search(region_prefixes_, key.sub));
  });
  return held;
}

// Every statement, and of events the last one of each life: those before it came before it.
std::vector<std::pair<RecordKey, RecordVersion>> Board::HeldFor(NodeId peer) const {
  std::vector<std::pair<RecordKey, RecordVersion>> held;
  held.reserve(records_.size() + 2 * lives_.size());
  const bool inside = IsInside(peer);
  const auto after_events = records_.lower_bound({RecordKind::kReach, {}, 0});
  auto it = records_.begin();
  for (; it != after_events; ++it) {
    if (Tells(inside, it->second)) held.emplace_back(it->first, it->second.version);
  }
  events_.AddLastOfLives(held);
  for (; it != records_.end(); ++it) held.emplace_back(it->first, it->second.version);
  return held;
}

// Asked for with every flood that tells nothing new.
std::size_t Board::EagerLinks(NodeId like) const {
  const bool inside = IsInside(like);
  auto& count = eager_links_[inside ? 1 : 0];
  if (!count) {
    count = static_cast<std::size_t>(std::ranges::count_if(links_, [&](const auto& entry) {
      return !entry.second.lazy && peers_.contains(entry.first) && IsInside(entry.first) == inside;
    }));
  }
  return *count;
}

// Everybody inside has ways out of his own: while those who are there are many, one each is plenty, and each
// further one brings all the others what they know.
std::size_t Board::EagerMin(NodeId like) const {
  if (region_.members.empty() || IsInside(like)) return kEagerMin;
  if (!present_inside_) {
    present_inside_ = static_cast<std::size_t>(
        std::ranges::count_if(region_.members, [this](const NodeId& id) { return peers_.contains(id); }));
  }
  return *present_inside_ >= kManyInside ? 1 : kEagerMin;
}

void Board::Count(const Record& record) {
  if (record.key.kind == RecordKind::kRegionReport) ++regions_version_;
  const std::uint64_t hash = HashOfVersion(record.key, record.version);
  if (!IsRegional(record.key)) {
    digest_ ^= hash;
    differences_.Changed(now_);
  } else if (IsInside(AboutWhom(record))) {
    region_digest_ ^= hash;
    region_differences_.Changed(now_);
  }
}

// In its own region a plan stands until its maker's report of the new life is here: it says as well what
// still runs. Elsewhere that does not come; who heard of it otherwise refuses the plan, and would differ from
// the others for ever.
bool Board::IsVoidPlan(const Record& record) const {
  if (record.key.kind != RecordKind::kPlanSlice || region_.members.empty() || IsInside(record.key.owner))
    return false;
  const auto life = planning_lives_.find(record.key.owner);
  return life != planning_lives_.end() && record.version.boot < life->second;
}

void Board::On(const LaterLife& later) {
  std::uint32_t& life = planning_lives_[later.node];
  life = std::max(life, later.boot);
  auto it = records_.lower_bound({RecordKind::kPlanSlice, later.node, 0});
  while (it != records_.end() && it->first.kind == RecordKind::kPlanSlice && it->first.owner == later.node) {
    if (!IsVoidPlan(it->second)) {
      ++it;
      continue;
    }
    Count(it->second);
    it = records_.erase(it);
  }
}

void Board::On(const BoardRegion& region) {
  const bool same_members = region.members == region_.members;
  region_ = region;
  for (auto it = records_.begin(); it != records_.end();)
    it = ConcernsUs(it->second) && !IsVoidPlan(it->second) ? std::next(it) : records_.erase(it);
  if (same_members) return;
  region_prefixes_.clear();
  for (const NodeId& id : region_.members) region_prefixes_.push_back(id.Prefix64());
  for (const auto& [peer, address] : peers_) {
    if (!IsInside(peer)) region_differences_.Forget(peer);
  }
  eager_links_ = {};
  present_inside_.reset();
  BringBack();
  digest_ = region_digest_ = kEmptyDigest;
  for (const auto& [key, record] : records_) Count(record);
  const auto own = records_.find({RecordKind::kNodeReport, self_, 0});
  if (region.another && own != records_.end()) Tell(Record(own->second));
  differences_.Changed(now_);
  region_differences_.Changed(now_);
}

}  // namespace hs
