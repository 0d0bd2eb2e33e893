// From what is deployed and what the boxes say to what share_out.h and sizes.h calculate with.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/control/share_out.h"
#include "core/control/sizes.h"
#include "core/types.h"

namespace hs {

// One for each service: its minimum, what is wanted now and its hard maximum, a quota of its own included.
// `wanted` is by service; without an entry the service's own number counts.
std::vector<ShareRequest> RequestsOf(const std::vector<DesiredService>& services,
                                     const std::map<std::string, std::uint32_t>& wanted,
                                     const std::vector<QuotaDoc>& quotas);

ClassQuotas ClassQuotasOf(const std::vector<QuotaDoc>& quotas);

// Boxes that may take work: present, not drained, not in quarantine. What a box does not say of its capacity
// is taken as plenty.
std::vector<NamedBox> BoxesOf(Time now, const MemberTable& members, const std::set<NodeId>& drained);
std::vector<BoxRoom> RoomsOf(const std::vector<NamedBox>& boxes);

}  // namespace hs
