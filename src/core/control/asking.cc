#include "core/control/asking.h"

#include <algorithm>

namespace hs {
namespace {

constexpr std::uint64_t kPlenty = std::uint64_t{1} << 50;

// What the service's own quota leaves of `max` replicas.
std::uint64_t MaxUnder(const QuotaDoc& quota, const ServiceSpec& spec, std::uint64_t max) {
  if (quota.replicas_max != 0) max = std::min<std::uint64_t>(max, quota.replicas_max);
  if (quota.cpu_millicores_max != 0 && spec.reserve.cpu_millicores != 0)
    max = std::min(max, quota.cpu_millicores_max / spec.reserve.cpu_millicores);
  if (quota.memory_bytes_max != 0 && spec.reserve.memory_bytes != 0)
    max = std::min(max, quota.memory_bytes_max / spec.reserve.memory_bytes);
  return max;
}

template <typename Limit, typename Number>
void Set(Limit& limit, Number number) {
  if (number != 0) limit = number;
}

}  // namespace

std::vector<ShareRequest> RequestsOf(const std::vector<DesiredService>& services,
                                     const std::map<std::string, std::uint32_t>& wanted,
                                     const std::vector<QuotaDoc>& quotas) {
  std::vector<ShareRequest> requests;
  for (const DesiredService& service : services) {
    const ServiceSpec& spec = service.spec;
    std::uint64_t max = service.fixed ? service.replicas : spec.scale->max;
    for (const QuotaDoc& quota : quotas) {
      if (quota.subject == "service." + spec.name) max = MaxUnder(quota, spec, max);
    }
    const auto level = wanted.find(spec.name);
    ShareRequest request{.service = spec.name, .priority = spec.priority};
    request.min = service.fixed ? service.replicas : spec.scale->min;
    request.demand = level == wanted.end() ? service.replicas : level->second;
    request.max = static_cast<std::int64_t>(max);
    request.cpu_millicores = spec.reserve.cpu_millicores;
    request.memory_bytes = spec.reserve.memory_bytes;
    requests.push_back(std::move(request));
  }
  return requests;
}

ClassQuotas ClassQuotasOf(const std::vector<QuotaDoc>& quotas) {
  ClassQuotas classes;
  for (const QuotaDoc& quota : quotas) {
    if (quota.subject != "services" && quota.subject != "batch") continue;
    ClassQuota& limits = classes[static_cast<std::size_t>(quota.subject == "batch" ? WorkClass::kBatch
                                                                                   : WorkClass::kServices)];
    Set(limits.replicas, quota.replicas_max);
    Set(limits.cpu_millicores, quota.cpu_millicores_max);
    Set(limits.memory_bytes, quota.memory_bytes_max);
  }
  return classes;
}

std::vector<NamedBox> BoxesOf(Time now, const MemberTable& members, const std::set<NodeId>& drained) {
  std::vector<NamedBox> boxes;
  for (const auto& [id, member] : members) {
    if (!IsPresent(member.state) || drained.contains(id) || member.quarantined_until > now) continue;
    const Capacity& capacity = member.meta->capacity;
    boxes.push_back({member.meta->name,
                     {capacity.cpu_millicores == 0 ? kPlenty : capacity.cpu_millicores,
                      capacity.memory_bytes == 0 ? kPlenty : capacity.memory_bytes}});
  }
  return boxes;
}

std::vector<BoxRoom> RoomsOf(const std::vector<NamedBox>& boxes) {
  std::vector<BoxRoom> rooms;
  for (const NamedBox& box : boxes) rooms.push_back(box.room);
  return rooms;
}

}  // namespace hs
