// One function per row of the route table.
#pragma once

#include "api/routes.h"

namespace hs {

// 404, naming the services that there are.
ApiResponse NoService(const NodeView& view, const std::string& name);

ApiResult GetStatus(const RouteCall& call);
ApiResult GetNodes(const RouteCall& call);
ApiResult GetLinks(const RouteCall& call);
ApiResult GetServices(const RouteCall& call);
ApiResult GetReplicas(const RouteCall& call);
ApiResult GetReports(const RouteCall& call);
ApiResult GetEvents(const RouteCall& call);
ApiResult GetWhy(const RouteCall& call);
ApiResult GetStacks(const RouteCall& call);
ApiResult GetStack(const RouteCall& call);
ApiResult GetProgress(const RouteCall& call);
ApiResult GetInspect(const RouteCall& call);
ApiResult GetDocuments(const RouteCall& call);
ApiResult GetConflicts(const RouteCall& call);
ApiResult GetTokens(const RouteCall& call);
ApiResult GetMetrics(const RouteCall& call);
ApiResult GetLive(const RouteCall& call);
ApiResult GetReady(const RouteCall& call);
ApiResult GetOpenApi(const RouteCall& call);
ApiResult GetVersion(const RouteCall& call);
ApiResult GetTop(const RouteCall& call);
ApiResult GetHistory(const RouteCall& call);

ApiResult PutStack(const RouteCall& call);
ApiResult DeleteStack(const RouteCall& call);
ApiResult PutScale(const RouteCall& call);
ApiResult DeleteScale(const RouteCall& call);
ApiResult GetSize(const RouteCall& call);
ApiResult GetQuotas(const RouteCall& call);
ApiResult PutQuota(const RouteCall& call);
ApiResult DeleteQuota(const RouteCall& call);
ApiResult PutDrain(const RouteCall& call);
ApiResult DeleteDrain(const RouteCall& call);
ApiResult DeleteNode(const RouteCall& call);
ApiResult PostLeave(const RouteCall& call);
ApiResult PostToken(const RouteCall& call);
ApiResult GetJoinToken(const RouteCall& call);
ApiResult DeleteToken(const RouteCall& call);
ApiResult GetLogs(const RouteCall& call);
ApiResult HeadBundle(const RouteCall& call);
ApiResult GetBundle(const RouteCall& call);
ApiResult PutBundle(const RouteCall& call);

}  // namespace hs
