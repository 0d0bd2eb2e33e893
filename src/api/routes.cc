#include "api/routes.h"

#include <algorithm>

#include "api/handlers.h"
#include "api/json.h"

namespace hs {
namespace {

constexpr QueryRow kReplicasQuery[] = {{"service", "only this service"}};
constexpr QueryRow kEventsQuery[] = {{"n", "the last so many, default 100"},
                                     {"since_ms", "only at or after this time, milliseconds since 1970"},
                                     {"subject", "only about this service, replica or node"},
                                     {"follow", "1: a stream of server-sent events that goes on", true}};
constexpr QueryRow kProgressQuery[] = {
    {"stamp", "of the revision, as the deploy answered; default the newest"}};
constexpr QueryRow kLogsQuery[] = {{"n", "the last so many lines, default 100"},
                                   {"since_ms", "only at or after this time, milliseconds since 1970"},
                                   {"follow", "1: goes on with new lines", true}};
constexpr QueryRow kTopQuery[] = {
    {"local", "1: what this node knows itself, without asking the controller", true}};
constexpr QueryRow kLinksQuery[] = {
    {"node",
     "what this node measured itself; without it, the asked node's links and all that are not direct"}};
constexpr QueryRow kHistoryQuery[] = {{"series", "names, comma between; without it the names are listed"},
                                      {"since", "seconds back from now, default 300, at most 3600"},
                                      {"step", "seconds a point stands for, default 1"}};

constexpr QueryRow kRemoveQuery[] = {{"force", "1: also while it is here and runs work", true}};
constexpr QueryRow kLeaveQuery[] = {{"now", "1: its work is stopped instead of given away", true}};

constexpr RouteRow kRoutes[] = {
    {"GET", "/livez", Access::kPublic, "200 while the agent's loop turns", GetLive},
    {"GET", "/readyz", Access::kPublic, "200 once this node follows a controller", GetReady},
    {"GET", "/metrics", Access::kRead, "Prometheus text", GetMetrics},
    {"GET", "/v1/openapi.json", Access::kPublic, "this document", GetOpenApi},
    {"GET", "/v1/version", Access::kRead, "the agent's version", GetVersion},
    {"GET", "/v1/status", Access::kRead, "the cluster in short; is it steady, and if not, why", GetStatus},
    {"GET", "/v1/nodes", Access::kRead, "members with state and roles", GetNodes, {}, {}, true},
    {"GET", "/v1/links", Access::kRead, "who reaches whom, how, and in what time", GetLinks, kLinksQuery},
    {"PUT", "/v1/nodes/{node}/drain", Access::kAdmin, "move all work away from a node", PutDrain},
    {"DELETE", "/v1/nodes/{node}/drain", Access::kAdmin, "give a drained node work again", DeleteDrain},
    {"DELETE", "/v1/nodes/{node}", Access::kAdmin, "remove a node for good: its key is trusted no more",
     DeleteNode, kRemoveQuery},
    {"POST", "/v1/leave", Access::kAdmin, "the node that is asked gives its work away, leaves and ends",
     PostLeave, kLeaveQuery},
    {"GET", "/v1/services", Access::kRead, "services with desired, running and healthy counts", GetServices},
    {"PUT",
     "/v1/services/{service}/scale",
     Access::kAdmin,
     "set how many replicas run",
     PutScale,
     {},
     "{\"replicas\": N}"},
    {"DELETE", "/v1/services/{service}/scale", Access::kAdmin, "go back to the stack's own level",
     DeleteScale},
    {"GET", "/v1/size", Access::kRead, "how many boxes are needed, would be used, could be unplugged",
     GetSize},
    {"GET", "/v1/quotas", Access::kRead, "hard limits over classes of work and services", GetQuotas},
    {"PUT",
     "/v1/quotas/{subject}",
     Access::kAdmin,
     "limit services, batch or service.NAME; 0 or absent: no limit",
     PutQuota,
     {},
     "{\"replicas\": N, \"cpu_millicores\": N, \"memory_bytes\": N}"},
    {"DELETE", "/v1/quotas/{subject}", Access::kAdmin, "lift a limit", DeleteQuota},
    {"GET",
     "/v1/replicas",
     Access::kRead,
     "replicas of the whole cluster",
     GetReplicas,
     kReplicasQuery,
     {},
     true},
    {"GET", "/v1/reports", Access::kRead, "what the nodes of this node's region say, as they tell each other",
     GetReports},
    {"GET", "/v1/events", Access::kRead, "decisions with their causes, oldest first", GetEvents,
     kEventsQuery},
    {"GET", "/v1/top", Access::kRead, "load of nodes and services in the last second", GetTop, kTopQuery},
    {"GET", "/v1/history", Access::kRead, "an hour of what this node measured, second by second", GetHistory,
     kHistoryQuery},
    {"GET", "/v1/why", Access::kRead, "why the cluster is as it is", GetWhy, {}, {}, true},
    {"GET",
     "/v1/why/{subject}",
     Access::kRead,
     "why a service, replica, node or stack is as it is",
     GetWhy,
     {},
     {},
     true},
    {"GET",
     "/v1/inspect/{subject}",
     Access::kRead,
     "all that is known of one thing",
     GetInspect,
     {},
     {},
     true},
    {"GET", "/v1/stacks", Access::kRead, "deployed stacks", GetStacks},
    {"GET", "/v1/stacks/{stack}", Access::kRead, "the present revision of a stack", GetStack},
    {"PUT",
     "/v1/stacks/{stack}",
     Access::kAdmin,
     "deploy a revision",
     PutStack,
     {},
     "a stack, as GET returns it",
     true},
    {"DELETE", "/v1/stacks/{stack}", Access::kAdmin, "remove a stack", DeleteStack},
    {"GET",
     "/v1/stacks/{stack}/progress",
     Access::kRead,
     "how far a deploy has come",
     GetProgress,
     kProgressQuery,
     {},
     true},
    {"GET",
     "/v1/logs/{subject}",
     Access::kRead,
     "output of a service or replica, newline-separated JSON",
     GetLogs,
     kLogsQuery,
     {},
     true},
    {"GET", "/v1/tokens", Access::kAdmin, "tokens, without their secrets", GetTokens},
    {"POST",
     "/v1/tokens",
     Access::kAdmin,
     "make a token; its secret is shown only now",
     PostToken,
     {},
     "{\"use\": \"join\" or \"api\", \"ttl_s\": N}"},
    {"GET", "/v1/tokens/join", Access::kAdmin, "the token to join this cluster with", GetJoinToken},
    {"DELETE", "/v1/tokens/{id}", Access::kAdmin, "revoke a token", DeleteToken},
    {"HEAD", "/v1/bundles/{digest}", Access::kRead, "200 when this node holds the bundle", HeadBundle},
    {"GET", "/v1/bundles/{digest}", Access::kRead, "a bundle's bytes", GetBundle},
    {"PUT",
     "/v1/bundles/{digest}",
     Access::kAdmin,
     "store a bundle; refused when the bytes have another digest",
     PutBundle,
     {},
     "the bundle's bytes"},
    {"GET", "/v1/documents", Access::kAdmin, "every document of intent", GetDocuments},
    {"GET", "/v1/conflicts", Access::kAdmin, "losers of conflicting writes", GetConflicts},
};

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool IsName(std::string_view part) { return part.starts_with('{'); }

// Fixed words must be equal; a {name} takes any one non-empty word. Nothing when it does not match.
std::optional<std::map<std::string, std::string>> Match(std::string_view pattern,
                                                        const std::vector<std::string>& words) {
  const auto parts = Split(pattern.substr(1), '/');
  if (parts.size() != words.size()) return std::nullopt;
  std::map<std::string, std::string> names;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (IsName(parts[i])) {
      if (words[i].empty()) return std::nullopt;
      names.emplace(parts[i].substr(1, parts[i].size() - 2), words[i]);
    } else if (parts[i] != words[i]) {
      return std::nullopt;
    }
  }
  return names;
}

std::optional<std::vector<std::string>> PathWords(std::string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  std::vector<std::string> words;
  for (const auto part : Split(path.substr(1), '/')) {
    auto word = PercentDecode(part, false);
    if (!word) return std::nullopt;
    words.push_back(*std::move(word));
  }
  return words;
}

ApiResult Dispatch(const RouteRow& row, RouteCall call, std::map<std::string, std::string> names) {
  const auto& who = call.request.who;
  if (row.access != Access::kPublic && !who) {
    if (!call.request.refused.empty()) return ErrorResponse(401, call.request.refused);
    return ErrorResponse(
        401, "who are you? Send 'Authorization: Bearer TOKEN'; homeostat token create --api makes one");
  }
  if (row.access == Access::kAdmin && !who->admin) {
    return ErrorResponse(403, who->name + " may not do this: it needs an API token");
  }
  auto query = ParseQuery(call.request.query);
  if (!query) return ErrorResponse(400, "the query is malformed");
  for (const auto& [key, value] : *query) {
    const auto option = std::ranges::find(row.query, key, &QueryRow::name);
    if (option == row.query.end()) return ErrorResponse(400, "unknown query parameter '" + key + "'");
    if (option->flag && value != "1" && value != "0") return ErrorResponse(400, key + " must be 1 or 0");
  }
  if (row.body.empty() && !call.request.body.empty())
    return ErrorResponse(400, "this takes no body, and one was sent; nothing was done");
  call.path = std::move(names);
  call.query = *std::move(query);
  if (row.wide && !call.view.joined && !call.view.regions.empty()) {
    AskRegionsCommand ask;
    for (const RegionSeen& region : call.view.regions) {
      if (region.region != call.view.region && region.ask) ask.nodes.push_back(region.ask);
    }
    return ask;
  }
  return row.handler(call);
}

}  // namespace

std::span<const RouteRow> RouteTable() { return kRoutes; }

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      std::uint8_t byte = 0;
      if (i + 2 >= text.size() || !ParseHex(text.substr(i + 1, 2), &byte, 1)) return std::nullopt;
      c = static_cast<char>(byte);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out += c;
  }
  return out;
}

std::optional<std::map<std::string, std::string>> ParseQuery(std::string_view query) {
  std::map<std::string, std::string> out;
  for (const auto part : Split(query, '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    auto key = PercentDecode(part.substr(0, equals), true);
    auto value = equals == std::string_view::npos ? std::optional<std::string>("1")
                                                  : PercentDecode(part.substr(equals + 1), true);
    if (!key || !value || !out.emplace(*key, *value).second) return std::nullopt;
  }
  return out;
}

ApiResult Handle(const ApiRequest& request, const NodeView& view) {
  const auto words = PathWords(request.path);
  if (!words) return ErrorResponse(400, "the path is malformed");
  std::string allowed;
  for (const auto& row : kRoutes) {
    auto names = Match(row.pattern, *words);
    if (!names) continue;
    const bool head_of_get =
        request.method == "HEAD" && row.method == "GET" && !HasStreamedBody("PUT", request.path);
    if (row.method == request.method || head_of_get) {
      return Dispatch(row, {request, view, {}, {}}, *std::move(names));
    }
    allowed += allowed.empty() ? "" : ", ";
    allowed += row.method;
  }
  if (!allowed.empty())
    return ErrorResponse(405, request.method + " is not possible here; " + allowed + " is");
  return ErrorResponse(404, "no such path; /v1/openapi.json lists them");
}

bool HasStreamedBody(const std::string& method, const std::string& path) {
  return method == "PUT" && path.starts_with("/v1/bundles/");
}

std::string OpenApiText() {
  json::object paths;
  for (const auto& row : kRoutes) {
    json::array parameters;
    for (const auto part : Split(row.pattern, '/')) {
      if (!IsName(part)) continue;
      parameters.push_back(json::object{{"name", JsonText(part.substr(1, part.size() - 2))},
                                        {"in", "path"},
                                        {"required", true},
                                        {"schema", json::object{{"type", "string"}}}});
    }
    for (const auto& option : row.query) {
      parameters.push_back(json::object{{"name", JsonText(option.name)},
                                        {"in", "query"},
                                        {"description", JsonText(option.meaning)},
                                        {"schema", json::object{{"type", "string"}}}});
    }
    json::object operation{
        {"summary", JsonText(row.summary)},
        {"parameters", std::move(parameters)},
        {"responses", json::object{{"200", json::object{{"description", "done"}}},
                                   {"default", json::object{{"description", "an error"}}}}}};
    if (row.access == Access::kPublic) operation["security"] = json::array{};
    if (!row.body.empty())
      operation["requestBody"] =
          json::object{{"description", JsonText(row.body)}, {"content", json::object{}}};
    std::string method = Text(row.method);
    for (auto& c : method) c = static_cast<char>(c - 'A' + 'a');
    auto& path = paths[JsonText(row.pattern)];
    if (!path.is_object()) path = json::object{};
    path.get_object()[method] = std::move(operation);
  }
  const json::object bearer{{"type", "http"}, {"scheme", "bearer"}};
  return json::serialize(
      json::object{{"openapi", "3.1.0"},
                   {"info", json::object{{"title", "Homeostat"}, {"version", "1"}}},
                   {"components", json::object{{"securitySchemes", json::object{{"token", bearer}}}}},
                   {"security", json::array{json::object{{"token", json::array{}}}}},
                   {"paths", std::move(paths)}});
}

}  // namespace hs
