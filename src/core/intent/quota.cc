#include "core/intent/quota.h"

#include <cstdio>

namespace hs {
namespace {

constexpr std::string_view kServicePrefix = "service.";

bool Covers(const QuotaDoc& quota, const DesiredService& service) {
  // Everything deployed today is a service; batch work comes with jobs.
  return quota.subject == "services" || (quota.subject.starts_with(kServicePrefix) &&
                                         quota.subject.substr(kServicePrefix.size()) == service.spec.name);
}

std::string Cores(std::uint64_t millicores) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g cores", static_cast<double>(millicores) / 1000);
  return text;
}

std::string Mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }
std::string Replicas(std::uint64_t count) { return std::to_string(count) + " replicas"; }

// The sum of one resource over the covered services, and a complaint when it is above the limit.
template <typename Need>
std::string Complaint(const std::vector<DesiredService>& services, const QuotaDoc& quota, std::uint64_t limit,
                      std::string (*words)(std::uint64_t), Need need) {
  if (limit == 0) return {};
  std::uint64_t sum = 0;
  std::string parts;
  for (const DesiredService& service : services) {
    if (!Covers(quota, service)) continue;
    const std::uint64_t part = MinimumOf(service) * need(service);
    if (part == 0) continue;
    sum += part;
    parts += (parts.empty() ? "" : " + ") + service.spec.name + " " + words(part);
  }
  if (sum <= limit) return {};
  return "\nquota " + quota.subject + " allows " + words(limit) + ", but the minimums need " + words(sum) +
         " (" + parts + ")";
}

}  // namespace

std::vector<QuotaDoc> Quotas(const Documents& documents) {
  std::vector<QuotaDoc> quotas;
  for (const auto& [key, document] : DocumentsUnder(documents, "quota/")) {
    if (const auto* quota = std::get_if<QuotaDoc>(&document.body)) quotas.push_back(*quota);
  }
  return quotas;
}

bool IsQuotaSubject(std::string_view subject) {
  return subject == "services" || subject == "batch" ||
         (subject.starts_with(kServicePrefix) && IsValidName(subject.substr(kServicePrefix.size())) &&
          IsValidName(subject));
}

std::string QuotaWords(const QuotaDoc& quota) {
  std::string words;
  const auto add = [&words](std::uint64_t limit, const std::string& text) {
    if (limit != 0) words += (words.empty() ? "" : ", ") + text;
  };
  add(quota.replicas_max, Replicas(quota.replicas_max));
  add(quota.cpu_millicores_max, Cores(quota.cpu_millicores_max));
  add(quota.memory_bytes_max, Mebibytes(quota.memory_bytes_max));
  return words;
}

std::uint32_t MinimumOf(const DesiredService& service) {
  return service.fixed ? service.replicas : service.spec.scale->min;
}

Result<void> CheckQuotas(const std::vector<DesiredService>& services, const std::vector<QuotaDoc>& quotas) {
  std::string complaints;
  for (const QuotaDoc& quota : quotas) {
    complaints += Complaint(services, quota, quota.replicas_max, Replicas,
                            [](const DesiredService&) { return std::uint64_t{1}; });
    complaints += Complaint(services, quota, quota.cpu_millicores_max, Cores, [](const DesiredService& of) {
      return std::uint64_t{of.spec.reserve.cpu_millicores};
    });
    complaints += Complaint(services, quota, quota.memory_bytes_max, Mebibytes,
                            [](const DesiredService& of) { return of.spec.reserve.memory_bytes; });
  }
  if (complaints.empty()) return {};
  return BadInput(complaints.substr(1));
}

Result<void> CheckQuotasAfter(const Documents& documents, const Writes& writes) {
  Documents after = documents;
  // Later than everything there is: the order among these writes does not matter to quotas.
  Stamp newest;
  for (const auto& [key, document] : documents) newest = std::max(newest, document.stamp);
  ++newest.wall_ms;
  for (const auto& [key, body] : writes) after[key] = Document{key, newest, body, {}};
  return CheckQuotas(DesiredServices(after), Quotas(after));
}

}  // namespace hs
