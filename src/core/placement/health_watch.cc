#include "core/placement/health_watch.h"

#include "core/placement/inventory.h"

namespace hs {

void HealthWatch::Observe(Time now, const NodeReports& reports) {
  UnhealthySince fresh;
  for (const auto& [node, seen] : reports) {
    for (const ReplicaStatus& status : seen.report->replicas) {
      Piece piece;
      piece.status = &status;
      if (!piece.Ailing()) continue;
      const auto before = since_.find(status.id);
      fresh.emplace(status.id, before == since_.end() ? now : before->second);
    }
  }
  since_ = std::move(fresh);
}

}  // namespace hs
