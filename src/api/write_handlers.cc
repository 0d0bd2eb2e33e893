// Handlers that ask for something to be done: they check all that the view can tell, then name the documents.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "api/find.h"
#include "api/handlers.h"
#include "api/json.h"
#include "api/stack_json.h"
#include "base/tunables.h"
#include "core/intent/desired.h"
#include "core/intent/quota.h"

namespace hs {
namespace {

Documents DocumentMap(const NodeView& view) {
  Documents out;
  for (const auto& document : view.documents) out.emplace(document.key, document);
  return out;
}

bool HasLive(const NodeView& view, const std::string& key) {
  const auto it = std::ranges::find(view.documents, key, &Document::key);
  return it != view.documents.end() && !it->IsTombstone();
}

// The body as an object of known keys only.
Result<json::object> BodyObject(const RouteCall& call, std::initializer_list<std::string_view> keys) {
  const auto& body = call.request.body;
  if (body.empty()) return json::object{};
  json::error_code code;
  const json::value value = json::parse(body, code);
  if (code) return BadInput("the body is not JSON: " + code.message());
  const auto* object = value.if_object();
  if (object == nullptr) return BadInput("the body must be a JSON object");
  for (const auto& [key, unused] : *object) {
    if (std::ranges::find(keys, std::string_view(key.data(), key.size())) == keys.end()) {
      return BadInput(fmt::format("unknown key '{}'; known: {}", Text(key), fmt::join(keys, ", ")));
    }
  }
  return *object;
}

Result<std::int64_t> WholeNumber(const json::object& object, const char* key, std::int64_t otherwise,
                                 std::int64_t max) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return otherwise;
  const auto* number = value->if_int64();
  if (number == nullptr || *number < 0 || *number > max) {
    return BadInput(fmt::format("{} must be a whole number from 0 to {}", key, max));
  }
  return *number;
}

// Members, and nodes that were forgotten as members but whose key is still trusted. A box that was replaced
// may have left its name to another: whichever is meant, removing the wrong one cannot be undone.
Result<std::pair<NodeId, std::string>> FindNodeToRemove(const NodeView& view, const std::string& word) {
  std::vector<const Member*> namesakes;
  for (const Member& member : view.members) {
    const bool named = member.meta->name == word || member.meta->address.ToString() == word;
    if (named && !IsRemoved(view, member.id)) namesakes.push_back(&member);
  }
  if (namesakes.size() > 1) return std::unexpected(SeveralNodes(view, word, namesakes));
  const auto member = namesakes.empty() ? FindNode(view, word) : Result<const Member*>(namesakes.front());
  if (member && !IsRemoved(view, (*member)->id)) return std::pair((*member)->id, (*member)->meta->name);
  std::vector<std::pair<NodeId, std::string>> found;
  std::string ids;
  for (const auto& document : view.documents) {
    const auto* node = std::get_if<NodeDoc>(&document.body);
    if (node == nullptr || FindMember(view, node->node) != nullptr) continue;
    if (node->name != word && node->node.Hex() != word) continue;
    found.emplace_back(node->node, node->name);
    ids += (ids.empty() ? "" : ", ") + node->node.Hex();
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1)
    return BadInput(fmt::format("'{}' means {} nodes: {}; use the id", word, found.size(), ids));
  if (member) return BadInput(fmt::format("{} was removed already", (*member)->meta->name));
  return std::unexpected(member.error());
}

// What of this node has that port of its door's address; null: nothing.
const char* OwnerOf(const MemberMeta& meta, std::uint16_t port) {
  if (port == meta.door.port) return "the door";
  if (meta.address.ip != meta.door.ip) return nullptr;
  if (port == meta.address.port) return "the agent";
  return port == meta.inbound_http || port == meta.inbound_tcp ? "the way between doors" : nullptr;
}

// A port that no door could serve, since each node needs it itself. Where some could, the others say so, and
// so does whoever was published before they came.
Result<void> CheckPorts(const NodeView& view, const StackSpec& stack) {
  std::string complaints;
  for (const ServiceSpec& service : stack.services) {
    const DesiredService* before = FindService(view, service.name);
    for (const PublishedPort& published : service.ports) {
      if (before != nullptr && std::ranges::find(before->spec.ports, published) != before->spec.ports.end())
        continue;
      const char* owner = nullptr;
      std::size_t doors = 0, taken = 0;
      for (const Member& member : view.members) {
        if (!IsPresent(member.state) || member.meta->door.port == 0) continue;
        ++doors;
        if (const char* has = OwnerOf(*member.meta, published.port)) {
          owner = has;
          ++taken;
        }
      }
      if (doors == 0 || taken < doors) continue;
      complaints +=
          fmt::format("\nservice {} cannot publish port {}: on every node it is that of {}; publish another",
                      service.name, published.port, owner);
    }
  }
  if (complaints.empty()) return {};
  return BadInput(complaints.substr(1));
}

Result<Digest> DigestIn(const RouteCall& call) {
  const auto digest = Digest::FromHex(call.path.at("digest"));
  if (!digest || !*digest) return BadInput("a bundle's name is its SHA-256: 64 hexadecimal digits");
  return *digest;
}

}  // namespace

ApiResult PutStack(const RouteCall& call) {
  const auto stack = StackFromJson(call.request.body);
  if (!stack) return ErrorResponse(stack.error());
  const auto& name = call.path.at("stack");
  if (stack->name != name) {
    return ErrorResponse(
        400, fmt::format("the stack in the body is called '{}', the path says '{}'", stack->name, name));
  }
  const Documents documents = DocumentMap(call.view);
  if (const auto checked = CheckDeploy(documents, *stack); !checked) return ErrorResponse(checked.error());
  if (const auto free = CheckPorts(call.view, *stack); !free) return ErrorResponse(free.error());
  WriteCommand command;
  std::set<SpecHash> running;
  for (const auto& row : ReplicasOf(call.view)) running.insert(row.status->spec);
  command.documents = DeployWrites(documents, *stack, Tunables{}.revisions_kept, running);
  if (const auto fits = CheckQuotasAfter(documents, command.documents); !fits)
    return ErrorResponse(fits.error());
  for (const auto& service : stack->services) {
    if (service.bundle) command.bundles.push_back(service.bundle);
  }
  command.note = fmt::format("{} is accepted with {} service{}", name, stack->services.size(),
                             stack->services.size() == 1 ? "" : "s");
  for (const auto& service : stack->services) {
    if (HasLive(call.view, ScaleKey(service.name)))
      command.note +=
          fmt::format("; a scale command sets the level of {} (homeostat scale {}=auto ends that)",
                      service.name, service.name);
  }
  if (const auto* before = FindStack(call.view, name)) {
    std::vector<std::string> removed;
    for (const auto& old : std::get<StackSpec>(before->body).services) {
      if (std::ranges::find(stack->services, old.name, &ServiceSpec::name) == stack->services.end()) {
        removed.push_back(old.name);
      }
    }
    if (!removed.empty()) command.note += fmt::format("; removed: {}", fmt::join(removed, ", "));
  }
  return command;
}

ApiResult DeleteStack(const RouteCall& call) {
  const auto& name = call.path.at("stack");
  WriteCommand command;
  command.documents = RemoveStackWrites(DocumentMap(call.view), name);
  if (command.documents.empty()) {
    const auto names = StackNames(call.view);
    return ErrorResponse(
        404, names.empty() ? fmt::format("no stack '{}': nothing is deployed", name)
                           : fmt::format("no stack '{}'; there are: {}", name, fmt::join(names, ", ")));
  }
  command.note = fmt::format("{} is removed; its replicas drain and stop", name);
  return command;
}

ApiResult PutScale(const RouteCall& call) {
  const auto& name = call.path.at("service");
  const auto* service = FindService(call.view, name);
  if (service == nullptr) return NoService(call.view, name);
  const auto body = BodyObject(call, {"replicas"});
  if (!body) return ErrorResponse(body.error());
  const auto replicas = WholeNumber(*body, "replicas", -1, 100000);
  if (!replicas) return ErrorResponse(replicas.error());
  if (*replicas < 0) return ErrorResponse(400, "the body must be {\"replicas\": N}");
  if (service->spec.singleton != Singleton::kNone && *replicas > 1)
    return ErrorResponse(400, fmt::format("{} has x-singleton: it is one replica, or none", name));
  WriteCommand command;
  command.documents.emplace_back(ScaleKey(name), ScaleOverride{name, static_cast<std::uint32_t>(*replicas)});
  if (const auto fits = CheckQuotasAfter(DocumentMap(call.view), command.documents); !fits)
    return ErrorResponse(fits.error());
  command.note = fmt::format("{} is asked to run {} replicas", name, *replicas);
  return command;
}

ApiResult DeleteScale(const RouteCall& call) {
  const auto& name = call.path.at("service");
  if (!HasLive(call.view, ScaleKey(name)))
    return ErrorResponse(404, fmt::format("{} was not scaled by a command", name));
  WriteCommand command;
  command.documents.emplace_back(ScaleKey(name), std::monostate{});
  command.note = fmt::format("{} goes back to the level its stack says", name);
  return command;
}

ApiResult PutQuota(const RouteCall& call) {
  const auto& subject = call.path.at("subject");
  const auto body = BodyObject(call, {"replicas", "cpu_millicores", "memory_bytes"});
  if (!body) return ErrorResponse(body.error());
  const auto replicas = WholeNumber(*body, "replicas", 0, 1'000'000);
  if (!replicas) return ErrorResponse(replicas.error());
  const auto cpu = WholeNumber(*body, "cpu_millicores", 0, 1ll << 40);
  if (!cpu) return ErrorResponse(cpu.error());
  const auto memory = WholeNumber(*body, "memory_bytes", 0, 1ll << 60);
  if (!memory) return ErrorResponse(memory.error());
  QuotaDoc quota{subject, static_cast<std::uint32_t>(*replicas), static_cast<std::uint64_t>(*cpu),
                 static_cast<std::uint64_t>(*memory)};
  if (quota.replicas_max == 0 && quota.cpu_millicores_max == 0 && quota.memory_bytes_max == 0)
    return ErrorResponse(400,
                         "a quota limits replicas, cpu_millicores or memory_bytes; to lift it, delete it");
  if (!IsQuotaSubject(subject))
    return ErrorResponse(
        400, fmt::format("'{}' is nothing a quota can be set on: services, batch or service.NAME", subject));
  WriteCommand command;
  command.documents.emplace_back(QuotaKey(subject), quota);
  if (const auto fits = CheckQuotasAfter(DocumentMap(call.view), command.documents); !fits)
    return ErrorResponse(fits.error());
  command.note = fmt::format("{} is limited to {}", subject, QuotaWords(quota));
  constexpr std::string_view kOfOne = "service.";
  if (subject.starts_with(kOfOne) && FindService(call.view, subject.substr(kOfOne.size())) == nullptr)
    command.note += "; there is no service of that name now: it counts once one is deployed";
  return command;
}

ApiResult DeleteQuota(const RouteCall& call) {
  const auto& subject = call.path.at("subject");
  if (!HasLive(call.view, QuotaKey(subject)))
    return ErrorResponse(404, fmt::format("{} has no quota", subject));
  WriteCommand command;
  command.documents.emplace_back(QuotaKey(subject), std::monostate{});
  command.note = fmt::format("the limit on {} is lifted", subject);
  return command;
}

ApiResult PutDrain(const RouteCall& call) {
  const auto node = FindNode(call.view, call.path.at("node"));
  if (!node) return ErrorResponse(404, node.error().message);
  WriteCommand command;
  command.documents.emplace_back(DrainKey((*node)->id), DrainOrder{(*node)->id});
  command.note = fmt::format("{} is drained: its replicas move away before they stop", (*node)->meta->name);
  return command;
}

ApiResult DeleteDrain(const RouteCall& call) {
  const auto node = FindNode(call.view, call.path.at("node"));
  if (!node) return ErrorResponse(404, node.error().message);
  if (!HasLive(call.view, DrainKey((*node)->id))) {
    return ErrorResponse(404, fmt::format("{} is not drained", (*node)->meta->name));
  }
  WriteCommand command;
  command.documents.emplace_back(DrainKey((*node)->id), std::monostate{});
  command.note = fmt::format("{} takes work again", (*node)->meta->name);
  return command;
}

ApiResult DeleteNode(const RouteCall& call) {
  const auto& view = call.view;
  const auto found = FindNodeToRemove(view, call.path.at("node"));
  if (!found) return ErrorResponse(404, found.error().message);
  const auto& [id, name] = *found;
  if (id == view.self)
    return ErrorResponse(409,
                         fmt::format("{} is the node that was asked: on that box, homeostat leave", name));
  const auto runs = std::ranges::count_if(ReplicasOf(view), [&](const auto& row) { return row.node == id; });
  const Member* member = FindMember(view, id);
  const bool here = member != nullptr && IsPresent(member->state);
  if (here && (runs > 0 || !IsDrained(view, id)) && !call.HasFlag("force")) {
    return ErrorResponse(409,
                         fmt::format("{0} is {1} and runs {2} replicas: homeostat leave on that box gives "
                                     "its work away and ends it, homeostat drain {0} empties it; --force "
                                     "removes it as it is, and its work is replaced elsewhere",
                                     name, ToString(member->state), runs));
  }
  WriteCommand command;
  command.documents.emplace_back(NodeKey(id), std::monostate{});
  if (HasLive(view, DrainKey(id))) command.documents.emplace_back(DrainKey(id), std::monostate{});
  command.note = fmt::format("{} is removed: its key is trusted no more", name);
  return command;
}

ApiResult PostLeave(const RouteCall& call) { return LeaveCommand{call.HasFlag("now")}; }

ApiResult PostToken(const RouteCall& call) {
  const auto body = BodyObject(call, {"use", "ttl_s"});
  if (!body) return ErrorResponse(body.error());
  const auto ttl = WholeNumber(*body, "ttl_s", 0, 10ll * 365 * 24 * 3600);
  if (!ttl) return ErrorResponse(ttl.error());
  if (*ttl == 0 && body->contains("ttl_s"))
    return ErrorResponse(400, "ttl_s: a token that ends at once is of no use; without it, it never ends");
  CreateTokenCommand command{.admin = false, .ttl_s = *ttl};
  if (const auto* use = body->if_contains("use")) {
    const auto* text = use->if_string();
    if (text == nullptr || (*text != "join" && *text != "api"))
      return ErrorResponse(400, "use must be \"join\" or \"api\"");
    command.admin = *text == "api";
  }
  return command;
}

ApiResult GetJoinToken(const RouteCall&) { return ShowJoinTokenCommand{}; }

ApiResult DeleteToken(const RouteCall& call) {
  const auto& id = call.path.at("id");
  if (!HasLive(call.view, TokenKey(id))) return ErrorResponse(404, fmt::format("no token '{}'", id));
  WriteCommand command;
  command.documents.emplace_back(TokenKey(id), std::monostate{});
  command.note = fmt::format("token {} is revoked", id);
  return command;
}

ApiResult HeadBundle(const RouteCall& call) {
  const auto digest = DigestIn(call);
  if (!digest) return ErrorResponse(digest.error());
  return SendBundleCommand{*digest, true};
}

ApiResult GetBundle(const RouteCall& call) {
  const auto digest = DigestIn(call);
  if (!digest) return ErrorResponse(digest.error());
  return SendBundleCommand{*digest, false};
}

ApiResult PutBundle(const RouteCall& call) {
  const auto digest = DigestIn(call);
  if (!digest) return ErrorResponse(digest.error());
  return StoreBundleCommand{*digest};
}

}  // namespace hs
