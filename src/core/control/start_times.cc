#include "core/control/start_times.h"

#include <algorithm>

namespace hs {

void StartTimes::See(Time now, const std::string& service, ReplicaId id, bool healthy) {
  const auto [entry, fresh] = watches_.try_emplace(id, Watch{healthy ? kNever : now, now});
  Watch& watch = entry->second;
  watch.seen = now;
  if (!healthy || watch.first == kNever) return;
  const Duration took = now - watch.first;
  watch.first = kNever;
  const auto [known, first] = start_up_.try_emplace(service, took);
  if (!first) known->second = std::max(took, (known->second * 7 + took * 3) / 10);
}

void StartTimes::Forget(Time since) {
  std::erase_if(watches_, [since](const auto& watch) { return watch.second.seen < since; });
}

}  // namespace hs
