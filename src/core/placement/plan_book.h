// A controller's published plan: drafts become slices with stamps, and only what changed gets a new one.
//
// Intuition: loose-leaf pages, one per box. A new draft replaces the pages that differ; the rest keep their
// numbers, so a box can tell at a glance that nothing is asked of it.
//
// Invariants:
//  1. Stamps of one box's slices only grow, within a term and from term to term, and beyond what a box says
//     it follows: a controller that restarted may come to a term that it had before.
//  2. A slice whose assignments did not change keeps its stamp, except that a new term puts its name on
//     every page: boxes follow only the controller that they elect.
//  3. A box that drops out of the draft gets an empty slice once, and then none.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/messages.h"
#include "core/placement/reconcile.h"

namespace hs {

struct PlanUpdate {
  std::vector<PlanSlice> changed;  // to be published, in order of node
  RegionReport report;
  bool report_changed = false;
  std::vector<Decision> decisions;  // for events: the draft's, and what newly became short or stopped
};

class PlanBook {
 public:
  explicit PlanBook(NodeId self) : self_(self) {}

  // What to start from: this book's slices in its own term, the newest seen for all others.
  KnownSlices Known(const KnownSlices& observed) const;

  // `report`: what is told along with the draft: levels and whatever else; the rest of it is filled in.
  PlanUpdate Apply(Term term, const PlanDraft& draft, RegionReport report, const MemberTable& members,
                   const NodeReports& reports);

  // The region is another now: the pages of those who are not in it are another's to write.
  void KeepOnly(const MemberTable& members);

  // Control is lost: the pages are another's to write.
  void Close();

  const std::map<NodeId, PlanSlice>& slices() const { return slices_; }

 private:
  NodeId self_;
  Term term_ = 0;  // 0: closed
  std::uint64_t sequence_ = 0;
  std::map<NodeId, PlanSlice> slices_;
  RegionReport report_;
  std::map<std::string, std::uint32_t> short_;  // service, missing: as last told
  std::vector<StoppedRollout> stopped_;
};

// Who of the present members has not taken over its slice yet, in words.
std::vector<std::string> UnacknowledgedSlices(const std::map<NodeId, PlanSlice>& slices,
                                              const MemberTable& members, const NodeReports& reports);

// Of the present members: equal on two nodes that see the same ones.
std::uint64_t MembersDigest(const MemberTable& members);

}  // namespace hs
