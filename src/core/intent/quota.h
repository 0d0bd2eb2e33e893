// Hard limits over what is deployed: do the minimums fit into them?
//
// A quota is about a class of work ("services", "batch") or about one service ("service.NAME"), over its
// replicas and over what they reserve. Minimums above a quota are refused when either is written: later the
// controller would have to break one of the two. (Written on both sides of a cut they can still meet; then
// the quota wins, and the service is listed as short.)
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "core/intent/desired.h"

namespace hs {

// The quotas in force, sorted by subject.
std::vector<QuotaDoc> Quotas(const Documents& documents);

// "services", "batch" or "service.NAME" with a valid NAME.
bool IsQuotaSubject(std::string_view subject);

// 8 replicas, 4 cores, 512 MiB
std::string QuotaWords(const QuotaDoc& quota);

// The fewest replicas this service may have: x-scale's min, or its fixed number.
std::uint32_t MinimumOf(const DesiredService& service);

// Whether the minimums fit, with the arithmetic of each one that does not, one a line.
Result<void> CheckQuotas(const std::vector<DesiredService>& services, const std::vector<QuotaDoc>& quotas);

// Whether what would be deployed after these writes fits into the quotas after them.
Result<void> CheckQuotasAfter(const Documents& documents, const Writes& writes);

}  // namespace hs
