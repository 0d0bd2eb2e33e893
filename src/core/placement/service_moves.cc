// Moves for balance: begun when all is well, finished when the successor is, undone when it is not.
#include <algorithm>
#include <set>

#include "core/placement/service_plan.h"

namespace hs {

// The replica that was started to take this one's place and has neither taken it nor failed.
Piece* ServicePlan::Successor(const Piece& piece) {
  for (Piece& other : found_->pieces) {
    if (!other.leaving && other.prior != nullptr && other.prior->replaces == piece.id && Good(other))
      return &other;
  }
  return nullptr;
}

// One replica more than wanted is there on purpose.
bool ServicePlan::MoveUnderWay() {
  return std::ranges::any_of(
      found_->pieces, [this](const Piece& piece) { return !piece.leaving && Successor(piece) != nullptr; });
}

// A surplus replica that is not healthy yet, on a box that has come back, say: when it would be moved there
// anyway once it is gone, it is left to start, and one on a fuller box goes when it is healthy.
bool ServicePlan::WorthWaitingFor(const Piece& piece) const {
  if (service_->replicas == 0 || !service_->spec.movable || !piece.Ailing() || Failed(piece) ||
      !Good(piece) || !fleet_.Open(piece.box))
    return false;
  return std::ranges::any_of(found_->pieces, [&](const Piece& other) {
    return !other.leaving && other.Healthy() && fleet_.Fuller(spread_, other.box, piece.box);
  });
}

// Whose successor is healthy goes; a successor that does not get healthy goes itself.
void ServicePlan::FinishMoves() {
  if (!input_.intent_known) return;
  for (Piece& piece : found_->pieces) {
    if (piece.leaving) continue;
    Piece* successor = Successor(piece);
    if (successor == nullptr) continue;
    const std::string& service = service_->spec.name;
    const std::string place = BoxName(fleet_.MemberOf(successor->box));
    if (Failed(*successor)) {
      Leave(*successor,
            "the move to " + place + " failed: it did not get healthy there" +
                (successor->status->last_error.empty() ? "" : " (" + successor->status->last_error + ")"));
      draft_.decisions.push_back({"plan.move-failed", ReplicaName(service, successor->id), successor->cause});
      draft_.moves_failed.push_back(service_->hash);
      continue;
    }
    const Counts counts = Count();
    const std::uint32_t healthy_after = counts.healthy - (piece.Healthy() ? 1 : 0);
    if (!successor->Healthy() || counts.stay <= service_->replicas || healthy_after < service_->replicas)
      continue;
    Leave(piece, "moved to " + place + ", where " + ReplicaName(service, successor->id) + " is healthy");
    draft_.decisions.push_back({"plan.stop", ReplicaName(service, piece.id), piece.cause});
  }
}

// One replica moves to where the spread gets more even, when all of the service is well.
void ServicePlan::BeginMove() {
  const ServiceSpec& spec = service_->spec;
  const Counts counts = Count();
  const std::uint32_t target = service_->replicas;
  const bool well = started_ == 0 && counts.stay == target && counts.good_healthy == target && target > 0;
  if (!well || !spec.movable || !input_.intent_known || !hold_starts_.empty()) return;
  if (input_.tunables.moves_at_once == 0) return;
  if (std::ranges::find(draft_.moves_failed, service_->hash) != draft_.moves_failed.end()) return;
  const auto move = fleet_.FindMove(spec, spread_, input_.now - input_.tunables.move_settle);
  if (!move) return;
  const Time not_before = input_.moves.NotBefore(service_->hash);
  if (input_.now < not_before && not_before - input_.now > input_.tunables.move_pause) return;  // one failed
  if (input_.now < not_before || moves_under_way_ >= input_.tunables.moves_at_once) {
    if (input_.now < not_before) draft_.look_again_at = std::min(draft_.look_again_at, not_before);
    draft_.pending.push_back(spec.name + ": a move to " + BoxName(fleet_.MemberOf(move->to)) +
                             " waits its turn");
    return;
  }
  // The newest of that box: the others have served for longer. Not one that another's stop still waits for.
  const Piece* moved = nullptr;
  std::set<ReplicaId> keepers;
  for (const Piece& piece : found_->pieces) {
    if (piece.leaving && piece.prior != nullptr) keepers.insert(piece.prior->stop_keeper);
  }
  const auto age = [](const Piece& piece) { return std::pair(piece.status->since_ms, piece.id); };
  for (const Piece& piece : found_->pieces) {
    if (piece.leaving || piece.box != move->from || keepers.contains(piece.id)) continue;
    if (moved == nullptr || age(piece) > age(*moved)) moved = &piece;
  }
  if (moved == nullptr) {
    draft_.pending.push_back(spec.name + ": a move waits until what stops has stopped");
    return;
  }
  Assignment assignment{
      .replica = {}, .service = spec.name, .spec = service_->hash, .stop_keeper = {}, .cause = {}};
  assignment.replaces = moved->id;
  assignment.cause =
      "moved here from " + BoxName(fleet_.MemberOf(move->from)) + " to spread the work: " + move->why;
  // One whose stop was just taken back has been told of already.
  if (!moved->going) fleet_.MarkGoing(moved->box, spec.reserve);
  ++moves_under_way_;
  draft_.moves_begun.push_back(service_->hash);
  Put(move->to, spec, std::move(assignment));
}

}  // namespace hs
