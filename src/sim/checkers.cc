#include "sim/checkers.h"

#include <algorithm>
#include <variant>

#include "sim/spread_checker.h"

namespace hs::sim {
namespace {

// How old a node's knowledge of another node's replica may rightly be: spreading, a suspicion, a stopped
// loop.
constexpr Duration kKnowledgeAge = 20s;
constexpr Duration kLevelsPause = 500ms;  // looked at with each input they would be most of the work
// A write was stamped at most this long before its answer.
constexpr WallMs kAnswerTime = 20'000;

const Assignment* Find(const PlanSlice& slice, ReplicaId id) {
  const auto found = std::find_if(slice.assignments.begin(), slice.assignments.end(),
                                  [&](const Assignment& assignment) { return assignment.replica == id; });
  return found == slice.assignments.end() ? nullptr : &*found;
}

}  // namespace

void SafetyChecker::Report(Time now, const Host& host, const std::string& what) {
  if (violations_.size() >= 20) return;
  violations_.push_back(std::to_string(ToSeconds(now.time_since_epoch()) - 3600) + " s, " + host.meta.name +
                        ": " + what);
}

void SafetyChecker::OnStarted(Time, const Host& host) {
  if (host.index < followed_.size()) followed_[host.index] = {};
  std::erase_if(stopping_, [&](const auto& entry) { return entry.first == host.index; });
}

void SafetyChecker::OnInput(Time now, const Host& host, const Input& input) {
  CheckFollowing(now, host);
  if (const auto* probe = std::get_if<ProbeResult>(&input); probe != nullptr && probe->healthy) {
    const auto process = host.processes.find(probe->id);
    if (process != host.processes.end())
      sightings_[{probe->id, host.index}] = {process->second.spec.name, now};
  }
  if (std::holds_alternative<Persisted>(input) || std::holds_alternative<PersistFailed>(input))
    RememberWishes(now, host);
  RememberLevels(now, host);
}

void SafetyChecker::OnOutput(Time now, const Host& host, const Output& output) {
  if (const auto* signal = std::get_if<SignalReplica>(&output)) CheckStop(now, host, signal->id);
  if (const auto* kill = std::get_if<KillReplica>(&output)) CheckStop(now, host, kill->id);
  if (const auto* start = std::get_if<StartReplica>(&output)) {
    stopping_.erase({host.index, start->id});
    const auto found = host.processes.find(start->id);
    if (found != host.processes.end() && found->second.alive) {
      Report(now, host, "asked to start " + ReplicaName(start->spec->name, start->id) + ", which runs");
    }
  }
}

// A node follows plans only from the controller that its own view elects. Looked at between any two inputs,
// so the controller of either moment may have been the one.
void SafetyChecker::CheckFollowing(Time now, const Host& host) {
  const Following following = host.node->following();
  if (followed_.size() <= host.index) followed_.resize(host.index + 1);
  Followed& before = followed_[host.index];
  if (following.plan != before.plan && following.plan.controller &&
      following.plan.controller != following.controller && following.plan.controller != before.controller) {
    Report(now, host,
           "follows a plan of " + following.plan.controller.Short() + " while it elects " +
               following.controller.Short());
  }
  before = {following.plan, following.controller};
}

// A replica that answers is asked to stop only by an explicit order, whose keeper is healthy, or with enough
// left.
void SafetyChecker::CheckStop(Time now, const Host& host, ReplicaId id) {
  const auto process = host.processes.find(id);
  if (process == host.processes.end() || !process->second.Answers(now)) return;
  if (!sightings_.contains({id, host.index}))
    return;  // nobody has ever found it healthy: nothing is lost with it
  if (!stopping_.insert({host.index, id}).second) return;  // judged when it was first asked
  const std::string name = ReplicaName(process->second.spec.name, id);
  const PlanSlice* slice = host.node->Slice();
  const Assignment* order = slice == nullptr ? nullptr : Find(*slice, id);
  if (order == nullptr || !order->stop_keeper) {
    Report(now, host, "stops " + name + ", which answers, without an order");
    return;
  }
  if (order->stop_keeper != id) {
    for (auto keeper = sightings_.lower_bound({order->stop_keeper, 0});
         keeper != sightings_.end() && keeper->first.first == order->stop_keeper; ++keeper) {
      if (now - keeper->second.healthy_at <= kKnowledgeAge) return;
    }
    Report(now, host,
           "stops " + name + " though its keeper has not been healthy for " +
               std::to_string(ToMs(kKnowledgeAge) / 1000) + " s");
    return;
  }
  const NodeView view = host.node->View({now, 0});
  const auto service = std::find_if(view.services.begin(), view.services.end(), [&](const DesiredService& s) {
    return s.spec.name == process->second.spec.name;
  });
  if (service == view.services.end()) return;  // removed
  if (service->spec.singleton == Singleton::kPause)
    return;  // may stop with no other: SingletonChecker judges it
  const std::uint32_t asked = std::min(service->replicas, LeastWished(now, service->spec.name));
  std::size_t others = 0;
  for (const auto& [other, sighting] : sightings_) {
    if (other == std::pair(id, host.index) || sighting.service != process->second.spec.name) continue;
    if (now - sighting.healthy_at <= kKnowledgeAge) ++others;
  }
  if (others < asked) {
    Report(now, host,
           "stops " + name + " without a keeper though only " + std::to_string(others) + " others of " +
               std::to_string(asked) + " have been healthy lately");
  }
}

// Orders to stop follow from what people wanted when they were given. What this node wanted so far is about
// to change.
void SafetyChecker::RememberWishes(Time now, const Host& host) {
  const std::vector<DesiredService>& services = host.node->Services();
  for (const DesiredService& service : services) wishes_[service.spec.name];
  for (auto& [name, past] : wishes_) {
    std::erase_if(past, [&](const auto& wish) { return now - wish.first > kKnowledgeAge; });
    const auto service = std::find_if(services.begin(), services.end(),
                                      [&](const DesiredService& s) { return s.spec.name == name; });
    past.emplace_back(now, service == services.end() ? 0 : service->replicas);
  }
}

// And from the level that was granted of it, which changes without a document. What a node has not heard of
// says nothing here.
void SafetyChecker::RememberLevels(Time now, const Host& host) {
  if (host.index >= remembered_.size()) remembered_.resize(host.index + 1);
  if (now - remembered_[host.index] < kLevelsPause) return;
  remembered_[host.index] = now;
  for (const DesiredService& service : host.node->Services()) {
    auto& past = wishes_[service.spec.name];
    std::erase_if(past, [now](const auto& wish) { return now - wish.first > kKnowledgeAge; });
    if (past.empty() || service.replicas < past.back().second || now - past.back().first >= kLevelsPause)
      past.emplace_back(now, service.replicas);
  }
}

std::uint32_t SafetyChecker::LeastWished(Time now, const std::string& service) const {
  std::uint32_t least = ~std::uint32_t{0};
  // What others want now counts too: the news may have reached the controller and not this node.
  for (HostIndex i = 0; i < world_.size(); ++i) {
    if (!world_.host(i).Running()) continue;
    std::uint32_t wanted = 0;
    for (const DesiredService& desired : world_.host(i).node->Services()) {
      if (desired.spec.name == service) wanted = desired.replicas;
    }
    least = std::min(least, wanted);
  }
  const auto past = wishes_.find(service);
  if (past == wishes_.end()) return least;
  for (const auto& [at, count] : past->second) {
    if (now - at <= kKnowledgeAge) least = std::min(least, count);
  }
  return least;
}

// ------------------------------------------------------------------------------------------------ ledger

namespace {

std::string Describe(const Document* document) {
  if (document == nullptr) return "nothing";
  return std::string(document->IsTombstone() ? "a tombstone" : "a document") + " of " +
         std::to_string(document->stamp.wall_ms) + "." + std::to_string(document->stamp.logical);
}

}  // namespace

void Ledger::Write(HostIndex host, std::vector<std::pair<std::string, DocumentBody>> documents) {
  std::vector<std::string> keys;
  for (const auto& [key, body] : documents) keys.push_back(key);
  world_.Write(host, std::move(documents), [this, keys](Result<Stamp> result) {
    if (!result) {
      ++refused_;
      return;
    }
    ++acknowledged_;
    Stamp promised = *result;
    // Of a box that was alone with a calendar far ahead: it takes the stamp back when it meets the others,
    // and what they write from now on counts as later.
    const WallMs present = world_.TrueWall();
    if (promised.wall_ms > present + ToMs(world_.tunables().clock_hold_back))
      promised = Stamp{present - kAnswerTime, 0, {}};
    for (const std::string& key : keys) promised_[key] = std::max(promised_[key], promised);
  });
}

std::vector<std::string> Ledger::Missing(HostIndex host) const {
  std::vector<std::string> missing;
  const NodeView view = world_.host(host).node->View({world_.now(), 0});
  for (const auto& [key, stamp] : promised_) {
    const auto found =
        std::lower_bound(view.documents.begin(), view.documents.end(), key,
                         [](const Document& document, const std::string& k) { return document.key < k; });
    // Documents of one request share its wall time and node, and end at the answered stamp. Among wrong
    // clocks its writer may have given it another stamp since.
    const bool there = found != view.documents.end() && found->key == key;
    const bool held =
        there && (found->stamp >= stamp ||
                  (found->stamp.node == stamp.node && found->stamp.wall_ms == stamp.wall_ms) ||
                  (found->stamp < found->seen && stamp <= found->seen && stamp.node == found->seen.node));
    if (!held) {
      missing.push_back("lost the acknowledged write of " + key + ": promised " +
                        std::to_string(stamp.wall_ms) + "." + std::to_string(stamp.logical) + ", holds " +
                        Describe(there ? &*found : nullptr));
    }
  }
  return missing;
}

// ------------------------------------------------------------------------------------------------
// convergence

namespace {

void CompareMembers(const World& world, const MemberTable& members, const std::string& who,
                    std::vector<std::string>& wrong) {
  for (HostIndex i = 0; i < world.size(); ++i) {
    const Host& other = world.host(i);
    const auto found = members.find(other.disk.node);
    const bool seen = found != members.end() && found->second.state == MemberState::kAlive;
    if (seen != other.Running()) {
      wrong.push_back(who + " sees " + other.meta.name + " as " +
                      (found == members.end() ? "unknown" : ToString(found->second.state)) + ", but it is " +
                      (other.Running() ? "running" : "gone"));
    }
  }
}

std::string FirstDifference(const NodeView& a, const NodeView& b) {
  std::map<std::string, std::pair<const Document*, const Document*>> both;
  for (const Document& document : a.documents) both[document.key].first = &document;
  for (const Document& document : b.documents) both[document.key].second = &document;
  for (const auto& [key, pair] : both) {
    if (pair.first != nullptr && pair.second != nullptr && pair.first->stamp == pair.second->stamp) continue;
    return key + " is " + Describe(pair.second) + " instead of " + Describe(pair.first);
  }
  return "equal documents, unequal digests";
}

void CompareServices(const World& world, const NodeView& view, std::vector<std::string>& wrong) {
  for (const DesiredService& service : view.services) {
    std::size_t healthy = 0;
    std::size_t alive = 0;
    for (HostIndex i = 0; i < world.size(); ++i) {
      for (const auto& [id, process] : world.host(i).processes) {
        if (process.spec.name != service.spec.name || !process.alive) continue;
        ++alive;
        if (process.Answers(world.now()) && HashOf(process.spec) == service.hash) ++healthy;
      }
    }
    std::size_t missing = 0;
    for (const Shortage& shortage : view.steady.shortages) {
      if (shortage.service == service.spec.name) missing += shortage.missing;
    }
    if (healthy + missing != service.replicas || alive != healthy) {
      wrong.push_back(service.spec.name + " has " + std::to_string(healthy) + " healthy of " +
                      std::to_string(alive) + " processes, " + std::to_string(missing) + " declared short, " +
                      std::to_string(service.replicas) + " asked for");
    }
  }
  for (HostIndex i = 0; i < world.size(); ++i) {
    for (const auto& [id, process] : world.host(i).processes) {
      const bool wanted =
          std::any_of(view.services.begin(), view.services.end(),
                      [&](const DesiredService& service) { return service.spec.name == process.spec.name; });
      if (!wanted && process.alive) wrong.push_back(process.spec.name + " was removed but runs");
    }
  }
}

}  // namespace

namespace {

// `all`: every reason; otherwise no further than the first node that has one.
std::vector<std::string> Reasons(const World& world, bool full, bool all) {
  std::vector<std::string> wrong;
  std::uint64_t intent = 0;
  NodeView first;
  for (HostIndex i = 0; i < world.size(); ++i) {
    const Host& host = world.host(i);
    if (!host.Running()) continue;
    if (!all && !wrong.empty()) return wrong;
    CompareMembers(world, host.node->Members(), host.meta.name, wrong);
    if (!full) continue;
    const std::uint64_t digest = host.node->IntentDigest();
    if (intent == 0) {
      intent = digest;
      first = host.node->View({world.now(), 0});
      CompareServices(world, first, wrong);
      if (wrong.empty()) wrong = Uneven(world, first);
    }
    if (digest != intent) {
      wrong.push_back(host.meta.name + " holds different documents: " +
                      FirstDifference(first, host.node->View({world.now(), 0})));
    }
    const SteadyState& steady = host.node->Steady();
    if (!steady.steady) {
      wrong.push_back(host.meta.name + " is not steady: " +
                      (steady.pending.empty() ? "no reason given" : steady.pending.front()));
    }
  }
  return wrong;
}

}  // namespace

std::vector<std::string> NotConverged(const World& world, bool full) { return Reasons(world, full, true); }
bool Converged(const World& world, bool full) { return Reasons(world, full, false).empty(); }

}  // namespace hs::sim
