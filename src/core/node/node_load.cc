// What was measured: told to the monitor, summed up there, told to the controller and its stand-by.
#include <algorithm>

#include "core/node/node_impl.h"

namespace hs {
namespace {

const MonitorView* WatcherOf(const RegionView& region, NodeId node) {
  for (const MonitorView& monitor : region.monitors) {
    if (std::binary_search(monitor.watches.begin(), monitor.watches.end(), node)) return &monitor;
  }
  return nullptr;
}

}  // namespace

// Idle nodes speak less often: most clusters are idle most of the time.
bool Node::Impl::IsTimeToTell(LoadTold& told, bool idle) const {
  if (idle && told.idle && now_.mono - told.at < kLoadIdleInterval) return false;
  told = {now_.mono, idle};
  return true;
}

void Node::Impl::SendLoad(NodeId to, const LoadReport& report) {
  const auto member = membership_.members().find(to);
  if (!to || member == membership_.members().end() || !IsPresent(member->second.state)) return;
  outputs_.emplace_back(SendLink{to, member->second.meta.address, report});
}

void Node::Impl::Gather(NodeId from, const LoadReport& report) {
  if (from != self_) return load_book_.Take(now_.mono, from, report);
  // Our own second is over; with it goes the word of whom we watch.
  const MonitorView* watcher = WatcherOf(region_, self_);
  if (watcher == nullptr || watcher->monitor == self_) {
    load_book_.Take(now_.mono, self_, report);
  } else if (IsTimeToTell(own_load_told_, IsIdle(report))) {
    SendLoad(watcher->monitor, report);
  }
  SumUp();
  if (Leads() && KnowsWhatRuns()) MoveLevels();
}

void Node::Impl::SumUp() {
  const auto own = std::ranges::find(region_.monitors, self_, &MonitorView::monitor);
  if (own == region_.monitors.end()) return;
  const LoadReport sum = load_book_.SumOf(now_.mono, own->watches);
  if (sum.nodes.empty() || !IsTimeToTell(load_sum_told_, IsIdle(sum))) return;
  if (region_.controller != self_) SendLoad(region_.controller, sum);
  if (region_.standby != self_) SendLoad(region_.standby, sum);
}

}  // namespace hs
