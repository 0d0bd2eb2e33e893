#include "api/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/find.h"
#include "api/json.h"
#include "core/intent/keys.h"

namespace hs {
namespace {

constexpr std::uint32_t kRestartsFailed = 3;  // as of a replica that ends a rollout

struct Level {
  std::uint32_t healthy = 0;   // of the wanted version
  std::uint32_t starting = 0;  // of the wanted version, not yet healthy
  std::uint32_t older = 0;     // of any other version
  std::uint32_t crashed = 0;   // of those that start: ended again since the deploy, and often before
  std::string trouble;
};

Level LevelOf(const NodeView& view, const DesiredService& service, const Stamp& stamp) {
  Level level;
  for (const auto& row : ReplicasOf(view, service.spec.name)) {
    if (row.unreachable) continue;
    if (row.status->spec != service.hash) {
      ++level.older;
    } else if (row.status->state == ReplicaState::kDraining || row.status->state == ReplicaState::kStopping) {
      continue;
    } else if (row.status->health == Health::kHealthy) {
      ++level.healthy;
    } else {
      ++level.starting;
      level.crashed += row.status->state == ReplicaState::kBackoff &&
                       row.status->restarts >= kRestartsFailed && row.status->since_ms >= stamp.wall_ms;
      if (level.trouble.empty() && !row.status->last_error.empty()) level.trouble = row.status->last_error;
    }
  }
  return level;
}

std::string LineOf(const DesiredService& service, const Level& level) {
  std::string line = fmt::format("{}  {}/{} healthy", service.spec.name, level.healthy, service.replicas);
  if (level.starting > 0) line += fmt::format(", {} starting", level.starting);
  if (level.older > 0) line += fmt::format(", {} of the old version", level.older);
  if (!level.trouble.empty() && level.healthy < service.replicas) line += fmt::format(" ({})", level.trouble);
  return line;
}

// The newest word of a controller on this rollout, if it stopped one of the services after the deploy.
const Event* Stopped(const NodeView& view, const std::vector<std::string>& subjects, const Stamp& stamp) {
  for (const auto* event : EventsAbout(view, subjects, 50)) {
    if (event->kind == "rollout.stopped" && event->at_ms >= stamp.wall_ms) return event;
  }
  return nullptr;
}

// A removal takes all revisions at once; where an older one is left, a newer one has only not come yet.
bool WasRemoved(const NodeView& view, std::string_view stack, const Stamp& stamp) {
  return std::ranges::any_of(view.documents, [&](const Document& document) {
    if (!document.IsTombstone() || document.stamp < stamp) return false;
    const auto key = ParseKey(document.key);
    return key && key->kind == KeyKind::kStack && key->name == stack;
  });
}

void LookAtDoors(const NodeView& view, Progress& progress) {
  std::size_t doors = 0, broken = 0;
  for (const Member& member : view.members) {
    if (!IsPresent(member.state) || member.meta->door.port == 0) continue;
    const NodeReport* report = ReportOf(view, member.id);
    ++doors;
    broken += report != nullptr && !report->door_error.empty();
  }
  progress.doorless = broken == doors;
  for (const NodesSaying& trouble : DoorTroubles(view)) progress.warnings.push_back(ToText(trouble));
  if (doors == 0) progress.warnings.push_back("no node has a door: all were started with --door none");
}

}  // namespace

Progress DeployProgress(const NodeView& view, std::string_view stack, const Stamp& stamp) {
  Progress progress;
  const Document* document = FindStack(view, stack);
  // A box that was alone with a calendar far ahead takes its stamp back when it meets others.
  const bool restamped = document != nullptr && document->stamp < stamp && stamp <= document->seen;
  if (document == nullptr && WasRemoved(view, stack, stamp)) {
    progress.failed = true;
    progress.reason = fmt::format("{} was removed meanwhile", stack);
    return progress;
  }
  if (document == nullptr || (document->stamp < stamp && !restamped)) {
    progress.lines.push_back(fmt::format("{}  waiting for the new revision", stack));
    return progress;
  }
  if (stamp < document->stamp) {
    progress.failed = true;
    progress.reason = fmt::format("a newer revision of {} was deployed meanwhile", stack);
    return progress;
  }
  std::vector<std::string> subjects{std::string(stack)};
  bool all_done = true, all_placed = true, all_crash = true, reachable = false;
  std::string short_reason, stopped_reason, crash_reason;
  for (const auto& service : view.services) {
    if (service.stack != stack) continue;
    subjects.push_back(service.spec.name);
    reachable = reachable || service.spec.http || !service.spec.ports.empty();
    const Level level = LevelOf(view, service, stamp);
    const bool done = level.healthy >= service.replicas && level.older == 0;
    progress.lines.push_back(LineOf(service, level));
    all_done = all_done && done;
    if (!done) {
      // The controller ends a rollout over an older version; without one it has nothing to go back to.
      all_crash = all_crash && level.older == 0 && level.crashed >= service.replicas;
      crash_reason +=
          fmt::format("{}{} ended {} times and more{}", crash_reason.empty() ? "" : "; ", service.spec.name,
                      kRestartsFailed, level.trouble.empty() ? "" : " (" + level.trouble + ")");
    }
    const Shortage* shortage = ShortageOf(view, service);
    if (shortage != nullptr && !done) {
      const bool stopped = shortage->of == ShortOf::kVersion;
      progress.lines.back() += stopped ? ", " + shortage->reason
                                       : fmt::format(", {} short: {}", shortage->missing, shortage->reason);
      std::string& reasons = stopped ? stopped_reason : short_reason;
      if (!reasons.empty()) reasons += "; ";
      reasons += stopped ? fmt::format("{}: {}", service.spec.name, shortage->reason)
                         : fmt::format("{} of {} cannot be placed: {}", shortage->missing, service.spec.name,
                                       shortage->reason);
      all_placed = all_placed && level.healthy + shortage->missing >= service.replicas;
    } else {
      all_placed = all_placed && done;
    }
  }
  if (const Event* stopped = Stopped(view, subjects, stamp); stopped != nullptr && !all_done) {
    progress.failed = true;
    progress.reason = stopped->cause;
  }
  if (!all_done && all_crash && !progress.failed) {
    progress.failed = true;
    progress.reason = fmt::format(
        "{0} does not get healthy: every replica of {1}; it stays deployed and is tried further: homeostat "
        "why {0}",
        stack, crash_reason);
  }
  progress.done = all_done && !progress.failed;
  const bool any_short = !short_reason.empty() || !stopped_reason.empty();
  progress.is_short = !progress.done && !progress.failed && all_placed && any_short;
  progress.stopped = progress.is_short && !stopped_reason.empty();
  if (progress.is_short) progress.reason = progress.stopped ? stopped_reason : short_reason;
  progress.published = reachable;
  if (reachable) LookAtDoors(view, progress);
  return progress;
}

std::string ProgressJson(const Progress& progress) {
  json::array lines, warnings;
  for (const auto& warning : progress.warnings) warnings.push_back(SafeText(warning));
  for (const auto& line : progress.lines) lines.push_back(SafeText(line));
  return json::serialize(json::object{{"done", progress.done},
                                      {"failed", progress.failed},
                                      {"short", progress.is_short},
                                      {"stopped", progress.stopped},
                                      {"reason", SafeText(progress.reason)},
                                      {"published", progress.published},
                                      {"doorless", progress.doorless},
                                      {"warnings", std::move(warnings)},
                                      {"lines", std::move(lines)}});
}

}  // namespace hs
