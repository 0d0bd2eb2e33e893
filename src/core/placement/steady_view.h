// Who counts when it is asked whether this part of the cluster is the greater one.
//
// Intuition: a club that may act only while more than half of its members are in the room. Who joined while
// things were calm is a member. Who went out of sight still is, however long it takes: he may be sitting in
// the next room with the others. Only who said goodbye, was struck off the list or is known to have died is
// none.
//
// Invariants:
//  1. Silence never makes anybody uncounted, so of two parts that were one, at most one has the majority.
//  2. A newcomer counts from the first steady state it is part of.
//  3. A restarted agent counts everybody that its disk remembers, until it hears better.
//
// It decides nothing: placement asks it for services with `x-singleton: pause`.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/endpoint.h"
#include "base/flat_map.h"
#include "core/types.h"

namespace hs {

class SteadyView {
 public:
  // `peers`: of earlier lives; those without an id are ignored.
  SteadyView(NodeId self, const std::vector<std::pair<NodeId, Endpoint>>& peers);

  // To be called whenever members changed or the steady state came. `removed`: by people.
  void Observe(const MemberTable& members, const std::set<NodeId>& removed, bool steady);

  struct Standing {
    std::size_t here = 0;     // of those that count
    std::size_t counted = 0;  // at least 1
    Time since{};             // of the majority, when there is one; filled in by whoever watches it
    bool Majority() const { return here * 2 > counted; }
    std::string Words() const;  // 2 of 5 boxes are here
  };
  Standing StandingOf(const MemberTable& members) const;

  // Nobody is out of sight who may be alive somewhere. Whom only the disk remembers counts as out of sight
  // unless `long_ago`; whom membership has given up (dead, however it came to know) does not.
  bool Complete(const MemberTable& members, bool long_ago) const;

 private:
  // Whether the box fell silent before anything was proven about it: then its death is a guess.
  FlatMap<NodeId, bool> counted_;
};

}  // namespace hs
