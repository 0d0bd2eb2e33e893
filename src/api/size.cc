// How many boxes: the fewest, what present demand takes, the most that would ever be used.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/handlers.h"
#include "api/json.h"
#include "api/loads.h"
#include "core/control/asking.h"
#include "core/intent/quota.h"

namespace hs {
namespace {

// A service that reserves nothing takes what its replicas were seen to take.
void FillInMeasured(const NodeView& view, std::vector<ShareRequest>& requests) {
  const auto loads = ServiceLoadsOf(view);
  for (ShareRequest& request : requests) {
    const auto load = loads.find(request.service);
    if (load == loads.end() || load->second.replicas == 0) continue;
    const double replicas = load->second.replicas;
    if (request.cpu_millicores == 0)
      request.cpu_millicores = static_cast<std::uint64_t>(std::ceil(load->second.cpu * 1000 / replicas));
    if (request.memory_bytes == 0) request.memory_bytes = load->second.memory_bytes / load->second.replicas;
  }
}

json::array Names(const std::vector<std::string>& names) {
  json::array out;
  for (const std::string& name : names) out.push_back(SafeText(name));
  return out;
}

}  // namespace

ApiResult GetSize(const RouteCall& call) {
  const NodeView& view = call.view;
  Documents documents;
  std::set<NodeId> drained;
  for (const Document& document : view.documents) {
    documents.emplace(document.key, document);
    if (const auto* drain = std::get_if<DrainOrder>(&document.body)) drained.insert(drain->node);
  }
  MemberTable members;
  for (const Member& member : view.members) members.emplace(member.id, member);
  auto requests = RequestsOf(view.services, {}, Quotas(documents));
  FillInMeasured(view, requests);
  const auto boxes = BoxesOf(view.now, members, drained);
  const Sizes sizes = ComputeSizes(requests, boxes);

  std::uint64_t cpu = 0, memory = 0;
  for (const ShareRequest& request : requests) {
    const auto level =
        static_cast<std::uint64_t>(std::max(request.min, std::min(request.demand, request.max)));
    cpu += level * request.cpu_millicores;
    memory += level * request.memory_bytes;
  }
  std::uint64_t cpu_room = 0, memory_room = 0;
  for (const NamedBox& box : boxes) {
    cpu_room += box.room.cpu_millicores;
    memory_room += box.room.memory_bytes;
  }
  const json::object out{{"boxes", boxes.size()},
                         {"minimum", sizes.minimum},
                         {"demand", sizes.demand},
                         {"maximum", sizes.maximum},
                         {"short_by", sizes.short_by},
                         {"unplug", Names(sizes.unplug)},
                         {"short", ShortagesJson(view.steady.shortages)},
                         {"cpu_millicores", json::object{{"wanted", cpu}, {"there", cpu_room}}},
                         {"memory_bytes", json::object{{"wanted", memory}, {"there", memory_room}}}};
  return ApiResponse{200, json::serialize(out), "application/json"};
}

}  // namespace hs
