#include "core/placement/inventory.h"

#include <algorithm>

namespace hs {
namespace {

// What to believe about a whole box.
enum class Belief { kPresent, kByEvidence, kNotHeardOfYet, kLost };

Belief BeliefOf(const ReconcileInput& input, const Member& member) {
  if (IsPresent(member.state)) return Belief::kPresent;
  if (member.state == MemberState::kAgentDown) {
    return input.now < member.state_since + input.tunables.agent_patience ? Belief::kByEvidence
                                                                          : Belief::kLost;
  }
  const bool just_started = input.now < input.started_at + input.tunables.start_patience;
  return just_started && !member.seen_this_run && member.state != MemberState::kLeft ? Belief::kNotHeardOfYet
                                                                                     : Belief::kLost;
}

WorkVerdict VerdictOn(const ReconcileInput& input, ReplicaId id) {
  const auto it = input.evidence.find(id);
  return it == input.evidence.end() ? WorkVerdict::kUnknown : it->second;
}

// One box's report and earlier slice, joined by replica. Neither has to be sorted: they come from others.
struct Entry {
  ReplicaId id;
  const ReplicaStatus* status = nullptr;
  const Assignment* prior = nullptr;
};

std::vector<Entry> Join(const NodeReport* report, const PlanSlice* slice) {
  std::vector<Entry> entries;
  if (report != nullptr) {
    for (const ReplicaStatus& status : report->replicas) entries.push_back({status.id, &status, nullptr});
  }
  if (slice != nullptr) {
    for (const Assignment& prior : slice->assignments) entries.push_back({prior.replica, nullptr, &prior});
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.id < b.id; });
  std::vector<Entry> joined;
  for (const Entry& entry : entries) {
    if (!entry.id) continue;
    if (joined.empty() || joined.back().id != entry.id) {
      joined.push_back(entry);
    } else if (joined.back().prior == nullptr) {
      joined.back().prior = entry.prior;
    }
  }
  return joined;
}

const std::string& ServiceOf(const Entry& entry) {
  return entry.status != nullptr ? entry.status->service : entry.prior->service;
}
SpecHash SpecOf(const Entry& entry) {
  return entry.status != nullptr ? entry.status->spec : entry.prior->spec;
}

}  // namespace

std::string BoxName(const Member& member) {
  return member.meta->name.empty() ? member.id.Short() : member.meta->name;
}

Inventory TakeInventory(const ReconcileInput& input, const Fleet& fleet) {
  Inventory inventory;
  inventory.box_lost.resize(fleet.size());
  std::set<std::string_view> paused;
  for (const DesiredService& service : input.services) {
    if (service.spec.singleton == Singleton::kPause) paused.insert(service.spec.name);
  }
  for (BoxIndex box = 0; box < fleet.size(); ++box) {
    const Member& member = fleet.MemberOf(box);
    const Belief belief = BeliefOf(input, member);
    inventory.box_lost[box] = belief == Belief::kLost;

    const auto seen = input.reports.find(member.id);
    const NodeReport* report = seen == input.reports.end() ? nullptr : seen->second.report;
    // A report of an earlier life says nothing about what survived the restart; what was assigned stands
    // meanwhile.
    if (belief == Belief::kPresent && report != nullptr && seen->second.boot < member.incarnation.boot)
      report = nullptr;
    if (belief == Belief::kPresent && report == nullptr) inventory.unreported.push_back(BoxName(member));
    const auto planned = input.previous.find(member.id);
    const PlanSlice* slice = planned == input.previous.end() ? nullptr : planned->second;

    std::size_t waited_for = 0;
    for (const Entry& entry : Join(report, slice)) {
      ServicePieces& service = inventory.services[ServiceOf(entry)];
      const bool stop = entry.prior != nullptr && entry.prior->stop_keeper;
      const WorkVerdict verdict = VerdictOn(input, entry.id);
      // Two of these would be worse than one that nobody looks after.
      const bool pause = paused.contains(ServiceOf(entry));
      const bool left_alone =
          member.state == MemberState::kAgentDown && pause && verdict == WorkVerdict::kAnswering;
      std::string_view gone_by;
      if (belief == Belief::kByEvidence) {
        // An agent that said all it runs, and not this, went before it was told.
        if (report != nullptr && entry.status == nullptr && !pause) gone_by = ", and had not heard of it";
        if (verdict == WorkVerdict::kSilent && !pause) gone_by = " and all its ports are silent";
        if (verdict == WorkVerdict::kRefused) gone_by = " and the replica's port refuses";
      }
      if ((belief == Belief::kLost && !left_alone) || !gone_by.empty()) {
        ++service.lost[SpecOf(entry)];
        const Piece gone{entry.id, box, SpecOf(entry), entry.status, entry.prior};
        if (!stop && !gone.Ailing()) ++service.lost_well[SpecOf(entry)];
        if (gone.Troubled()) service.lost_troubled.insert(SpecOf(entry));
        if (gone_by.empty() && member.state == MemberState::kUnreachable)
          service.silent_since = std::max(service.silent_since, member.state_since);
        if (entry.prior == nullptr || stop) continue;
        inventory.decisions.push_back(
            {"plan.lost", ReplicaName(ServiceOf(entry), entry.id),
             BoxName(member) + " is " + ToString(member.state) + std::string(gone_by)});
        continue;
      }
      // Acknowledged and no longer there: it has stopped.
      if (stop && entry.status == nullptr && report != nullptr && report->plan == slice->stamp) continue;
      Piece piece{entry.id, box, SpecOf(entry), entry.status, entry.prior};
      piece.leaving = stop || piece.Signalled();
      piece.hearsay = belief == Belief::kNotHeardOfYet;
      service.pieces.push_back(std::move(piece));
      if (belief != Belief::kPresent) ++waited_for;
    }
    if (waited_for > 0) {
      inventory.pending.push_back(BoxName(member) + " is " + ToString(member.state) + ": " +
                                  std::to_string(waited_for) + " replicas there are left alone for a while");
    }
  }
  return inventory;
}

}  // namespace hs
