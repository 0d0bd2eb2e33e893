// What was measured: told to the monitor, summed up there, told to the controller and its stand-by.
#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "core/node/node_impl.h"

namespace hs {
namespace {

constexpr Duration kMetricMissing = 3s;
constexpr Duration kMetricBack = 10s;

const MonitorView* WatcherOf(const RegionView& region, NodeId node) {
  for (const MonitorView& monitor : region.monitors) {
    if (std::binary_search(monitor.watches.begin(), monitor.watches.end(), node)) return &monitor;
  }
  return nullptr;
}

}  // namespace

std::vector<MetricTarget> Node::Impl::MetricTargets() const {
  std::vector<MetricTarget> targets;
  for (const ReplicaStatus& status : supervisor_.statuses()) {
    if (status.state != ReplicaState::kRunning || status.health != Health::kHealthy) continue;
    const auto service = std::ranges::lower_bound(asked_, status.service, {},
                                                  [](const DesiredService& of) { return of.spec.name; });
    if (service == asked_.end() || service->spec.name != status.service || service->fixed) continue;
    const ScaleSpec& scale = *service->spec.scale;
    if (scale.target != ScaleTarget::kMetric) continue;
    targets.push_back({status.id, status.service, status.address, scale.metric, scale.metric_path});
  }
  return targets;
}

// A number that is not there is said when it has been missing for a while, and so is its return.
void Node::Impl::TellMetricProblems(const std::vector<MetricProblem>& problems) {
  const auto find = [&](const std::string& service) {
    return std::ranges::find(problems, service, &MetricProblem::service);
  };
  for (const MetricProblem& problem : problems) metric_words_[problem.service];
  if (metric_words_.empty()) return;
  // With its last replica here goes what was said of it.
  const std::vector<MetricTarget> targets = MetricTargets();
  std::erase_if(metric_words_, [&](const auto& word) {
    return std::ranges::find(targets, word.first, &MetricTarget::service) == targets.end();
  });
  for (auto it = metric_words_.begin(); it != metric_words_.end();) {
    auto& [service, word] = *it;
    const auto problem = find(service);
    const bool missing = problem != problems.end();
    if (missing == word.missing) {
      word.differs_since = kNever;
    } else if (word.differs_since == kNever) {
      word.differs_since = now_.mono;
    } else if (now_.mono - word.differs_since >= (missing ? kMetricMissing : kMetricBack)) {
      word = {missing, kNever};
      if (missing) {
        Emit("metric.missing", service,
             fmt::format("{} on {}: {}; the level holds until it comes",
                         ReplicaName(service, problem->replica), NameOf(self_), problem->reason));
      } else {
        Emit("metric.back", service, fmt::format("all replicas on {} tell it again", NameOf(self_)));
      }
    }
    it = !missing && !word.missing ? metric_words_.erase(it) : std::next(it);
  }
}

// Idle nodes speak less often: most clusters are idle most of the time.
bool Node::Impl::IsTimeToTell(LoadTold& told, const LoadReport& report) const {
  const bool idle = IsIdle(report);
  std::uint64_t documents = 0;
  for (const NodeLoad& node : report.nodes) documents = CombineHash(documents, node.documents);
  if (idle && told.idle && documents == told.documents && now_.mono - told.at < kLoadIdleInterval)
    return false;
  told = {now_.mono, idle, documents};
  return true;
}

void Node::Impl::NoteDocuments(const LoadReport& report) {
  for (const NodeLoad& node : report.nodes) {
    if (node.documents != 0 && std::exchange(documents_told_[node.node], node.documents) != node.documents)
      steady_dirty_ = true;
  }
}

void Node::Impl::SendLoad(NodeId to, const LoadReport& report) {
  const auto member = membership_.members().find(to);
  if (!to || member == membership_.members().end() || !IsPresent(member->second.state)) return;
  outputs_.emplace_back(SendLink{to, member->second.meta->address, report});
}

void Node::Impl::Gather(NodeId from, const LoadReport& report) {
  if (from != self_) {
    NoteDocuments(report);
    load_book_.Take(now_.mono, from, report);
    return PassOn(false);
  }
  // Our own second is over.
  if (!report.nodes.empty() && strain_.Step(report.nodes.front())) {
    Emit(strain_.strained() ? "node.strained" : "node.relieved", meta_.name, strain_.cause());
    lead_at_ = now_.mono;
  }
  const MonitorView* watcher = WatcherOf(region_, self_);
  if (watcher == nullptr || watcher->monitor == self_) {
    load_book_.Take(now_.mono, self_, report);
  } else if (IsTimeToTell(own_load_told_, report)) {
    SendLoad(watcher->monitor, report);
  }
  PassOn(true);
}

// Once a second: when the last busy node has spoken, so that what it says does not wait for this node's own
// moment. At that, where all are idle, and where rounds do not end (somebody is missing, or all are late):
// first when one should have ended long ago, then each second. Many that turn busy at once would all be the
// last: a pause for them.
bool Node::Impl::IsTimeToSum(Summed& last, bool own_moment, const std::vector<NodeId>* senders) const {
  const Duration since = now_.mono - last.at;
  const bool busy = load_book_.AnyBusy(now_.mono, senders);
  const bool ends = load_book_.EndsRound(now_.mono, senders);
  if (ends && last.busy && since < kLoadInterval / 4) return false;
  if (!ends && (!own_moment || (busy && !last.overdue && since < kLoadInterval * 3 / 2))) return false;
  last = {.at = now_.mono, .busy = busy, .overdue = busy && !ends};
  return true;
}

void Node::Impl::PassOn(bool own_moment) {
  const auto own = std::ranges::find(region_.monitors, self_, &MonitorView::monitor);
  if (own != region_.monitors.end() && IsTimeToSum(watched_summed_, own_moment, &own->watches))
    SumUp(own->watches);
  if (!Leads() || !IsTimeToSum(region_summed_, own_moment, nullptr)) return;
  if (Stewards()) return KnowsWhatRuns() ? MoveLevels() : void();
  const LoadReport sum = load_book_.Sum(now_.mono);
  if (!sum.nodes.empty() && IsTimeToTell(region_load_told_, sum)) SendLoad(steward_, sum);
}

void Node::Impl::Apply(const DiskChecked& input) {
  if (!disk_.Step(now_.mono, input)) return;
  lead_at_ = now_.mono;
  dirty_.statuses = true;
  const bool well = disk_.fault() == DiskFault::kNone;
  Emit(well ? "disk.ok" : "disk.failed", meta_.name, well ? disk_.cause() : DiskTrouble());
}

std::string Node::Impl::DiskTrouble() const {
  return disk_.cause() +
         "; what it is told is kept in memory only, and while another node can, it takes no role and gets no "
         "new work: " +
         (disk_.fault() == DiskFault::kFull ? "free space on the disk of its data directory"
                                            : "look at the disk of its data directory");
}

void Node::Impl::SumUp(const std::vector<NodeId>& watched) {
  const LoadReport sum = load_book_.SumOf(now_.mono, watched);
  if (sum.nodes.empty() || !IsTimeToTell(load_sum_told_, sum)) return;
  if (region_.controller != self_) SendLoad(region_.controller, sum);
  if (region_.standby != self_) SendLoad(region_.standby, sum);
}

}  // namespace hs
