// What runs where, as far as the controller can tell: reports and earlier slices joined, lost boxes taken
// out.
//
// A replica counts as being there when its box says so, or when it was assigned and nothing speaks against
// it. On a present box that is settled; on a box whose agent is down its own port decides, and it is left
// alone for `agent_patience`; on one that is unreachable, dead or left it is lost, unless we have only just
// started and may simply not have heard of that box yet.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/placement/fleet.h"
#include "core/placement/reconcile.h"

namespace hs {

struct Piece {
  ReplicaId id;
  BoxIndex box = kNoBox;
  SpecHash spec;
  const ReplicaStatus* status = nullptr;  // null: assigned, not reported yet
  const Assignment* prior = nullptr;      // null: not in the box's earlier slice
  bool leaving = false;                   // told to stop, or stopping
  bool going = false;                     // the fleet has been told that its room will be free
  bool hearsay = false;                   // said by a box that we have not heard since our own start
  // Decided by the service's plan:
  ReplicaId keeper;  // set when leaving
  std::string cause;

  // Nobody leaves for one that we know from hearsay.
  bool Healthy() const {
    return !hearsay && status != nullptr && status->state == ReplicaState::kRunning &&
           status->health == Health::kHealthy;
  }
  // Definitely not well. A replica just adopted by a restarted agent is neither healthy nor ailing.
  bool Ailing() const {
    return status != nullptr &&
           (status->state == ReplicaState::kPreparing || status->state == ReplicaState::kStarting ||
            status->state == ReplicaState::kBackoff ||
            (status->state == ReplicaState::kRunning && status->health == Health::kUnhealthy));
  }
  // Not just on its way up: it ended by itself, or fails its checks.
  bool Troubled() const {
    return Ailing() && (status->restarts > 0 || status->state == ReplicaState::kBackoff ||
                        status->health == Health::kUnhealthy);
  }
  // It is to go though nobody was named who stands in for it, and still runs.
  bool MayStay() const {
    return leaving && !Signalled() && status != nullptr && prior != nullptr && prior->stop_keeper == id;
  }
  bool Signalled() const { return status != nullptr && status->state == ReplicaState::kStopping; }
};

struct ServicePieces {
  std::vector<Piece> pieces;                    // in order of box, then id
  std::map<SpecHash, std::uint32_t> lost;       // replicas on boxes that are lost
  std::map<SpecHash, std::uint32_t> lost_well;  // of these, those of whom nothing bad was heard
  std::set<SpecHash> lost_troubled;             // versions of those that were in trouble
  Time silent_since{};                          // when the last box with one of these fell silent
};

struct Inventory {
  std::map<std::string_view, ServicePieces> services;
  std::vector<bool> box_lost;           // by BoxIndex
  std::vector<Decision> decisions;      // what was assigned and is lost
  std::vector<std::string> pending;     // boxes we wait for
  std::vector<std::string> unreported;  // present boxes without a report of their present life
};

// Views into `input` and `fleet` stay valid as long as those do.
Inventory TakeInventory(const ReconcileInput& input, const Fleet& fleet);

std::string BoxName(const Member& member);

}  // namespace hs
