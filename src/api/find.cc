#include "api/find.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <map>

#include "core/intent/keys.h"

namespace hs {
namespace {

const NodeReport* ReportIn(const std::shared_ptr<const RecordBody>& body) {
  return body == nullptr ? nullptr : std::get_if<NodeReport>(body.get());
}

bool IsGone(const Member* member) {
  return member == nullptr || member->state == MemberState::kDead || member->state == MemberState::kLeft;
}

}  // namespace

std::vector<ReplicaRow> ReplicasOf(const NodeView& view) {
  std::vector<ReplicaRow> rows;
  for (const auto& [node, body] : view.reports) {
    const auto* report = ReportIn(body);
    const auto* member = FindMember(view, node);
    if (report == nullptr || IsGone(member)) continue;
    for (const auto& status : report->replicas) {
      rows.push_back({&status, node, member, member->state == MemberState::kUnreachable});
    }
  }
  std::ranges::sort(rows, [](const ReplicaRow& a, const ReplicaRow& b) {
    return std::tie(a.status->service, a.member->meta->name, a.status->id) <
           std::tie(b.status->service, b.member->meta->name, b.status->id);
  });
  return rows;
}

std::vector<ReplicaRow> ReplicasOf(const NodeView& view, const std::string& service) {
  auto rows = ReplicasOf(view);
  std::erase_if(rows, [&](const ReplicaRow& row) { return row.status->service != service; });
  return rows;
}

const Member* FindMember(const NodeView& view, NodeId id) {
  const auto it = std::ranges::find(view.members, id, &Member::id);
  return it == view.members.end() ? nullptr : &*it;
}

Error SeveralNodes(const NodeView& view, std::string_view word, const std::vector<const Member*>& found) {
  std::vector<std::string> each;
  for (const Member* member : found) {
    const bool removed = !IsPresent(member->state) && IsRemoved(view, member->id);
    each.push_back(fmt::format("{} ({})", member->id.Short(), removed ? "removed" : ToString(member->state)));
  }
  return {Reaction::kFixInput,
          fmt::format("'{}' means {} nodes: {}; use the id", word, found.size(), fmt::join(each, ", "))};
}

Result<const Member*> FindNode(const NodeView& view, std::string_view word) {
  std::vector<const Member*> exact, prefixed;
  for (const auto& member : view.members) {
    const std::string hex = member.id.Hex();
    if (member.meta->name == word || hex == word || member.meta->address.ToString() == word)
      exact.push_back(&member);
    if (word.size() >= 4 && hex.starts_with(word)) prefixed.push_back(&member);
  }
  // A box that was replaced may have left its name behind: the one that is here is meant, else one that may
  // return.
  const auto prefer = [&exact](auto good) {
    if (std::ranges::any_of(exact, good)) std::erase_if(exact, std::not_fn(good));
  };
  prefer([](const Member* m) { return IsPresent(m->state); });
  prefer([](const Member* m) { return m->state != MemberState::kLeft; });
  auto& found = exact.empty() ? prefixed : exact;
  if (found.size() == 1) return found.front();
  std::vector<std::string> names;
  for (const auto& member : view.members) {
    if (member.state != MemberState::kLeft) names.push_back(member.meta->name);
  }
  std::ranges::sort(names);
  if (found.empty())
    return BadInput(fmt::format("no node '{}'; there are: {}", word, fmt::join(names, ", ")));
  return std::unexpected(SeveralNodes(view, word, found));
}

const DesiredService* FindService(const NodeView& view, std::string_view name) {
  const auto it = std::ranges::find_if(view.services, [&](const auto& s) { return s.spec.name == name; });
  return it == view.services.end() ? nullptr : &*it;
}

const Shortage* ShortageOf(const NodeView& view, const DesiredService& service) {
  const Shortage* found = nullptr;
  for (const Shortage& shortage : view.steady.shortages) {
    if (shortage.service != service.spec.name) continue;
    if (shortage.of != ShortOf::kVersion) {
      if (found == nullptr) found = &shortage;
      continue;
    }
    const auto rows = ReplicasOf(view, service.spec.name);
    const bool wanted_ails = std::ranges::any_of(rows, [&](const ReplicaRow& row) {
      return row.status->spec == service.hash && row.status->health != Health::kHealthy;
    });
    if (wanted_ails) return &shortage;
  }
  return found;
}

std::optional<ReplicaRow> FindReplica(const NodeView& view, std::string_view name) {
  for (const auto& row : ReplicasOf(view)) {
    if (ReplicaName(row.status->service, row.status->id) == name) return row;
  }
  return std::nullopt;
}

std::vector<std::string> StackNames(const NodeView& view) {
  std::vector<std::string> names;
  for (const auto& document : view.documents) {
    if (const auto* stack = std::get_if<StackSpec>(&document.body)) names.push_back(stack->name);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

const Document* FindStack(const NodeView& view, std::string_view name) {
  const Document* newest = nullptr;
  for (const auto& document : view.documents) {
    const auto* stack = std::get_if<StackSpec>(&document.body);
    if (stack == nullptr || stack->name != name) continue;
    if (newest == nullptr || newest->stamp < document.stamp) newest = &document;
  }
  return newest;
}

bool IsDrained(const NodeView& view, NodeId node) {
  return std::ranges::any_of(view.documents, [&](const Document& document) {
    const auto* order = std::get_if<DrainOrder>(&document.body);
    return order != nullptr && order->node == node;
  });
}

bool IsRemoved(const NodeView& view, NodeId node) {
  const auto it = std::ranges::find(view.documents, NodeKey(node), &Document::key);
  return it != view.documents.end() && it->IsTombstone();
}

const NodeReport* ReportOf(const NodeView& view, NodeId node) {
  const auto it = view.reports.find(node);
  return it == view.reports.end() ? nullptr : ReportIn(it->second);
}

namespace {

std::vector<NodesSaying> Together(const NodeView& view, std::string NodeReport::*words) {
  std::map<std::string, std::vector<std::string>> by_words;
  for (const Member& member : view.members) {
    const NodeReport* report = ReportOf(view, member.id);
    if (report == nullptr || !IsPresent(member.state) || (report->*words).empty()) continue;
    by_words[report->*words].push_back(member.meta->name);
  }
  std::vector<NodesSaying> out;
  for (auto& [what, nodes] : by_words) {
    std::ranges::sort(nodes);
    out.push_back({what, std::move(nodes)});
  }
  return out;
}

}  // namespace

std::vector<NodesSaying> DoorTroubles(const NodeView& view) {
  auto troubles = Together(view, &NodeReport::door_error);
  for (auto& trouble : troubles) trouble.what = "the door does not work: " + trouble.what;
  return troubles;
}

std::vector<NodesSaying> AllTroubles(const NodeView& view) {
  auto troubles = DoorTroubles(view);
  std::map<std::string, std::vector<std::string>> by_words;
  for (const Member& member : view.members) {
    const NodeReport* report = ReportOf(view, member.id);
    if (report == nullptr || !IsPresent(member.state)) continue;
    for (const std::string& words : report->troubles) by_words[words].push_back(member.meta->name);
  }
  for (auto& [what, nodes] : by_words) {
    std::ranges::sort(nodes);
    troubles.push_back({what, std::move(nodes)});
  }
  return troubles;
}

std::vector<NodesSaying> ContainmentNotes(const NodeView& view) {
  return Together(view, &NodeReport::containment);
}

std::string ToText(const NodesSaying& saying) {
  return fmt::format("{}: {}", fmt::join(saying.nodes, ", "), saying.what);
}

std::string NodeName(const NodeView& view, NodeId id) {
  const auto* member = FindMember(view, id);
  return member == nullptr || member->meta->name.empty() ? id.Short() : member->meta->name;
}

ServiceCount CountService(const NodeView& view, const DesiredService& service) {
  ServiceCount count{.desired = service.replicas};
  for (const auto& [node, body] : view.reports) {
    const auto* report = ReportIn(body);
    const auto* member = FindMember(view, node);
    if (report == nullptr || IsGone(member) || member->state == MemberState::kUnreachable) continue;
    for (const auto& status : report->replicas) {
      if (status.service != service.spec.name) continue;
      if (status.state == ReplicaState::kRunning) ++count.running;
      if (status.state == ReplicaState::kPreparing || status.state == ReplicaState::kStarting)
        ++count.starting;
      if (status.health == Health::kHealthy) ++count.healthy;
    }
  }
  for (const RegionSeen& region : view.regions) {
    const auto* summary =
        region.summary == nullptr ? nullptr : std::get_if<RegionReport>(region.summary.get());
    if (view.joined || region.region == view.region || summary == nullptr) continue;
    const auto summed =
        std::ranges::lower_bound(summary->services, service.spec.name, {}, &ServiceInRegion::service);
    if (summed == summary->services.end() || summed->service != service.spec.name) continue;
    for (const ServiceAtNode& at : summed->nodes) count.running += at.running;
    count.healthy += summed->healthy;
    count.starting += summed->starting;
  }
  return count;
}

bool IsAbout(std::string_view subject, std::string_view asked) {
  if (subject == asked) return true;
  constexpr std::size_t kIdDigits = 8;  // ReplicaName
  if (!subject.starts_with(asked) || subject.size() != asked.size() + 1 + kIdDigits) return false;
  const std::string_view id = subject.substr(asked.size() + 1);
  return subject[asked.size()] == '-' && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<const Event*> EventsAbout(const NodeView& view, const std::vector<std::string>& subjects,
                                      std::size_t count) {
  std::vector<const Event*> found;
  for (auto it = view.events.rbegin(); it != view.events.rend() && found.size() < count; ++it) {
    const auto* event = *it == nullptr ? nullptr : std::get_if<Event>(it->get());
    const auto fits = [&](const std::string& asked) { return IsAbout(event->subject, asked); };
    if (event != nullptr && std::ranges::any_of(subjects, fits)) found.push_back(event);
  }
  return found;
}

std::vector<Role> RolesOf(const NodeView& view, const Member& member) {
  std::vector<Role> roles;
  if (!IsPresent(member.state)) return roles;
  for (const RoleRow& row : RoleTable()) {
    // Two nodes may claim control for a moment; what counts here is whom this node follows.
    const bool one = row.role == Role::kController && view.controller && view.regions.empty();
    const bool has = one ? view.controller == member.id : member.meta->roles.*row.claim;
    if (has) roles.insert(roles.begin(), row.role);
  }
  return roles;
}

const RoleHeld* HeldBy(const NodeView& view, NodeId node, Role role) {
  const NodeReport* report = ReportOf(view, node);
  if (report == nullptr) return nullptr;
  const auto held = std::ranges::find(report->roles, role, &RoleHeld::role);
  return held == report->roles.end() ? nullptr : &*held;
}

std::string WhenText(WallMs wall_ms) {
  const std::time_t seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm parts{};
  if (wall_ms <= 0 || ::gmtime_r(&seconds, &parts) == nullptr) return "an unknown time";
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", parts);
}

}  // namespace hs
