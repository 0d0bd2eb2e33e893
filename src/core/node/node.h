// One node of the cluster: every mechanism, composed. The same object runs under runtime/ and under sim/.
// The contract with the caller is in contract.h. Not thread-safe; owns no resource but memory.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/tunables.h"
#include "core/node/contract.h"
#include "core/node/view.h"

namespace hs {

// Whom a node follows: cheap to ask after every step.
struct Following {
  NodeId controller;  // as its own view elects
  PlanStamp plan;     // of the slice in force
};

class Node {
 public:
  Node(const Tunables& tunables, BootState boot, Now now);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  Outputs Step(Now now, const Input& input);
  // When Step(now, Tick{}) is due next; may be in the past.
  Time NextDeadline() const;

  NodeView View(Now now) const;
  // Parts of the view that need no copy; valid until the next Step.
  const MemberTable& Members() const;
  const std::vector<DesiredService>& Services() const;
  const SteadyState& Steady() const;  // as last judged: a moment old during a burst of news
  std::uint64_t IntentDigest() const;
  // Its parts of hard maximums.
  const std::vector<Allotment>& Held() const;
  Following following() const;
  const PlanSlice* Slice() const;  // in force here; null: none yet
  // What is known of all loads: everything on the controller, a part on monitors, little elsewhere.
  LoadReport Loads(Now now) const;
  // The apps' own numbers that the levels of services follow: of this node's healthy replicas, by replica.
  std::vector<MetricTarget> MetricTargets() const;
  // Null when there is none; a tombstone is a document. Valid until the next Step.
  const Document* FindDocument(const std::string& key) const;
  // Where a member is, or a zero endpoint.
  Endpoint AddressOf(NodeId node) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hs
