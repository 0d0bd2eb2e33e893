// One node of the cluster: every mechanism, composed. The same object runs under runtime/ and under sim/.
// The contract with the caller is in contract.h. Not thread-safe; owns no resource but memory.
#pragma once

#include <memory>

#include "base/tunables.h"
#include "core/node/contract.h"
#include "core/node/view.h"

namespace hs {

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

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hs
