#include "core/placement/service_plan.h"

#include <algorithm>
#include <tuple>

#include "core/placement/rendezvous.h"

namespace hs {
namespace {

// So often restarted without being healthy, a new version has failed.
constexpr std::uint32_t kRestartsFailed = 3;

std::string Plural(std::uint32_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// "NAME: " before what is said about a service.
std::string Of(const std::string& service, const std::string& words) { return service + ": " + words; }

}  // namespace

void ServicePlan::Stay(Piece& piece, std::string cause) {
  piece.leaving = false;
  piece.keeper = ReplicaId{};
  piece.cause = std::move(cause);
  fleet_.Add(spread_, piece.box);
}

void ServicePlan::Leave(Piece& piece, std::string cause) {
  piece.leaving = true;
  piece.cause = std::move(cause);
  fleet_.Remove(spread_, piece.box);
}

// It cannot start, or not go on, where it is, for want of a disk that takes writes.
bool ServicePlan::Stranded(const Piece& piece) const {
  if (!fleet_.BetterElsewhere(piece.box, service_->spec)) return false;
  const bool never_started =
      piece.Ailing() && !piece.status->last_error.empty() && piece.status->state == ReplicaState::kPreparing;
  return never_started || piece.Troubled();
}

bool ServicePlan::Failed(const Piece& piece) const {
  if (!piece.Ailing() || Stranded(piece)) return false;
  if (piece.status->restarts >= kRestartsFailed) return true;
  const auto since = input_.unhealthy_since.find(piece.id);
  return since != input_.unhealthy_since.end() &&
         input_.now - since->second >= input_.tunables.rollout_deadline;
}

ServicePlan::Counts ServicePlan::Count() const {
  Counts counts;
  for (const Piece& piece : found_->pieces) {
    if (piece.leaving) {
      ++counts.leaving;
      continue;
    }
    ++counts.stay;
    counts.healthy += piece.Healthy();
    counts.old += piece.spec != service_->hash;
    if (!Good(piece)) {
      ++counts.passing;
      continue;
    }
    ++counts.good;
    counts.good_healthy += piece.Healthy();
    counts.good_settling += !piece.Healthy();
    counts.good_stuck += Failed(piece);
  }
  return counts;
}

// An order to stop is withdrawn while it still can be, when what stays has become too little.
void ServicePlan::TakeBackStops() {
  std::vector<Piece*> open;
  bool any_healthy = false;
  std::uint32_t stay = 0;
  for (Piece& piece : found_->pieces) {
    if (piece.leaving && !piece.Signalled()) open.push_back(&piece);
    if (piece.leaving) continue;
    ++stay;
    any_healthy = any_healthy || piece.Healthy();
  }
  std::sort(open.begin(), open.end(), [&](const Piece* a, const Piece* b) {
    return std::make_tuple(!Good(*a), !a->Healthy(), a->id) <
           std::make_tuple(!Good(*b), !b->Healthy(), b->id);
  });
  for (Piece* piece : open) {
    // One that serves also needs a keeper that does.
    const bool only_here = service_->replicas == 0 && OnlyHere();
    const bool irreplaceable = piece->Healthy() && !any_healthy && (service_->replicas > 0 || only_here);
    if (stay >= service_->replicas && !irreplaceable) continue;
    ++stay;
    any_healthy = any_healthy || piece->Healthy();
    Stay(*piece, only_here ? "its stop is withdrawn: no other region has a healthy one any more"
                           : "its stop is withdrawn: " + Plural(service_->replicas, "replica") +
                                 " wanted and too few stay");
    draft_.decisions.push_back({"plan.keep", ReplicaName(service_->spec.name, piece->id), piece->cause});
  }
}

void ServicePlan::FindFailedRollout() {
  failed_ = nullptr;
  for (const Piece& piece : found_->pieces) {
    if (piece.leaving || piece.spec != service_->hash || !Failed(piece)) continue;
    failed_ = &piece;
    const std::string& error = piece.status->last_error;
    failed_cause_ = "new replica " + ReplicaName(service_->spec.name, piece.id) + " on " +
                    BoxName(fleet_.MemberOf(piece.box)) + " is not healthy after " +
                    (piece.status->restarts >= kRestartsFailed
                         ? Plural(piece.status->restarts, "restart")
                         : std::to_string(ToMs(input_.tunables.rollout_deadline) / 1000) + " s") +
                    (error.empty() ? "" : " (" + error + ")");
    draft_.stopped_rollouts.push_back({service_->spec.name, service_->hash, piece.id, failed_cause_});
    return;
  }
}

// Of the versions that are not the wanted one, the most frequent whose spec is still known.
const ServiceSpec* ServicePlan::MostFrequentOld(const std::map<SpecHash, std::uint32_t>& counts) const {
  const ServiceSpec* best = nullptr;
  std::uint32_t most = 0;
  for (const auto& [hash, count] : counts) {
    const auto spec = input_.specs.find(hash);
    if (hash == service_->hash || spec == input_.specs.end() || count <= most) continue;
    std::tie(best, most) = std::tuple(&spec->second, count);
  }
  return best;
}

// The other version that serves best now.
const ServiceSpec* ServicePlan::ProvenOldSpec() const {
  std::map<SpecHash, std::uint32_t> healthy;
  for (const Piece& piece : found_->pieces) {
    if (!piece.leaving && piece.Healthy()) ++healthy[piece.spec];
  }
  const ServiceSpec* best = MostFrequentOld(healthy);
  return best != nullptr ? best : LostOldSpec();
}

// Where all that ran was lost at once, and the wanted version only ever failed: the version that had run.
const ServiceSpec* ServicePlan::LostOldSpec() const {
  bool troubled = found_->lost_troubled.contains(service_->hash);
  if (found_->lost_well.contains(service_->hash)) return nullptr;
  for (const Piece& piece : found_->pieces) {
    if (piece.leaving) continue;
    if (piece.spec != service_->hash || !piece.Ailing()) return nullptr;
    troubled = troubled || piece.Troubled() || Failed(piece);
  }
  return troubled ? MostFrequentOld(found_->lost_well) : nullptr;
}

// One id on several boxes (a copied directory, a disk that was put back), all healthy: none can be the keeper
// of another.
bool ServicePlan::AllAreTwins() const {
  const auto& pieces = found_->pieces;
  return std::ranges::all_of(pieces, [&pieces](const Piece& piece) {
    return !piece.leaving && piece.Healthy() && piece.id == pieces.front().id;
  });
}

ServicePlan::Wanted ServicePlan::HowManyToStart() const {
  const Counts counts = Count();
  const std::uint32_t target = service_->replicas;
  // Those above the number can go only once one of another id is healthy.
  if (target > 0 && counts.stay > target && input_.intent_known && AllAreTwins()) return {.of_new = 1};
  const std::uint32_t missing = target > counts.stay ? target - counts.stay : 0;
  const std::uint32_t new_missing = target > counts.good ? target - counts.good : 0;
  Wanted wanted;
  // No other version about: what is missing and what has to move starts at once.
  if (!InRedeploy()) {
    wanted.of_new = new_missing;
    return wanted;
  }
  // A redeploy. What was lost meanwhile is replaced by the version that is known to work: a new one that has
  // not been healthy yet stands in for nobody.
  const bool proven = failed_ == nullptr && counts.good_healthy > 0;
  const std::uint32_t serving = counts.old + counts.good_healthy;
  if (!proven && serving < target && ProvenOldSpec() != nullptr) {
    std::uint32_t lost_old = 0;
    for (const auto& [hash, count] : found_->lost) lost_old += hash == service_->hash ? 0 : count;
    wanted.of_old = failed_ != nullptr ? target - serving : std::min(target - serving, lost_old);
  }
  if (failed_ != nullptr || !input_.intent_known) return wanted;
  std::uint32_t at_once = proven ? std::max(1U, missing - wanted.of_old) : 1;
  at_once -= std::min(at_once, counts.good_settling);
  // Never more than one beside the wanted number: the last old one goes before the next new one comes.
  if (missing == 0 && (counts.stay > target || counts.leaving > 0)) at_once = 0;
  wanted.of_new = std::min(new_missing, at_once);
  return wanted;
}

void ServicePlan::Start(const ServiceSpec& spec, SpecHash hash, std::uint32_t count, const char* what) {
  if (count == 0) return;
  if (!hold_starts_.empty()) {
    draft_.pending.push_back(Of(spec.name, Plural(count, "replica") + " to start, waiting: " + hold_starts_));
    return;
  }
  for (; count > 0; --count) {
    const BoxIndex box = fleet_.Place(spec, spread_);
    if (box == kNoBox) {
      Fleet::NoPlace none = fleet_.WhyNot(spec);
      draft_.shortages.push_back({spec.name, count, std::move(none.why), none.of});
      return;
    }
    Assignment assignment{.replica = {}, .service = spec.name, .spec = hash, .stop_keeper = {}, .cause = {}};
    const auto crowding = fleet_.Crowding(spread_, box);
    assignment.cause = std::string(what) + ": least of " + spec.name + " in this zone (" +
                       std::to_string(crowding[0]) + "), on this box (" + std::to_string(crowding[3]) +
                       "), " + Plural(crowding[5], "replica") + " here in all";
    Put(box, spec, std::move(assignment));
  }
}

// A new replica with an id of its own on the box.
void ServicePlan::Put(BoxIndex box, const ServiceSpec& spec, Assignment assignment) {
  while (!assignment.replica) assignment.replica = ReplicaId{prng_.Next()};
  fleet_.Add(spread_, box);
  fleet_.Reserve(box, spec.reserve);
  draft_.decisions.push_back({assignment.replaces ? "plan.move" : "plan.start",
                              ReplicaName(spec.name, assignment.replica),
                              "on " + BoxName(fleet_.MemberOf(box)) + ": " + assignment.cause});
  draft_.nodes[fleet_.MemberOf(box).id].push_back(std::move(assignment));
  ++started_;
}

// Somebody else is healthy, under an id of his own.
bool ServicePlan::HasKeeper(const Piece& victim) const {
  return std::ranges::any_of(found_->pieces, [&](const Piece& piece) {
    return !piece.leaving && piece.Healthy() && piece.id != victim.id;
  });
}

// Other regions are to have it and none has a healthy one: they may have lost theirs since that was decided.
bool ServicePlan::OnlyHere() const {
  const auto elsewhere = input_.keepers_elsewhere.find(service_->spec.name);
  return elsewhere != input_.keepers_elsewhere.end() && !elsewhere->second;
}

// Ids that several boxes say they run.
std::set<ReplicaId> ServicePlan::Twins() const {
  std::set<ReplicaId> seen, twins;
  for (const Piece& piece : found_->pieces) {
    if (!seen.insert(piece.id).second) twins.insert(piece.id);
  }
  return twins;
}

// The next replica that can be spared, or null. In this order: not good before good, ailing before healthy,
// a twin, the most crowded domain and box, the newest, and the lesser draw.
Piece* ServicePlan::NextVictim(const Counts& counts, const std::set<ReplicaId>& twins) {
  const std::uint32_t target = service_->replicas;
  if (counts.stay + started_ <= target + (MoveUnderWay() ? 1 : 0)) return nullptr;
  // When good replicas have failed for long, a drained box does not wait for them. A redeploy does: it has
  // stopped.
  const std::uint32_t stuck = failed_ != nullptr && counts.old > 0 ? 0 : std::min(target, counts.good_stuck);
  const std::uint32_t healthy_floor = target - stuck;
  const std::uint32_t covered =
      counts.good_healthy + counts.passing;  // passing ones count whatever their health

  using Key = std::tuple<bool, bool, bool, std::array<std::uint64_t, 6>, WallMs, std::uint64_t, ReplicaId>;
  Piece* victim = nullptr;
  Key best;
  for (Piece& piece : found_->pieces) {
    if (piece.leaving) continue;
    const bool good = Good(piece);
    if (counts.old == 0 && WorthWaitingFor(piece)) continue;
    // What twins wait for, so that one of them can go.
    if (!twins.empty() && !twins.contains(piece.id) && !piece.Healthy() && !Failed(piece)) continue;
    if (good ? counts.good <= target : covered < healthy_floor + 1) continue;
    if (piece.Healthy() && (counts.healthy < healthy_floor + 1 || (target > 0 && counts.healthy < 2)))
      continue;
    if (piece.Healthy() && target > 0 && !HasKeeper(piece)) continue;
    if (piece.Healthy() && target == 0 && OnlyHere()) continue;
    // A redeploy that has stopped keeps its old replicas, but for those above the wanted number.
    if (failed_ != nullptr && piece.spec != service_->hash && counts.old <= target && piece.Healthy())
      continue;
    const Key key{!good,
                  !piece.Healthy(),
                  twins.contains(piece.id),
                  fleet_.Crowding(spread_, piece.box),
                  piece.status == nullptr ? 0 : piece.status->since_ms,
                  ~RendezvousDraw(Hash64(service_->spec.name), fleet_.MemberOf(piece.box).id),
                  piece.id};
    if (victim == nullptr || key > best) std::tie(victim, best) = std::tuple(&piece, key);
  }
  return victim;
}

void ServicePlan::ChooseStops() {
  if (!input_.intent_known) return;
  Counts counts = Count();
  if (counts.stay + started_ <= service_->replicas) return;
  const std::set<ReplicaId> twins = Twins();
  while (Piece* victim = NextVictim(counts, twins)) {
    std::string cause;
    if (victim->spec != service_->hash) {
      cause = "replaced by the new version";
    } else if (fleet_.Drained(victim->box)) {
      cause = BoxName(fleet_.MemberOf(victim->box)) +
              " is drained or barred from work, and its work runs elsewhere";
    } else if (Stranded(*victim)) {
      cause = "it cannot run on the disk of " + BoxName(fleet_.MemberOf(victim->box)) + ", which is " +
              ToString(fleet_.MemberOf(victim->box).meta->roles.disk) + ", and is replaced elsewhere";
    } else {
      cause = std::to_string(counts.stay) + " there, " + std::to_string(service_->replicas) + " wanted";
    }
    Leave(*victim, std::move(cause));
    draft_.decisions.push_back({"plan.stop", ReplicaName(service_->spec.name, victim->id), victim->cause});
    counts = Count();
  }
}

// A healthy replica that stays: of the wanted version, on another box, and the same as before where possible.
ReplicaId ServicePlan::KeeperFor(const Piece& victim) const {
  if (service_->replicas == 0) {
    const auto elsewhere = input_.keepers_elsewhere.find(service_->spec.name);
    const bool known = elsewhere != input_.keepers_elsewhere.end() && elsewhere->second;
    return known ? elsewhere->second : victim.id;
  }
  const ReplicaId before = victim.prior == nullptr ? ReplicaId{} : victim.prior->stop_keeper;
  // Of a move: the one that took its place.
  for (const Piece& piece : found_->pieces) {
    const bool successor = piece.prior != nullptr && piece.prior->replaces == victim.id;
    if (successor && !piece.leaving && piece.Healthy()) return piece.id;
  }
  using Key = std::tuple<bool, bool, bool, std::uint64_t>;
  ReplicaId keeper;
  Key best{};
  for (const Piece& piece : found_->pieces) {
    // One id on two boxes (a copied directory): an order that names itself as its keeper would wait for
    // nobody.
    if (piece.leaving || !piece.Healthy() || piece.id == victim.id) continue;
    const Key key{Good(piece), piece.id == before, piece.box != victim.box,
                  Mix64(piece.id.value ^ victim.id.value)};
    if (!keeper || key > best) std::tie(keeper, best) = std::tuple(piece.id, key);
  }
  return keeper ? keeper : victim.id;
}

void ServicePlan::Emit(const std::string& name, std::vector<Piece>& pieces) {
  for (Piece& piece : pieces) {
    draft_.nodes[fleet_.MemberOf(piece.box).id].push_back(
        {piece.id, name, piece.spec, piece.keeper, std::move(piece.cause),
         piece.prior == nullptr ? ReplicaId{} : piece.prior->replaces});
  }
}

void ServicePlan::SayPending() {
  const std::string& name = service_->spec.name;
  const Counts counts = Count();
  std::uint32_t settling = started_;
  const Piece* example = nullptr;
  for (const Piece& piece : found_->pieces) {
    if (piece.leaving || piece.Healthy() ||
        (failed_ != nullptr && piece.spec == service_->hash && Failed(piece)))
      continue;
    ++settling;
    if (example == nullptr && piece.status != nullptr && !piece.status->last_error.empty()) example = &piece;
  }
  if (settling > 0) {
    draft_.pending.push_back(Of(name, Plural(settling, "replica") + " not healthy yet" +
                                          (example ? " (" + example->status->last_error + ")" : "")));
  }
  if (counts.leaving > 0) draft_.pending.push_back(Of(name, Plural(counts.leaving, "replica") + " stopping"));
  if (failed_ != nullptr) {
    const std::uint32_t target = service_->replicas;
    draft_.shortages.push_back({name, target - std::min(target, counts.good_healthy),
                                "the redeploy stopped: " + failed_cause_ + "; the old version keeps running",
                                ShortOf::kVersion});
  } else if (counts.old > 0) {
    draft_.pending.push_back(Of(name, "redeploy, " + std::to_string(counts.good_healthy) + " of " +
                                          std::to_string(service_->replicas) + " on the new version"));
  }
}

void ServicePlan::Remove(std::string_view name, std::vector<Piece>& pieces) {
  const std::string service(name);
  for (Piece& piece : pieces) {
    const bool was_leaving = piece.prior != nullptr && piece.prior->stop_keeper;
    if (!input_.intent_known) {
      piece.keeper = was_leaving ? piece.prior->stop_keeper : ReplicaId{};
      piece.cause = piece.prior != nullptr ? piece.prior->cause
                                           : "found running; the documents may not all be here yet";
      continue;
    }
    piece.keeper = piece.id;
    piece.cause = "service " + service + " is no longer asked for";
    if (!was_leaving) draft_.decisions.push_back({"plan.stop", ReplicaName(service, piece.id), piece.cause});
  }
  if (!pieces.empty()) {
    draft_.pending.push_back(
        Of(service, Plural(pieces.size(), "replica") +
                        (input_.intent_known ? " stopping" : " of a service not known here yet")));
  }
  Emit(service, pieces);
}

// Stops look at everything that stays.
void ServicePlan::SpreadAll() {
  spread_ = fleet_.NewSpread();
  for (const Piece& piece : found_->pieces) {
    if (!piece.leaving) fleet_.Add(spread_, piece.box);
  }
}

void ServicePlan::Decide(const DesiredService& service, ServicePieces& found) {
  service_ = &service;
  found_ = &found;
  started_ = 0;
  spread_ = fleet_.NewSpread();
  for (Piece& piece : found.pieces) {
    const bool was_run = piece.prior != nullptr && !piece.prior->stop_keeper;
    if (piece.leaving) {
      piece.cause = piece.prior != nullptr && !was_run ? piece.prior->cause : "it was stopping already";
    } else {
      Stay(piece, was_run ? piece.prior->cause : "found running here");
    }
  }
  if (Paused()) return Emit(service.spec.name, found.pieces);
  TakeBackStops();
  failed_ = nullptr;
  if (InRedeploy()) FindFailedRollout();
  Wanted wanted = HowManyToStart();
  if (wanted.of_new + wanted.of_old > 0 && AwaitsTheOtherPart()) wanted = {};
  const ServiceSpec* old_spec = wanted.of_old > 0 ? ProvenOldSpec() : nullptr;
  if (old_spec != nullptr)
    Start(*old_spec, HashOf(*old_spec), wanted.of_old, "a lost replica of the running version");
  // In a redeploy the new version is spread by itself: what it replaces will be gone.
  if (Count().old > 0) {
    spread_ = fleet_.NewSpread();
    for (const Piece& piece : found.pieces) {
      if (!piece.leaving && Good(piece)) fleet_.Add(spread_, piece.box);
    }
  }
  Start(service.spec, service.hash, wanted.of_new, "wanted and not there");
  SpreadAll();
  FinishMoves();
  ChooseStops();
  BeginMove();
  for (Piece& piece : found.pieces) {
    if (piece.leaving) piece.keeper = KeeperFor(piece);
  }
  SayPending();
  Emit(service.spec.name, found.pieces);
}

}  // namespace hs
