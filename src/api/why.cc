#include "api/why.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "api/find.h"
#include "core/intent/keys.h"
#include "core/intent/quota.h"

namespace hs {
namespace {

constexpr std::size_t kEventsShown = 8;

std::string AgoText(const NodeView& view, Time since) {
  const auto seconds = since < view.now ? ToMs(view.now - since) / 1000 : 0;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} h", seconds / 3600);
}

const Event* Newest(const NodeView& view, const std::vector<std::string>& subjects,
                    std::string_view kind_prefix) {
  for (const auto* event : EventsAbout(view, subjects, 200)) {
    if (event->kind.starts_with(kind_prefix)) return event;
  }
  return nullptr;
}

std::vector<std::string> NamesOf(const Member& member) {
  return {member.meta->name, member.id.Hex(), member.id.Short()};
}

std::string Because(const Event* event) { return event == nullptr ? "" : ": " + event->cause; }

void AddEvents(const NodeView& view, const std::vector<std::string>& subjects, Why& why) {
  for (const auto* event : EventsAbout(view, subjects, kEventsShown)) why.events.push_back(*event);
}

// -------------------------------------------------------------------------------------------------------
// nodes

// Of the highest role that this node has and others have not: why it and not another. Of one without such a
// role: what keeps it from having one.
std::string RoleCause(const NodeView& view, const Member& member) {
  for (const Role role : RolesOf(view, member)) {
    if (role == Role::kDoor || role == Role::kWorker) continue;
    const RoleHeld* held = HeldBy(view, member.id, role);
    if (held == nullptr) return {};  // its report is still on its way
    return fmt::format("; {} since {}: {}", ToString(role), WhenText(held->since_ms), held->cause);
  }
  if (member.meta->roles.disk != DiskFault::kNone)
    return "; it takes no role and no new work while another node can";
  if (member.meta->roles.strained) return "; it is overloaded and takes no role while another node can";
  std::vector<const char*> barred;
  for (const RoleRow& row : RoleTable()) {
    if (IsBarred(member.meta->labels, row.role)) barred.push_back(ToString(row.role));
  }
  return barred.empty() ? "" : fmt::format("; its labels bar it from being {}", fmt::join(barred, ", "));
}

std::string AliveCause(const NodeView& view, const Member& member) {
  if (IsDrained(view, member.id)) {
    const auto mine =
        std::ranges::count_if(ReplicasOf(view), [&](const auto& row) { return row.node == member.id; });
    return fmt::format("{} is drained by request: it gets no work and still runs {} replicas",
                       member.meta->name, mine);
  }
  if (view.now < member.quarantined_until) {
    return fmt::format("{} is alive but in quarantine for another {} s because it came and went too often",
                       member.meta->name, ToMs(member.quarantined_until - view.now) / 1000 + 1);
  }
  const auto it = view.reports.find(member.id);
  const auto* report = it == view.reports.end() ? nullptr : std::get_if<NodeReport>(it->second.get());
  const bool troubled = report != nullptr && !report->door_error.empty();
  std::string cause =
      troubled
          ? fmt::format("{} is alive, but its door does not work: {}", member.meta->name, report->door_error)
          : fmt::format("{} has been alive for {}", member.meta->name, AgoText(view, member.alive_since));
  if (report != nullptr && !report->troubles.empty()) cause += "; " + report->troubles.front();
  return cause + RoleCause(view, member);
}

Why WhyNode(const NodeView& view, const Member& member) {
  Why why{.subject = member.meta->name, .cause = {}, .advice = {}, .events = {}};
  const auto& name = member.meta->name;
  const auto* event = Newest(view, NamesOf(member), "member.");
  const std::string since = AgoText(view, member.state_since);
  switch (member.state) {
    case MemberState::kAlive:
      why.cause = AliveCause(view, member);
      if (IsDrained(view, member.id))
        why.advice = {"homeostat drain --undo " + name + "  gives it work again"};
      if (member.meta->roles.disk == DiskFault::kFull)
        why.advice.push_back("free space on the disk of its data directory: it notices within seconds");
      if (member.meta->roles.disk == DiskFault::kReadOnly || member.meta->roles.disk == DiskFault::kFailing)
        why.advice.push_back(
            "look at that disk (dmesg, mount) and replace it if need be: the others have all it holds");
      break;
    case MemberState::kSuspect:
      why.cause = fmt::format("{} did not answer and is suspected since {}{}", name, since, Because(event));
      why.advice = {"wait: it is confirmed or refuted within seconds"};
      break;
    case MemberState::kAgentDown:
      why.cause = fmt::format("the agent on {} is down since {}, its work may still run{}", name, since,
                              Because(event));
      why.advice = {"start it again on that box: homeostat up", "look at its log on that box"};
      break;
    case MemberState::kUnreachable:
      why.cause =
          fmt::format("{} is silent since {}: the box is dead or cut off{}", name, since, Because(event));
      why.advice = {"check the box's power and network",
                    "its work has been replaced elsewhere where it fits"};
      break;
    case MemberState::kDead:
      why.cause = fmt::format("{} is dead since {}{}", name, since, Because(event));
      why.advice = {"repair or replace the box; a returning one takes up its place by itself"};
      break;
    case MemberState::kLeft:
      why.cause = fmt::format("{} said goodbye {} ago{}", name, since, Because(event));
      why.advice = {"homeostat up on that box brings it back"};
      if (!IsRemoved(view, member.id)) break;
      why.cause =
          fmt::format("{} was removed from the cluster {} ago: its key is trusted no more", name, since);
      why.advice = {"to use that box again, empty its data directory and join with a token"};
      break;
  }
  AddEvents(view, NamesOf(member), why);
  return why;
}

// ----------------------------------------------------------------------------------------------------
// replicas

std::string ReplicaCause(const NodeView& view, const ReplicaRow& row) {
  const auto& status = *row.status;
  const std::string name = ReplicaName(status.service, status.id);
  const std::string at = fmt::format("{} on {}", name, NodeName(view, row.node));
  const std::string trouble = status.last_error.empty() ? "" : ": " + status.last_error;
  if (row.unreachable) return fmt::format("{} cannot be asked: its node is silent", at);
  switch (status.state) {
    case ReplicaState::kPreparing:
      return fmt::format("{} waits for its bundle or a port since {}{}", at, WhenText(status.since_ms),
                         trouble);
    case ReplicaState::kStarting:
      return fmt::format("{} was started at {} and is not healthy yet{}", at, WhenText(status.since_ms),
                         trouble);
    case ReplicaState::kBackoff:
      return fmt::format("{} ended after {} restarts and waits to be started again{}", at, status.restarts,
                         trouble);
    case ReplicaState::kDraining:
    case ReplicaState::kStopping: {
      const auto* word =
          status.state == ReplicaState::kDraining ? "drains before it stops" : "is being stopped";
      return fmt::format("{} {}{}", at, word, Because(Newest(view, {name}, "")));
    }
    case ReplicaState::kRunning:
      break;
  }
  if (status.health == Health::kUnhealthy) return fmt::format("{} runs but is not healthy{}", at, trouble);
  return fmt::format("{} runs and is healthy since {}", at, WhenText(status.since_ms));
}

void ReplicaAdvice(const ReplicaRow& row, Why& why) {
  const auto& status = *row.status;
  const std::string name = ReplicaName(status.service, status.id);
  const bool trouble = status.state == ReplicaState::kBackoff || status.health == Health::kUnhealthy ||
                       (status.state == ReplicaState::kStarting && !status.last_error.empty());
  if (!trouble) return;
  why.advice.push_back("homeostat logs " + name + "  shows what it wrote");
  if (status.state == ReplicaState::kBackoff) {
    why.advice.push_back(
        "nothing needs doing for a passing fault: it is tried again, at most 60 s apart, for ever");
  }
}

// The plan's word on this replica, from any node's slice.
const Assignment* FindAssignment(const NodeView& view, std::string_view name, NodeId* node) {
  for (const auto& [owner, body] : view.slices) {
    const auto* slice = body == nullptr ? nullptr : std::get_if<PlanSlice>(body.get());
    if (slice == nullptr) continue;
    for (const auto& assignment : slice->assignments) {
      if (ReplicaName(assignment.service, assignment.replica) != name) continue;
      *node = owner;
      return &assignment;
    }
  }
  return nullptr;
}

std::optional<Why> WhyReplica(const NodeView& view, std::string_view name) {
  Why why{.subject = std::string(name), .cause = {}, .advice = {}, .events = {}};
  NodeId planned_on;
  const auto* assignment = FindAssignment(view, name, &planned_on);
  AddEvents(view, {why.subject}, why);
  if (const auto row = FindReplica(view, name)) {
    why.cause = ReplicaCause(view, *row);
    ReplicaAdvice(*row, why);
    const bool stops = assignment != nullptr && assignment->stop_keeper;
    if (stops) {
      why.cause += "; it is to stop: " + assignment->cause;
    } else if (assignment != nullptr && !assignment->cause.empty()) {
      why.cause += "; it is there because " + assignment->cause;
    }
    return why;
  }
  if (assignment != nullptr) {
    why.cause = fmt::format("{} is planned on {}, which has not reported it yet: {}", name,
                            NodeName(view, planned_on), assignment->cause);
    return why;
  }
  if (!why.events.empty()) {
    why.cause = fmt::format("{} is gone: {}", name, why.events.front().cause);
    return why;
  }
  return std::nullopt;
}

// ----------------------------------------------------------------------------------------------------
// services

// The replica that explains best why a service is below its level: worst first.
const ReplicaRow* Worst(const std::vector<ReplicaRow>& rows) {
  const auto rank = [](const ReplicaRow& row) {
    if (row.unreachable) return 2;
    if (row.status->state == ReplicaState::kBackoff) return 5;
    if (row.status->health == Health::kUnhealthy) return 4;
    if (row.status->state == ReplicaState::kStarting || row.status->state == ReplicaState::kPreparing)
      return 3;
    return row.status->state == ReplicaState::kRunning ? 0 : 1;
  };
  const ReplicaRow* worst = nullptr;
  for (const auto& row : rows) {
    if (rank(row) > 0 && (worst == nullptr || rank(row) > rank(*worst))) worst = &row;
  }
  return worst;
}

// Why the rollout of the wanted version stopped; empty when it did not. A new controller has to see it fail
// for itself before it says so; until then the word of the one before it stands, if it is of this revision.
std::string StoppedRollout(const NodeView& view, const DesiredService& service, const Shortage* shortage) {
  const std::string& name = service.spec.name;
  if (shortage != nullptr && shortage->of == ShortOf::kVersion)
    return fmt::format("{}: {}", name, shortage->reason);
  const auto* event = Newest(view, {name, service.stack}, "rollout.");
  if (event == nullptr || event->kind != "rollout.stopped" || event->at_ms < service.revision.wall_ms)
    return "";
  const auto rows = ReplicasOf(view, name);
  const auto of_new = std::ranges::count_if(rows, [&](const ReplicaRow& row) {
    return row.status->spec == service.hash && row.status->health == Health::kHealthy;
  });
  if (std::cmp_greater_equal(of_new, service.replicas)) return "";
  return fmt::format("{}: the redeploy stopped: {}; the old version keeps running", name, event->cause);
}

std::string BelowLevel(const NodeView& view, const DesiredService& service, const ServiceCount& count,
                       Why& why) {
  const auto& name = service.spec.name;
  const auto rows = ReplicasOf(view, name);
  const std::string level =
      fmt::format("{} of {} replicas of {} are healthy", count.healthy, count.desired, name);
  if (const auto* worst = Worst(rows)) {
    ReplicaAdvice(*worst, why);
    return level + ": " + ReplicaCause(view, *worst);
  }
  if (!view.controller) {
    why.advice = {
        "homeostat nodes  shows who is here; a controller is chosen within seconds of two nodes meeting"};
    return level + ": no controller is known, so nothing is planned";
  }
  return level + fmt::format(": {} has not placed the rest yet", NodeName(view, view.controller));
}

// Where the level of a service with x-scale comes from.
std::string LevelWords(const NodeView& view, const DesiredService& service) {
  const ScaleSpec& scale = *service.spec.scale;
  const auto* event = Newest(view, {service.spec.name}, "scale.");
  const std::string bounds = fmt::format("the level of {} is set by what is measured, from {} to {}",
                                         service.replicas, scale.min, scale.max);
  return event == nullptr ? bounds : bounds + "; last: " + event->cause;
}

// The number of the app's own that its level should follow does not come; empty when it does.
std::string MetricWords(const NodeView& view, const DesiredService& service) {
  const ScaleSpec& scale = *service.spec.scale;
  if (scale.target != ScaleTarget::kMetric) return "";
  const std::string head = fmt::format("the level holds, since {} is not told", scale.metric);
  const auto* event = Newest(view, {service.spec.name}, "metric.");
  if (event != nullptr && event->kind == "metric.missing") return head + ": " + event->cause;
  // Where loads are added up it is known even when the event is forgotten.
  const auto load = view.service_loads.find(service.spec.name);
  const auto healthy = CountService(view, service).healthy;
  if (load == view.service_loads.end() || load->second.metric_replicas >= healthy) return "";
  return head + fmt::format(" by {} of {} replicas", healthy - load->second.metric_replicas, healthy);
}

std::string LimitInForce(const NodeView& view, const std::string& subject) {
  const auto it = std::ranges::find(view.documents, QuotaKey(subject), &Document::key);
  const auto* quota = it == view.documents.end() ? nullptr : std::get_if<QuotaDoc>(&it->body);
  return quota == nullptr ? "" : " (now " + QuotaWords(*quota) + ")";
}

// What a person can do about a shortage.
void ShortageAdvice(const NodeView& view, const DesiredService& service, const Shortage& shortage, Why& why) {
  const std::string& name = service.spec.name;
  const std::string own = "service." + name;
  switch (shortage.of) {
    case ShortOf::kVersion:  // StoppedRollout
    case ShortOf::kMajority:
      return;  // its reason says what is waited for
    case ShortOf::kQuota:
      why.advice = {
          fmt::format("raise the quota{}: homeostat quota set services ...; homeostat quota ls shows it",
                      LimitInForce(view, "services")),
          "or ask for less of what has the same or a higher x-priority"};
      return;
    case ShortOf::kMaximum:
      if (const std::string limit = LimitInForce(view, own); !limit.empty()) {
        why.advice = {fmt::format("raise its quota{}: homeostat quota set {} --replicas {}", limit, own,
                                  service.replicas)};
        return;
      }
      why.advice = {"raise the maximum in its stack"};
      return;
    case ShortOf::kFitting: {
      std::vector<std::string> asked;
      for (const Constraint& one : service.spec.constraints)
        asked.push_back(fmt::format("{} {} {}", one.label, one.equal ? "==" : "!=", one.value));
      why.advice = {
          fmt::format("its stack asks for {}: a box's labels are given to homeostat up --label, and "
                      "homeostat nodes shows them",
                      fmt::join(asked, " and ")),
          "or ask for less in its stack: deploy.placement.constraints"};
      return;
    }
    case ShortOf::kRoom:
      why.advice = {"add a box, or free one: homeostat drain --undo NODE",
                    fmt::format("or ask for less: homeostat scale {}={}", name,
                                service.replicas - std::min(service.replicas, shortage.missing))};
      return;
  }
}

// A door's error may be several, each of one service or of the door as a whole.
bool Concerns(std::string_view error, const std::string& service) {
  while (!error.empty()) {
    const std::size_t end = std::min(error.find("; "), error.size());
    const std::string_view one = error.substr(0, end);
    if (!one.starts_with("service ") || one.starts_with("service " + service + " ")) return true;
    error.remove_prefix(std::min(end + 2, error.size()));
  }
  return false;
}

// People are to reach it, and some doors do not let them.
std::string DoorWords(const NodeView& view, const ServiceSpec& spec) {
  if (!spec.http && spec.ports.empty()) return "";
  for (const Member& member : view.members) {
    const NodeReport* report = IsPresent(member.state) ? ReportOf(view, member.id) : nullptr;
    if (report != nullptr && Concerns(report->door_error, spec.name))
      return fmt::format(", but the door of {} does not serve it: {}", member.meta->name, report->door_error);
  }
  return "";
}

Why WhyService(const NodeView& view, const DesiredService& service) {
  const auto& name = service.spec.name;
  Why why{.subject = name, .cause = {}, .advice = {}, .events = {}};
  const auto count = CountService(view, service);
  const Shortage* shortage = ShortageOf(view, service);
  if (std::string stopped = StoppedRollout(view, service, shortage); !stopped.empty()) {
    why.cause = std::move(stopped);
    why.advice = {"homeostat logs " + name + "  shows what the new version wrote",
                  "deploy a repaired version, or the former one"};
  } else if (shortage != nullptr) {
    why.cause = fmt::format("{} of {} replicas of {} cannot be placed: {}", shortage->missing, count.desired,
                            name, shortage->reason);
    ShortageAdvice(view, service, *shortage, why);
  } else if (count.healthy < count.desired) {
    why.cause = BelowLevel(view, service, count, why);
  } else if (count.healthy > count.desired) {
    why.cause = fmt::format(
        "{} replicas of {} are healthy where {} are asked for: the surplus drains before it stops",
        count.healthy, name, count.desired);
  } else {
    WallMs since = 0;
    for (const auto& row : ReplicasOf(view, name)) since = std::max(since, row.status->since_ms);
    why.cause = count.desired == 0 ? fmt::format("{} is as asked: none wanted, none runs", name)
                                   : fmt::format("{} is as asked: all {} replicas are healthy, since {}",
                                                 name, count.desired, WhenText(since));
    why.cause += DoorWords(view, service.spec);
  }
  if (!service.fixed) {
    why.advice.push_back(LevelWords(view, service));
    if (const std::string held = MetricWords(view, service); !held.empty()) why.advice.push_back(held);
  } else if (service.replicas != service.spec.replicas) {
    why.advice.push_back(fmt::format("the level of {} comes from a scale command; its stack says {}",
                                     service.replicas, service.spec.replicas));
  }
  AddEvents(view, {name}, why);
  return why;
}

// Replicas that run though no stack here asks for them.
Why WhyUnasked(const NodeView& view, const std::string& name) {
  Why why{.subject = name, .cause = {}, .advice = {}, .events = {}};
  why.cause =
      fmt::format("{} replicas of {} are left running, though no stack that is known here asks for them",
                  ReplicasOf(view, name).size(), name);
  why.advice = {
      "wait, if nodes that have the stack are away or on their way",
      "where its documents are lost, deploy it again: what runs is taken over, and can then be removed"};
  AddEvents(view, {name}, why);
  return why;
}

Why WhyStack(const NodeView& view, const std::string& stack) {
  Why why{.subject = stack, .cause = {}, .advice = {}, .events = {}};
  std::vector<std::string> subjects{stack}, troubled;
  std::string doors;
  for (const auto& service : view.services) {
    if (service.stack != stack) continue;
    subjects.push_back(service.spec.name);
    const auto count = CountService(view, service);
    const Shortage* shortage = ShortageOf(view, service);
    const bool well = count.healthy == count.desired && shortage == nullptr &&
                      StoppedRollout(view, service, shortage).empty();
    if (doors.empty()) doors = DoorWords(view, service.spec);
    if (well) continue;
    if (troubled.empty()) {
      const Why inner = WhyService(view, service);
      why.cause = inner.cause;
      why.advice = inner.advice;
    }
    troubled.push_back(service.spec.name);
  }
  if (troubled.empty()) {
    why.cause = fmt::format("{} is as asked: all its {} services are at their level{}", stack,
                            subjects.size() - 1, doors);
  } else if (troubled.size() > 1) {
    why.advice.push_back(fmt::format("homeostat why {}  for the others",
                                     fmt::join(troubled.begin() + 1, troubled.end(), ", ")));
  }
  AddEvents(view, subjects, why);
  return why;
}

Why WhyCluster(const NodeView& view) {
  Why why{.subject = "cluster", .cause = {}, .advice = {}, .events = {}};
  const auto& steady = view.steady;
  if (!steady.steady) {
    why.cause = fmt::format("the cluster is not steady for {}: {}", AgoText(view, steady.since),
                            steady.pending.empty() ? "no reason is known" : steady.pending.front());
    for (std::size_t i = 1; i < steady.pending.size(); ++i)
      why.advice.push_back("also pending: " + steady.pending[i]);
  } else if (!steady.shortages.empty()) {
    const auto& first = steady.shortages.front();
    const std::string what = first.of == ShortOf::kVersion
                                 ? first.service + " is not of the wanted version: "
                                 : fmt::format("{} of {} cannot be placed: ", first.missing, first.service);
    why.cause = fmt::format("the cluster is steady for {}, but {}{}", AgoText(view, steady.since), what,
                            first.reason);
    why.advice = {fmt::format("homeostat why {}  says what can be done", first.service)};
  } else if (const auto troubles = AllTroubles(view); !troubles.empty()) {
    why.cause = fmt::format("the cluster is steady for {}, but {}", AgoText(view, steady.since),
                            ToText(troubles.front()));
  } else {
    why.cause = fmt::format("the cluster is steady for {}: everything asked for is there",
                            AgoText(view, steady.since));
  }
  for (auto it = view.events.rbegin(); it != view.events.rend() && why.events.size() < kEventsShown; ++it) {
    if (const auto* event = *it == nullptr ? nullptr : std::get_if<Event>(it->get()))
      why.events.push_back(*event);
  }
  return why;
}

}  // namespace

Result<Why> Explain(const NodeView& view, std::string_view subject) {
  if (const auto* service = FindService(view, subject)) return WhyService(view, *service);
  if (FindReplica(view, subject)) return *WhyReplica(view, subject);
  const auto node = FindNode(view, subject);
  if (node) return WhyNode(view, **node);
  if (FindStack(view, subject) != nullptr) return WhyStack(view, std::string(subject));
  if (subject.empty() || subject == "cluster") return WhyCluster(view);
  if (!subject.empty() && !ReplicasOf(view, std::string(subject)).empty())
    return WhyUnasked(view, std::string(subject));
  if (auto gone = WhyReplica(view, subject)) return *std::move(gone);
  return BadInput(fmt::format(
      "nothing here is called '{}': name a service, replica, node or stack, or 'cluster'", subject));
}

}  // namespace hs
