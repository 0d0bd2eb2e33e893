#include "core/observation/event_book.h"

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/hash.h"

namespace hs {
namespace {

WallMs TimeOf(const Record& record) { return std::get<Event>(*record.body).at_ms; }

RecordKey KeyOf(NodeId owner, std::uint64_t number) { return {RecordKind::kEvent, owner, number}; }

}  // namespace

std::uint64_t HashOfVersion(const RecordKey& key, RecordVersion version) {
  const std::string_view owner(reinterpret_cast<const char*>(key.owner.bytes.data()), NodeId::kBytes);
  std::uint64_t hash = CombineHash(static_cast<std::uint64_t>(key.kind), Hash64(owner));
  hash = CombineHash(hash, key.sub);
  hash = CombineHash(hash, version.boot);
  return CombineHash(hash, version.sequence);
}

std::vector<EventBook::Line>::iterator EventBook::Find(Page& page, std::uint64_t number) {
  auto& lines = page.lines;
  if (page.Empty() || lines.back().number < number) return lines.end();
  const auto at = std::ranges::lower_bound(page.Begin(), lines.end(), number, {}, &Line::number);
  return at->number == number ? at : lines.end();
}

bool EventBook::IsTooOld(const Page& page, const Record& record, WallMs at) const {
  if (size_ < kept_max_) return false;
  if (page.Empty() || page.last_version < record.version) return false;
  return spare_.empty() || Age{at, record.key.owner, record.key.sub} < spare_.front();
}

bool EventBook::Put(const Record& record) {
  const NodeId owner = record.key.owner;
  const std::uint64_t number = record.key.sub;
  Page& page = pages_[owner];
  const WallMs at = TimeOf(record);
  if (IsTooOld(page, record, at)) return false;
  if (const auto known = Find(page, number); known != page.lines.end()) {
    if (record.version <= known->version) return false;
    Remove(owner, page, known);
  }
  const auto place = std::ranges::lower_bound(page.Begin(), page.lines.end(), number, {}, &Line::number);
  const bool first = page.Empty();
  page.lines.insert(place, {number, record.version, at, 0, record.body});
  ++size_;
  if (!first && record.version <= page.last_version) {
    AddSpare({at, owner, number});
  } else {
    if (!first) {
      digest_ ^= HashOfVersion(KeyOf(owner, page.last), page.last_version);
      AddSpare({Find(page, page.last)->at, owner, page.last});
    }
    page.last = number;
    page.last_version = record.version;
    digest_ ^= HashOfVersion(record.key, record.version);
  }
  DropOld();
  return true;
}

// Its owner gave the number to another event: nothing that a node does, but something it can be told.
void EventBook::Remove(NodeId owner, Page& page, std::vector<Line>::iterator line) {
  const bool last = line->number == page.last;
  const Age age{line->at, owner, line->number};
  page.lines.erase(line);
  --size_;
  if (!last) {
    spare_.erase(std::ranges::find(spare_, age));
    std::ranges::make_heap(spare_, std::greater<>());
    return;
  }
  digest_ ^= HashOfVersion(KeyOf(owner, page.last), page.last_version);
  if (page.Empty()) return;
  const auto next = std::ranges::max_element(page.Begin(), page.lines.end(), {}, &Line::version);
  page.last = next->number;
  page.last_version = next->version;
  digest_ ^= HashOfVersion(KeyOf(owner, page.last), page.last_version);
  spare_.erase(std::ranges::find(spare_, Age{next->at, owner, next->number}));
  std::ranges::make_heap(spare_, std::greater<>());
}

void EventBook::AddSpare(const Age& age) {
  spare_.push_back(age);
  std::ranges::push_heap(spare_, std::greater<>());
}

// The last of each owner stays in any case: boards compare by it.
void EventBook::DropOld() {
  while (size_ > kept_max_ && !spare_.empty()) {
    const Age oldest = spare_.front();
    std::ranges::pop_heap(spare_, std::greater<>());
    spare_.pop_back();
    Page& page = pages_[oldest.owner];
    const auto line = Find(page, oldest.number);
    HS_CHECK(line != page.lines.end());
    --size_;
    if (line != page.Begin()) {
      page.lines.erase(line);
      continue;
    }
    line->body.reset();
    constexpr std::size_t kTogether = 16;
    if (++page.struck_out < kTogether || 2 * page.struck_out < page.lines.size()) continue;
    page.lines.erase(page.lines.begin(), page.Begin());
    page.struck_out = 0;
  }
}

std::uint32_t* EventBook::WaitingOf(const Record& record) {
  const auto page = pages_.find(record.key.owner);
  if (page == pages_.end()) return nullptr;
  const auto line = Find(page->second, record.key.sub);
  return line == page->second.lines.end() || line->version != record.version ? nullptr : &line->waiting;
}

void EventBook::AddLastOfLives(std::vector<std::pair<RecordKey, RecordVersion>>& held) const {
  for (const auto& [owner, page] : pages_) {
    // Numbers grow from life to life, so the lives of a page follow one another.
    const std::span<const Line> lines = page.Lines();
    for (auto line = lines.begin(); line != lines.end();) {
      const std::uint32_t boot = line->version.boot;
      line = std::partition_point(line, lines.end(),
                                  [boot](const Line& later) { return later.version.boot <= boot; });
      held.emplace_back(KeyOf(owner, std::prev(line)->number), std::prev(line)->version);
    }
  }
}

void EventBook::AddLaterOf(NodeId owner, std::uint32_t boot, std::optional<RecordVersion> known,
                           std::vector<Record>& records) const {
  const auto page = pages_.find(owner);
  if (page == pages_.end()) return;
  for (const Line& line : page->second.Lines()) {
    if (line.version.boot != boot || (known && line.version <= *known)) continue;
    records.push_back({KeyOf(owner, line.number), line.version, line.body});
  }
}

std::vector<std::shared_ptr<const RecordBody>> EventBook::OldestFirst() const {
  std::vector<std::pair<Age, const Line*>> lines;
  for (const auto& [owner, page] : pages_) {
    for (const Line& line : page.Lines()) lines.push_back({{line.at, owner, line.number}, &line});
  }
  std::ranges::sort(lines, {}, [](const auto& entry) { return entry.first; });
  std::vector<std::shared_ptr<const RecordBody>> events;
  events.reserve(lines.size());
  for (const auto& [age, line] : lines) events.push_back(line->body);
  return events;
}

}  // namespace hs
