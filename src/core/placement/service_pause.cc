// Services that may not run twice (x-singleton: pause), in a cluster that is cut.
#include "core/placement/service_plan.h"

namespace hs {
namespace {

// A box that is cut off sees the others as unreachable after this long at the latest.
constexpr Duration kNoticeTime = 10s;

}  // namespace

Duration PauseWait(const Tunables& tunables, const ServiceSpec& spec) {
  return kNoticeTime + tunables.drain_wait + spec.stop_grace;
}

// In the smaller part of a cut cluster a service that may not run twice stops and does not start.
bool ServicePlan::Paused() {
  if (service_->spec.singleton != Singleton::kPause || input_.standing.Majority() || service_->replicas == 0)
    return false;
  const std::string cause = "x-singleton: pause, and " + input_.standing.Words() + ", not more than half";
  for (Piece& piece : found_->pieces) {
    const bool told = piece.prior != nullptr && piece.prior->stop_keeper == piece.id;
    if (!input_.intent_known && !told) continue;
    piece.leaving = true;
    piece.keeper = piece.id;
    if (!told) {
      piece.cause = cause;
      draft_.decisions.push_back({"plan.pause", ReplicaName(service_->spec.name, piece.id), cause});
    } else {
      piece.cause = piece.prior->cause;
    }
  }
  if (!found_->pieces.empty()) draft_.pending.push_back(service_->spec.name + ": stopping: " + cause);
  draft_.shortages.push_back({service_->spec.name, service_->replicas,
                              cause + "; it starts again when they meet, or when those that will not come "
                                      "back are removed: homeostat nodes rm",
                              ShortOf::kMajority});
  return true;
}

// The box that fell silent with it may be alive in the smaller part, which needs its time to notice and to
// stop.
bool ServicePlan::AwaitsTheOtherPart() {
  if (service_->spec.singleton != Singleton::kPause) return false;
  // Who has just come back may run it and not have said so yet.
  if (input_.now < input_.standing.since + input_.tunables.start_patience) {
    draft_.pending.push_back(service_->spec.name +
                             ": x-singleton: pause waits to hear what those run that have just come");
    return true;
  }
  if (found_->silent_since == Time{}) return false;
  const Duration wait = PauseWait(input_.tunables, service_->spec);
  if (input_.now >= found_->silent_since + wait) return false;
  draft_.pending.push_back(service_->spec.name + ": x-singleton: pause waits " +
                           std::to_string(ToMs(wait) / 1000) +
                           " s for the silent box that ran it, which may be cut off and have to stop it");
  return true;
}

}  // namespace hs
