#include "core/placement/move_book.h"

#include <algorithm>

namespace hs {
namespace {

constexpr Duration kFirstHold = 10min;
constexpr Duration kForget = 24h;

}  // namespace

void MoveBook::Note(Time now, const std::vector<SpecHash>& begun, const std::vector<SpecHash>& failed) {
  for (const SpecHash service : begun) {
    Entry& entry = entries_[service];
    entry.not_before = std::max(entry.not_before, now + tunables_.move_pause);
  }
  for (const SpecHash service : failed) {
    Entry& entry = entries_[service];
    if (now - entry.failed_at > kForget) entry.failures = 0;
    entry.failed_at = now;
    entry.not_before = now + std::min(kForget, kFirstHold * (1 << std::min(entry.failures++, 10U)));
  }
  std::erase_if(entries_, [now](const auto& entry) {
    return entry.second.not_before <= now && now - entry.second.failed_at > kForget;
  });
}

Time MoveBook::NotBefore(SpecHash service) const {
  const auto entry = entries_.find(service);
  return entry == entries_.end() ? Time{} : entry->second.not_before;
}

}  // namespace hs
