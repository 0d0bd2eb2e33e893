// Hard maximums that also hold while the cluster is cut: each is split into whole numbers that nodes carry.
//
// Intuition: ration cards. A shop may hand out as much as the cards of those who stand in it allow; whoever
// goes through another door takes his card along. Nobody prints a card twice: first somebody gives his up, in
// writing, and only then somebody else gets it. A newcomer has none until everybody is in the room and they
// are dealt anew.
//
// Invariants:
//  1. Conserved: what all nodes hold of one subject never adds up to more than its total. A deal lowers
//     first and raises only after every present node has said, under this controller, that it holds no more
//     than before.
//  2. Nothing is dealt or raised while somebody is silent. The parts of boxes that are known dead or gone
//     are dealt to those that are there at once; membership calls silent ones dead after `dead_after`.
//  3. A node takes only less from a controller it has not followed before (TakeAllotments), so what an
//     earlier controller may still have on its way cannot add to what a later one deals.
//  4. The same input twice gives the same deal: held parts stay where they are as far as an even deal allows.
//
// It does not enforce the limits: share_out.h does, with LimitOf for the maximum.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/control/share_out.h"
#include "core/types.h"

namespace hs {

using AllotmentTotals = std::map<std::string, std::uint64_t>;  // by subject

// What is dealt: service.NAME (replicas) of every service whose maximum is above its minimum or strict, and
// quota.CLASS.replicas, .millicores and .mib of every class quota.
AllotmentTotals TotalsOf(const std::vector<ShareRequest>& requests, const std::set<std::string>& strict,
                         const ClassQuotas& quotas);

class Allotments {
 public:
  struct Carrier {
    NodeId node;
    std::vector<Allotment> held;  // by its own report; sorted by subject
    bool acked = false;           // it follows this controller's last word to it
    std::uint64_t weight = 1;     // for so many boxes; above 0
  };
  struct Input {
    const AllotmentTotals& totals;
    const std::vector<Carrier>& carriers;  // the present nodes, in order of id
    bool complete = false;                 // nobody is silent
  };
  struct Deal {
    std::map<NodeId, std::vector<Allotment>> told;  // what each node's slice should say
    bool settled = false;  // everybody holds what was told, and it adds up to the totals as far as it can
  };

  // At every look of the controller.
  Deal Step(const Input& input);
  // Control is lost: what was told is another's to say.
  void Close() { told_.clear(); }

 private:
  std::map<NodeId, std::vector<Allotment>> told_;
};

// What a node holds after a slice came: of a controller that it has not followed before, no more than it has.
std::vector<Allotment> TakeAllotments(const std::vector<Allotment>& held, const std::vector<Allotment>& told,
                                      bool same_reign);

// What this part of the cluster may use of `total`: all when nobody is silent, else what its nodes hold.
std::uint64_t LimitOf(const std::string& subject, std::uint64_t total, bool complete,
                      const std::vector<std::vector<Allotment>>& held);

// Lowers maximums and class quotas to what this part may use, but never below the minimums, unless the
// service is among `strict`.
void ApplyAllotments(bool complete, const std::vector<std::vector<Allotment>>& held,
                     const std::set<std::string>& strict, std::vector<ShareRequest>& requests,
                     ClassQuotas& quotas);

}  // namespace hs
