// One service: which of its replicas stay, which go with which keeper, and how many new ones start.
//
// Words used here: a replica *stays* unless it is leaving. It is *good* when it stays, is of the wanted
// version, not on a drained box and not stranded; all others that stay are *passing*: they serve until a good
// one can take over.
#pragma once

#include "core/placement/inventory.h"

namespace hs {

class ServicePlan {
 public:
  // `hold_starts`: why nothing may start yet; empty when it may.
  // `moves_under_way`: in the whole region.
  ServicePlan(const ReconcileInput& input, Fleet& fleet, Prng& prng, const std::string& hold_starts,
              std::int64_t moves_under_way, PlanDraft& draft)
      : input_(input),
        fleet_(fleet),
        prng_(prng),
        hold_starts_(hold_starts),
        moves_under_way_(moves_under_way),
        draft_(draft) {}

  // No longer asked for: everything stops, nothing has to take over.
  void Remove(std::string_view name, std::vector<Piece>& pieces);
  void Decide(const DesiredService& service, ServicePieces& found);

 private:
  struct Counts {
    std::uint32_t stay = 0, healthy = 0;
    std::uint32_t good = 0, good_healthy = 0, good_stuck = 0, good_settling = 0;
    std::uint32_t passing = 0;  // stay and are not good
    std::uint32_t old = 0;      // stay and are of another version
    std::uint32_t leaving = 0;
  };
  struct Wanted {
    std::uint32_t of_new = 0;
    std::uint32_t of_old = 0;
  };

  bool Good(const Piece& piece) const {
    return piece.spec == service_->hash && !fleet_.Drained(piece.box) && !Stranded(piece);
  }
  bool Stranded(const Piece& piece) const;
  bool Failed(const Piece& piece) const;
  Counts Count() const;
  void Stay(Piece& piece, std::string cause);
  void Leave(Piece& piece, std::string cause);

  bool Paused();
  bool AwaitsTheOtherPart();
  void TakeBackStops();
  void FindFailedRollout();
  Wanted HowManyToStart() const;
  const ServiceSpec* ProvenOldSpec() const;
  const ServiceSpec* LostOldSpec() const;
  const ServiceSpec* MostFrequentOld(const std::map<SpecHash, std::uint32_t>& counts) const;
  bool InRedeploy() const { return Count().old > 0 || LostOldSpec() != nullptr; }
  void Start(const ServiceSpec& spec, SpecHash hash, std::uint32_t count, const char* what);
  void Put(BoxIndex box, const ServiceSpec& spec, Assignment assignment);
  void SpreadAll();
  void ChooseStops();
  Piece* Successor(const Piece& piece);
  bool MoveUnderWay();
  bool WorthWaitingFor(const Piece& piece) const;
  void FinishMoves();
  void BeginMove();
  std::set<ReplicaId> Twins() const;
  Piece* NextVictim(const Counts& counts, const std::set<ReplicaId>& twins);
  bool HasKeeper(const Piece& victim) const;
  bool AllAreTwins() const;
  bool OnlyHere() const;
  ReplicaId KeeperFor(const Piece& victim) const;
  void Emit(const std::string& name, std::vector<Piece>& pieces);  // takes the causes along
  void SayPending();

  const ReconcileInput& input_;
  Fleet& fleet_;
  Prng& prng_;
  const std::string& hold_starts_;
  std::int64_t moves_under_way_;
  PlanDraft& draft_;

  // Of the service in hand:
  const DesiredService* service_ = nullptr;
  ServicePieces* found_ = nullptr;
  Spread spread_;
  const Piece* failed_ = nullptr;  // what stopped the redeploy
  std::string failed_cause_;
  std::uint32_t started_ = 0;
};

}  // namespace hs
