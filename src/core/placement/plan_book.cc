#include "core/placement/plan_book.h"

#include <algorithm>

#include "base/hash.h"
#include "core/placement/inventory.h"

namespace hs {

std::uint64_t MembersDigest(const MemberTable& members) {
  std::uint64_t digest = 0;
  for (const auto& [id, member] : members) {
    if (!IsPresent(member.state)) continue;
    for (const std::uint8_t byte : id.bytes) digest = digest * 1099511628211ULL + byte;
    digest = Mix64(digest);
  }
  return digest;
}

std::vector<std::string> UnacknowledgedSlices(const std::map<NodeId, PlanSlice>& slices,
                                              const MemberTable& members, const NodeReports& reports) {
  std::vector<std::string> words;
  for (const auto& [node, slice] : slices) {
    const auto member = members.find(node);
    if (member == members.end() || !IsPresent(member->second.state)) continue;
    const auto seen = reports.find(node);
    if (seen != reports.end() && seen->second.report->plan == slice.stamp) continue;
    words.push_back(BoxName(member->second) + " has not taken over its plan yet (" +
                    std::to_string(slice.stamp.term) + "." + std::to_string(slice.stamp.sequence) + ")");
  }
  return words;
}

KnownSlices PlanBook::Known(const KnownSlices& observed) const {
  KnownSlices known = observed;
  for (const auto& [node, slice] : slices_) known[node] = &slice;
  return known;
}

void PlanBook::KeepOnly(const MemberTable& members) {
  std::erase_if(slices_, [&](const auto& page) { return !members.contains(page.first); });
}

void PlanBook::Close() {
  term_ = 0;
  sequence_ = 0;
  slices_.clear();
  report_ = {};
  short_.clear();
  stopped_.clear();
}

PlanUpdate PlanBook::Apply(Term term, const PlanDraft& draft, RegionReport report, const MemberTable& members,
                           const NodeReports& reports) {
  PlanUpdate update;
  const bool new_term = term != term_;
  if (new_term) {
    term_ = term;
    sequence_ = 0;
  }
  // A box that followed this node in a reign that this life does not remember takes only greater numbers.
  const auto followed = [&](NodeId node) -> std::uint64_t {
    const auto seen = reports.find(node);
    if (seen == reports.end()) return 0;
    const PlanStamp& stamp = seen->second.report->plan;
    return stamp.term == term && stamp.controller == self_ ? stamp.sequence : 0;
  };
  for (const auto& [node, seen] : reports) sequence_ = std::max(sequence_, followed(node));
  const std::uint64_t digest = MembersDigest(members);
  const std::uint64_t sequence = sequence_ + 1;
  const auto allotted = [&](NodeId node) {
    const auto parts = draft.allotments.find(node);
    return parts == draft.allotments.end() ? std::vector<Allotment>{} : parts->second;
  };
  const auto publish = [&](NodeId node, const std::vector<Assignment>& assignments) {
    PlanSlice& slice = slices_[node];
    slice = {report.region, {term, self_, sequence}, digest, node, assignments, allotted(node)};
    update.changed.push_back(slice);
    sequence_ = sequence;
  };
  std::vector<NodeId> gone;
  for (const auto& [node, slice] : slices_) {
    if (!draft.nodes.contains(node)) gone.push_back(node);
  }
  for (const auto& [node, assignments] : draft.nodes) {
    const auto held = slices_.find(node);
    if (new_term || held == slices_.end() || held->second.stamp.sequence < followed(node) ||
        held->second.assignments != assignments || held->second.allotments != allotted(node))
      publish(node, assignments);
  }
  for (const NodeId node : gone) {
    if (!slices_.at(node).assignments.empty()) publish(node, {});
    slices_.erase(node);
  }
  std::sort(update.changed.begin(), update.changed.end(),
            [](const PlanSlice& a, const PlanSlice& b) { return a.node < b.node; });

  update.decisions = draft.decisions;
  std::map<std::string, std::uint32_t> now_short;
  for (const Shortage& shortage : draft.shortages) {
    now_short[shortage.service] += shortage.missing;
    const auto told = short_.find(shortage.service);
    if (told != short_.end() && told->second == shortage.missing) continue;
    update.decisions.push_back(
        {"plan.short", shortage.service, std::to_string(shortage.missing) + " missing: " + shortage.reason});
  }
  short_ = std::move(now_short);
  for (const StoppedRollout& stopped : draft.stopped_rollouts) {
    const bool told = std::any_of(stopped_.begin(), stopped_.end(), [&](const StoppedRollout& other) {
      return other.service == stopped.service && other.spec == stopped.spec;
    });
    if (!told) update.decisions.push_back({"rollout.stopped", stopped.service, stopped.cause});
  }
  stopped_ = draft.stopped_rollouts;

  report.stamp = {term, self_, sequence_};
  report.shortages = draft.shortages;
  report.pending.insert(report.pending.begin(), draft.pending.begin(), draft.pending.end());
  update.report = std::move(report);
  for (std::string& words : UnacknowledgedSlices(slices_, members, reports)) {
    update.report.pending.push_back(std::move(words));
  }
  update.report_changed = update.report != report_;
  report_ = update.report;
  return update;
}

}  // namespace hs
