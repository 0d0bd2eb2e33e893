// What a board says when it is asked.
#include "core/observation/board.h"

namespace hs {

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

std::shared_ptr<const RecordBody> Board::Region(NodeId controller) const {
  return Find({RecordKind::kRegionReport, controller, 0});
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

std::vector<std::shared_ptr<const RecordBody>> Board::Events() const { return events_.OldestFirst(); }

}  // namespace hs
