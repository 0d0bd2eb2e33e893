#include "core/placement/reconcile.h"

#include <algorithm>

#include "core/placement/service_plan.h"

namespace hs {
namespace {

// What the replica holds of its box: by its own version's spec, which may not be the wanted one.
Resources ReserveOf(const ReconcileInput& input, const DesiredService* wanted, SpecHash hash) {
  if (wanted != nullptr && wanted->hash == hash) return wanted->spec.reserve;
  const auto spec = input.specs.find(hash);
  return spec == input.specs.end() ? Resources{} : spec->second.reserve;
}

// Those whose successors have been told to start.
std::set<ReplicaId> Replaced(const std::vector<Piece>& pieces) {
  std::set<ReplicaId> replaced;
  for (const Piece& piece : pieces) {
    if (!piece.leaving && piece.prior != nullptr && piece.prior->replaces)
      replaced.insert(piece.prior->replaces);
  }
  return replaced;
}

// Just after our own start the reports may not have come yet, or others, whose agents start as well, not be
// there: starting then would double what runs.
std::string WhyHoldStarts(const ReconcileInput& input, const Inventory& inventory) {
  if (input.now >= input.started_at + input.tunables.start_patience) return {};
  const auto& missing = inventory.unreported.empty() ? input.unmet : inventory.unreported;
  if (missing.empty()) return {};
  const std::string more =
      missing.size() > 1 ? " and " + std::to_string(missing.size() - 1) + " more have" : " has";
  return "just started and " + missing.front() + more +
         (inventory.unreported.empty() ? " not been met yet" : " not reported yet");
}

}  // namespace

std::map<std::string, std::uint32_t> CountStaying(const ReconcileInput& input) {
  const Fleet fleet(input.now, input.members, input.drained);
  const Inventory inventory = TakeInventory(input, fleet);
  std::map<std::string, std::uint32_t> counts;
  for (const auto& [name, found] : inventory.services) {
    const auto service =
        std::ranges::find(input.services, name, [](const DesiredService& of) { return of.spec.name; });
    const bool wanted = service != input.services.end() && service->replicas > 0;
    counts[std::string(name)] =
        static_cast<std::uint32_t>(std::ranges::count_if(found.pieces, [wanted](const Piece& piece) {
          return !piece.leaving || (wanted && piece.MayStay());
        }));
  }
  return counts;
}

PlanDraft Reconcile(const ReconcileInput& input, Prng& prng) {
  PlanDraft draft;
  Fleet fleet(input.now, input.members, input.drained);
  Inventory inventory = TakeInventory(input, fleet);
  draft.decisions = std::move(inventory.decisions);
  draft.pending = std::move(inventory.pending);

  std::map<std::string_view, const DesiredService*> wanted;
  for (const DesiredService& service : input.services) wanted.emplace(service.spec.name, &service);
  std::int64_t moves_under_way = 0;
  for (auto& [name, found] : inventory.services) {
    const auto it = wanted.find(name);
    const DesiredService* service = it == wanted.end() ? nullptr : it->second;
    const auto stay = std::ranges::count(found.pieces, false, &Piece::leaving);
    // Where more are wanted by now, both stay.
    std::set<ReplicaId> replaced;
    if (service != nullptr && stay > service->replicas) replaced = Replaced(found.pieces);
    for (Piece& piece : found.pieces) {
      const Resources reserve = ReserveOf(input, service, piece.spec);
      fleet.Reserve(piece.box, reserve);
      const bool moves = !piece.leaving && replaced.contains(piece.id);
      piece.going = piece.leaving || moves;
      if (piece.going) fleet.MarkGoing(piece.box, reserve);
      moves_under_way += moves ? 1 : 0;
    }
  }
  for (BoxIndex box = 0; box < fleet.size(); ++box) {
    if (!inventory.box_lost[box]) draft.nodes[fleet.MemberOf(box).id];
  }

  const std::string hold = WhyHoldStarts(input, inventory);
  ServicePlan plan(input, fleet, prng, hold, moves_under_way, draft);
  for (auto& [name, found] : inventory.services) {
    if (!wanted.contains(name)) plan.Remove(name, found.pieces);
  }
  // What room there is goes to the greater priority first.
  std::vector<const DesiredService*> in_order;
  for (const auto& [name, service] : wanted) in_order.push_back(service);
  std::ranges::stable_sort(in_order, std::ranges::greater{},
                           [](const DesiredService* service) { return service->spec.priority; });
  for (const DesiredService* service : in_order)
    plan.Decide(*service, inventory.services[service->spec.name]);

  for (auto& [node, assignments] : draft.nodes) {
    std::sort(assignments.begin(), assignments.end(),
              [](const Assignment& a, const Assignment& b) { return a.replica < b.replica; });
  }
  return draft;
}

}  // namespace hs
