#include "runtime/http/regions.h"

#include "wire/codec.h"

namespace hs {

std::string EncodeReports(const NodeView& view) {
  RecordPush push;
  for (const auto& [node, body] : view.reports)
    push.records.push_back({{RecordKind::kNodeReport, node, 0}, {}, body});
  for (const auto& [node, body] : view.slices) {
    const auto& slice = std::get<PlanSlice>(*body);
    if (slice.stamp.controller)
      push.records.push_back({{RecordKind::kPlanSlice, slice.stamp.controller, node.Prefix64()}, {}, body});
  }
  return EncodeLinkMessage(push);
}

bool JoinReports(NodeView& view, std::string_view bytes) {
  const auto message = DecodeLinkMessage(bytes);
  const auto* push = message ? std::get_if<RecordPush>(&*message) : nullptr;
  if (push == nullptr) return false;
  for (const Record& record : push->records) {
    if (std::holds_alternative<NodeReport>(*record.body)) view.reports.emplace(record.key.owner, record.body);
    if (const auto* slice = std::get_if<PlanSlice>(record.body.get()))
      view.slices.emplace(slice->node, record.body);
  }
  return true;
}

}  // namespace hs
