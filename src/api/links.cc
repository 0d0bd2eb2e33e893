// Who reaches whom: what /v1/links answers.
#include <algorithm>
#include <cmath>

#include "api/find.h"
#include "api/handlers.h"
#include "api/json.h"

namespace hs {
namespace {

std::string NameIn(const NodeView& view, NodeId id) {
  const Member* member = FindMember(view, id);
  return member == nullptr ? id.Short() : member->meta->name;
}

json::value LinkJson(const NodeView& view, const LinkView& link) {
  json::array relays;
  std::string way;
  for (const NodeId& relay : link.relays) {
    const std::string name = NameIn(view, relay);
    relays.push_back(SafeText(name));
    way += (way.empty() ? "through " : " and ") + name;
  }
  json::object out{{"from", SafeText(NameIn(view, link.from))},
                   {"to", SafeText(NameIn(view, link.to))},
                   {"way", SafeText(link.line     ? "line"
                                    : way.empty() ? "direct"
                                                  : way)},
                   {"relays", std::move(relays)}};
  // Only the way there is cut: what the other sends arrives directly.
  if (link.one_way) out["one_way"] = true;
  if (link.round_trip) out["round_trip_ms"] = std::round(ToSeconds(*link.round_trip) * 1e5) / 100;
  return out;
}

ApiResponse LinksResponse(const NodeView& view, NodeId only_from) {
  std::vector<const LinkView*> links;
  for (const LinkView& link : view.links) {
    const Member* to = FindMember(view, link.to);
    const Member* from = FindMember(view, link.from);
    if (to == nullptr || from == nullptr || !IsPresent(to->state) || !IsPresent(from->state)) continue;
    if (!only_from || link.from == only_from) links.push_back(&link);
  }
  std::ranges::stable_sort(links, {}, [&](const LinkView* link) {
    return std::pair(NameIn(view, link->from), NameIn(view, link->to));
  });
  json::array out;
  for (const LinkView* link : links) out.push_back(LinkJson(view, *link));
  return {200, json::serialize(out), "application/json"};
}

}  // namespace

// Times are known to who measured them: the node that is meant is asked. It finds itself meant, and asks
// nobody.
ApiResult GetLinks(const RouteCall& call) {
  const NodeView& view = call.view;
  const auto word = call.query.find("node");
  if (word == call.query.end()) return LinksResponse(view, {});
  const auto node = FindNode(view, word->second);
  if (!node) return ErrorResponse(404, node.error().message);
  const NodeId id = (*node)->id;
  ApiResponse own = LinksResponse(view, id);
  if (id == view.self || !IsPresent((*node)->state)) return own;
  return AskNodeCommand{id, "/v1/links?node=" + id.Hex(), std::move(own)};
}

}  // namespace hs
