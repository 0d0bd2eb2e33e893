// Handlers that only read the view.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "api/find.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/metrics.h"
#include "api/progress.h"
#include "api/stack_json.h"
#include "api/why.h"

namespace hs {
namespace {

ApiResponse Json(const json::value& value) { return {200, json::serialize(value), "application/json"}; }

std::string EndpointText(const Endpoint& endpoint) { return endpoint ? endpoint.ToString() : ""; }

// How many have each role, and how many are needed and may be.
json::array RolesJson(const NodeView& view) {
  std::map<Role, std::size_t> have;
  std::size_t members = 0;
  for (const Member& member : view.members) {
    if (member.state == MemberState::kDead || member.state == MemberState::kLeft) continue;
    ++members;
    for (const Role role : RolesOf(view, member)) ++have[role];
  }
  json::array out;
  for (const RoleRow& row : RoleTable()) {
    std::size_t need = view.regions.empty() ? row.demand(members) : 0;
    std::size_t most = view.regions.empty() ? row.quota(members) : 0;
    for (const RegionSeen& region : view.regions) {
      need += row.demand(region.members);
      most += row.quota(region.members);
    }
    out.push_back(
        json::object{{"role", ToString(row.role)}, {"have", have[row.role]}, {"need", need}, {"most", most}});
  }
  return out;
}

std::string TroubleOf(const NodeView& view, const Member& member) {
  if (!IsPresent(member.state)) return "";
  std::vector<std::string> troubles;
  const DiskFault disk = member.meta->roles.disk;
  if (disk != DiskFault::kNone) troubles.push_back(fmt::format("its disk is {}", ToString(disk)));
  const NodeReport* report = ReportOf(view, member.id);
  if (report != nullptr && !report->door_error.empty()) troubles.push_back("its door: " + report->door_error);
  return fmt::format("{}", fmt::join(troubles, "; "));
}

json::array SayingsJson(const std::vector<NodesSaying>& sayings) {
  json::array out;
  for (const auto& saying : sayings) {
    json::array nodes;
    for (const auto& node : saying.nodes) nodes.push_back(SafeText(node));
    out.push_back(json::object{{"nodes", std::move(nodes)}, {"what", SafeText(saying.what)}});
  }
  return out;
}

json::object NodeJson(const NodeView& view, const Member& member) {
  json::object labels;
  for (const auto& [key, value] : member.meta->labels) labels[SafeText(key)] = SafeText(value);
  json::array roles;
  json::object since;
  std::string highest_since;
  for (const Role role : RolesOf(view, member)) {
    roles.push_back(ToString(role));
    const RoleHeld* held = HeldBy(view, member.id, role);
    if (held == nullptr) continue;
    since[ToString(role)] = held->since_ms;
    if (roles.size() == 1) highest_since = WhenText(held->since_ms);
  }
  json::object out{{"id", JsonText(member.id.Hex())},
                   {"name", SafeText(member.meta->name)},
                   {"address", EndpointText(member.meta->address)},
                   {"state", ToString(member.state)},
                   {"roles", std::move(roles)},
                   {"labels", std::move(labels)},
                   {"drained", IsDrained(view, member.id)}};
  if (!view.regions.empty()) out["region"] = member.meta->region;
  if (!since.empty()) out["roles_since"] = std::move(since);
  if (!highest_since.empty()) out["since"] = highest_since;
  if (const std::string trouble = TroubleOf(view, member); !trouble.empty())
    out["trouble"] = SafeText(trouble);
  return out;
}

json::object ReplicaJson(const ReplicaRow& row) {
  const auto& status = *row.status;
  return {{"service", SafeText(status.service)},
          {"replica", SafeText(ReplicaName(status.service, status.id))},
          {"node", SafeText(row.member->meta->name)},
          {"state", row.unreachable ? "unreachable" : ToString(status.state)},
          {"health", ToString(row.unreachable ? Health::kUnknown : status.health)},
          {"address", EndpointText(status.address)},
          {"pid", status.pid},
          {"restarts", status.restarts},
          {"error", SafeText(row.unreachable ? "its node is silent" : status.last_error)}};
}

json::object ServiceJson(const NodeView& view, const DesiredService& service) {
  const auto count = CountService(view, service);
  return {{"service", SafeText(service.spec.name)},
          {"desired", count.desired},
          {"running", count.running},
          {"healthy", count.healthy}};
}

void AddQuota(const QuotaDoc& quota, json::object& out) {
  out["subject"] = SafeText(quota.subject);
  out["replicas"] = quota.replicas_max;
  out["cpu_millicores"] = quota.cpu_millicores_max;
  out["memory_bytes"] = quota.memory_bytes_max;
}

json::object DocumentJson(const Document& document) {
  static constexpr const char* kKinds[] = {"tombstone", "stack", "scale", "drain", "token", "node", "quota"};
  static_assert(std::size(kKinds) == std::variant_size_v<DocumentBody>);
  json::object out{{"key", SafeText(document.key)},
                   {"stamp", JsonText(StampText(document.stamp))},
                   {"at_ms", document.stamp.wall_ms},
                   {"by", JsonText(document.stamp.node.Hex())},
                   {"kind", kKinds[document.body.index()]}};
  if (const auto* stack = std::get_if<StackSpec>(&document.body)) {
    json::error_code code;
    out["stack"] = json::parse(StackToJson(*stack), code);
  } else if (const auto* scale = std::get_if<ScaleOverride>(&document.body)) {
    out["service"] = SafeText(scale->service);
    out["replicas"] = scale->replicas;
  } else if (const auto* drain = std::get_if<DrainOrder>(&document.body)) {
    out["node"] = JsonText(drain->node.Hex());
  } else if (const auto* token = std::get_if<TokenDoc>(&document.body)) {
    out["id"] = SafeText(token->id);  // the secret's digest stays inside
    out["expires_ms"] = token->expires_ms;
    out["use"] = token->admin ? "api" : "join";
  } else if (const auto* node = std::get_if<NodeDoc>(&document.body)) {
    out["node"] = JsonText(node->node.Hex());
    out["name"] = SafeText(node->name);
    out["public_key"] = JsonText(node->public_key.Hex());
  } else if (const auto* quota = std::get_if<QuotaDoc>(&document.body)) {
    AddQuota(*quota, out);
  }
  return out;
}

// A whole number in the query, or the default; nullopt when it is no number from 0 to max.
std::optional<std::uint64_t> QueryNumber(const RouteCall& call, const char* key, std::uint64_t otherwise,
                                         std::uint64_t max) {
  const auto it = call.query.find(key);
  if (it == call.query.end()) return otherwise;
  std::uint64_t value = 0;
  const auto& text = it->second;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

std::string QueryText(const RouteCall& call, const char* key) {
  const auto it = call.query.find(key);
  return it == call.query.end() ? "" : it->second;
}

constexpr const char* kBadCount = "n must be a whole number, at most 100000";
constexpr const char* kBadSince = "since_ms must be a whole number";
constexpr std::uint64_t kMaxWallMs = 1ull << 53;  // what a JSON number holds exactly

}  // namespace

ApiResponse NoService(const NodeView& view, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& service : view.services) names.push_back(service.spec.name);
  if (names.empty()) return ErrorResponse(404, fmt::format("no service '{}': nothing is deployed", name));
  return ErrorResponse(404, fmt::format("no service '{}'; there are: {}", name, fmt::join(names, ", ")));
}

ApiResult GetStatus(const RouteCall& call) {
  const auto& view = call.view;
  const auto* self = FindMember(view, view.self);
  const auto present =
      std::ranges::count_if(view.members, [](const Member& m) { return IsPresent(m.state); });
  json::array pending;
  for (const auto& reason : view.steady.pending) pending.push_back(SafeText(reason));
  json::array drained;
  for (const Member& member : view.members) {
    if (IsPresent(member.state) && IsDrained(view, member.id)) drained.push_back(SafeText(member.meta->name));
  }
  std::string body = json::serialize(
      json::object{{"cluster", JsonText(view.cluster.Hex())},
                   {"node", SafeText(NodeName(view, view.self))},
                   {"door", self == nullptr ? "" : EndpointText(self->meta->door)},
                   {"nodes", present},
                   {"drained", std::move(drained)},
                   {"services", view.services.size()},
                   {"steady", view.steady.steady},
                   {"pending", std::move(pending)},
                   {"short", ShortagesJson(view.steady.shortages)},
                   {"trouble", SayingsJson(AllTroubles(view))},
                   {"notes", SayingsJson(ContainmentNotes(view))},
                   {"controller", view.controller ? json::value(SafeText(NodeName(view, view.controller)))
                                                  : json::value(nullptr)},
                   {"term", view.term},
                   {"regions", std::max<std::size_t>(1, view.regions.size())},
                   {"roles", RolesJson(view)},
                   {"conflicts", view.conflicts.size()}});
  // Boost.JSON writes each double with an exponent, which shells cannot compare.
  const bool held = view.steady.steady && view.steady.since < view.now;
  body.pop_back();
  body += fmt::format(R"(,"steady_s":{:.3f}}})", held ? ToSeconds(view.now - view.steady.since) : 0.0);
  return ApiResponse{200, std::move(body), "application/json"};
}

ApiResult GetNodes(const RouteCall& call) {
  json::array out;
  for (const auto& member : call.view.members) {
    const bool gone = !IsPresent(member.state) && IsRemoved(call.view, member.id);
    if (!gone) out.push_back(NodeJson(call.view, member));
  }
  std::ranges::stable_sort(out, {},
                           [](const json::value& node) { return Text(node.at("name").as_string()); });
  return Json(std::move(out));
}

ApiResult GetServices(const RouteCall& call) {
  json::array out;
  for (const auto& service : call.view.services) out.push_back(ServiceJson(call.view, service));
  return Json(std::move(out));
}

ApiResult GetReplicas(const RouteCall& call) {
  const std::string service = QueryText(call, "service");
  json::array out;
  for (const auto& row : ReplicasOf(call.view)) {
    if (service.empty() || row.status->service == service) out.push_back(ReplicaJson(row));
  }
  const bool unknown = !service.empty() && out.empty() && FindService(call.view, service) == nullptr;
  if (unknown) return NoService(call.view, service);
  return Json(std::move(out));
}

ApiResult GetReports(const RouteCall&) { return SendReportsCommand{}; }

ApiResult GetEvents(const RouteCall& call) {
  const auto count = QueryNumber(call, "n", 100, 100000);
  const auto since = QueryNumber(call, "since_ms", 0, kMaxWallMs);
  if (!count) return ErrorResponse(400, kBadCount);
  if (!since) return ErrorResponse(400, kBadSince);
  const std::string subject = QueryText(call, "subject");
  if (call.HasFlag("follow")) return FollowEventsCommand{subject, static_cast<WallMs>(*since)};
  json::array out;
  for (const auto& body : call.view.events) {
    const auto* event = body == nullptr ? nullptr : std::get_if<Event>(body.get());
    if (event == nullptr || event->at_ms < static_cast<WallMs>(*since)) continue;
    if (subject.empty() || IsAbout(event->subject, subject)) out.push_back(EventJson(*event));
  }
  if (out.size() > *count) out.erase(out.begin(), out.end() - static_cast<std::ptrdiff_t>(*count));
  return Json(std::move(out));
}

ApiResult GetWhy(const RouteCall& call) {
  const auto it = call.path.find("subject");
  const auto why = Explain(call.view, it == call.path.end() ? "cluster" : it->second);
  if (!why) return ErrorResponse(404, why.error().message);
  json::array advice, events;
  for (const auto& line : why->advice) advice.push_back(SafeText(line));
  for (const auto& event : why->events) events.push_back(EventJson(event));
  return Json(json::object{{"subject", SafeText(why->subject)},
                           {"cause", SafeText(why->cause)},
                           {"advice", std::move(advice)},
                           {"events", std::move(events)}});
}

ApiResult GetStacks(const RouteCall& call) {
  json::array out;
  for (const auto& name : StackNames(call.view)) {
    const auto* document = FindStack(call.view, name);
    json::array services;
    for (const auto& service : std::get<StackSpec>(document->body).services)
      services.push_back(SafeText(service.name));
    out.push_back(json::object{{"stack", SafeText(name)},
                               {"stamp", JsonText(StampText(document->stamp))},
                               {"at_ms", document->stamp.wall_ms},
                               {"services", std::move(services)}});
  }
  return Json(std::move(out));
}

ApiResult GetStack(const RouteCall& call) {
  const auto* document = FindStack(call.view, call.path.at("stack"));
  if (document == nullptr) return ErrorResponse(404, fmt::format("no stack '{}'", call.path.at("stack")));
  return ApiResponse{200, StackToJson(std::get<StackSpec>(document->body)), "application/json"};
}

ApiResult GetProgress(const RouteCall& call) {
  const auto& name = call.path.at("stack");
  Stamp stamp;
  if (const std::string text = QueryText(call, "stamp"); !text.empty()) {
    const auto parsed = ParseStamp(text);
    if (!parsed) return ErrorResponse(parsed.error());
    stamp = *parsed;
  } else if (const auto* document = FindStack(call.view, name)) {
    stamp = document->stamp;
  } else {
    return ErrorResponse(404, fmt::format("no stack '{}'", name));
  }
  return ApiResponse{200, ProgressJson(DeployProgress(call.view, name, stamp)), "application/json"};
}

ApiResult GetInspect(const RouteCall& call) {
  const auto& view = call.view;
  const auto& word = call.path.at("subject");
  if (const auto* service = FindService(view, word)) {
    json::error_code code;
    json::array replicas;
    for (const auto& row : ReplicasOf(view, word)) replicas.push_back(ReplicaJson(row));
    json::object out = ServiceJson(view, *service);
    out["kind"] = "service";
    out["stack"] = SafeText(service->stack);
    out["revision"] = JsonText(StampText(service->revision));
    out["hash"] = fmt::format("{:016x}", service->hash.value);
    out["spec"] = json::parse(ServiceToJson(service->spec), code);
    out["replicas"] = std::move(replicas);
    return Json(std::move(out));
  }
  if (const auto row = FindReplica(view, word)) {
    json::object out = ReplicaJson(*row);
    out["kind"] = "replica";
    out["hash"] = fmt::format("{:016x}", row->status->spec.value);
    out["since_ms"] = row->status->since_ms;
    out["last_error"] = SafeText(row->status->last_error);
    return Json(std::move(out));
  }
  if (const auto node = FindNode(view, word)) {
    const Member& member = **node;
    json::object out = NodeJson(view, member);
    out["kind"] = "node";
    out["version"] = SafeText(member.meta->version);
    out["door"] = EndpointText(member.meta->door);
    out["boot"] = member.incarnation.boot;
    out["incarnation"] = member.incarnation.counter;
    out["cpu_millicores"] = member.meta->capacity.cpu_millicores;
    out["memory_bytes"] = member.meta->capacity.memory_bytes;
    json::array replicas;
    for (const auto& row : ReplicasOf(view)) {
      if (row.node == member.id) replicas.push_back(ReplicaJson(row));
    }
    out["replicas"] = std::move(replicas);
    return Json(std::move(out));
  }
  if (const auto* document = FindStack(view, word)) {
    json::object out = DocumentJson(*document);
    out["kind"] = "stack";
    return Json(std::move(out));
  }
  return ErrorResponse(404, fmt::format("nothing here is called '{}'", word));
}

ApiResult GetDocuments(const RouteCall& call) {
  json::array out;
  for (const auto& document : call.view.documents) out.push_back(DocumentJson(document));
  return Json(std::move(out));
}

ApiResult GetConflicts(const RouteCall& call) {
  json::array out;
  for (const auto& document : call.view.conflicts) out.push_back(DocumentJson(document));
  return Json(std::move(out));
}

ApiResult GetQuotas(const RouteCall& call) {
  json::array out;
  for (const Document& document : call.view.documents) {
    const auto* quota = std::get_if<QuotaDoc>(&document.body);
    if (quota == nullptr) continue;
    json::object row;
    AddQuota(*quota, row);
    out.push_back(std::move(row));
  }
  return Json(std::move(out));
}

ApiResult GetTokens(const RouteCall& call) {
  json::array out;
  for (const auto& document : call.view.documents) {
    const auto* token = std::get_if<TokenDoc>(&document.body);
    if (token == nullptr) continue;
    out.push_back(json::object{{"id", SafeText(token->id)},
                               {"use", token->admin ? "api" : "join"},
                               {"created_ms", document.stamp.wall_ms},
                               {"expires_ms", token->expires_ms}});
  }
  return Json(std::move(out));
}

ApiResult GetMetrics(const RouteCall& call) {
  return ApiResponse{200, MetricsText(call.view), "text/plain; version=0.0.4"};
}

ApiResult GetLive(const RouteCall&) { return ApiResponse{200, "ok\n", "text/plain"}; }

// Ready: it can answer for the cluster, that is, it follows a controller.
ApiResult GetReady(const RouteCall& call) {
  if (call.view.controller) return ApiResponse{200, "ok\n", "text/plain"};
  return ApiResponse{503, "no controller is known yet\n", "text/plain"};
}

ApiResult GetOpenApi(const RouteCall&) { return ApiResponse{200, OpenApiText(), "application/json"}; }

ApiResult GetVersion(const RouteCall& call) {
  const auto* self = FindMember(call.view, call.view.self);
  return Json(json::object{{"version", self == nullptr ? json::string() : SafeText(self->meta->version)}});
}

ApiResult GetLogs(const RouteCall& call) {
  const auto& view = call.view;
  const auto& word = call.path.at("subject");
  const auto lines = QueryNumber(call, "n", 100, 100000);
  const auto since = QueryNumber(call, "since_ms", 0, kMaxWallMs);
  if (!lines) return ErrorResponse(400, kBadCount);
  if (!since) return ErrorResponse(400, kBadSince);
  ReadLogsCommand command{.sources = {},
                          .lines = static_cast<std::uint32_t>(*lines),
                          .since_ms = static_cast<WallMs>(*since),
                          .follow = call.HasFlag("follow")};
  for (const auto& row : ReplicasOf(view)) {
    const std::string name = ReplicaName(row.status->service, row.status->id);
    if (row.status->service != word && name != word) continue;
    if (!row.unreachable) command.sources.push_back({row.node, row.status->id, name});
  }
  if (!command.sources.empty()) return command;
  if (FindService(view, word) != nullptr) {
    return ErrorResponse(404,
                         fmt::format("{} has no replica that can be asked; homeostat why {}", word, word));
  }
  return ErrorResponse(
      404, fmt::format("no service or replica '{}'; homeostat ls and homeostat ps show them", word));
}

}  // namespace hs
