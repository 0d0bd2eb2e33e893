#include "core/routing/loss_book.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace hs {
namespace {

// The last so many questions count, each later one a little more.
constexpr double kQuestions = 32;
// And half as much a minute later, where few are put.
constexpr double kHalfLifeS = 60;
// Below it a peer counts as one that loses nothing.
constexpr double kNothing = 0.003;
// A cut is taken for real where this or less is the chance that as many questions in a row were only lost.
constexpr double kChance = 1e-4;
constexpr double kBadShare = 0.4;
// Where more roads than that are bad, the others count as good until some of these are.
constexpr std::size_t kKept = 128;

}  // namespace

double LossBook::Lost::At(Time now) const { return share * std::exp2(-ToSeconds(now - at) / kHalfLifeS); }

void LossBook::Answered(Time now, NodeId peer, int missed_before) {
  const auto known = shares_.find(peer);
  if (known == shares_.end() && (missed_before == 0 || shares_.size() >= kKept)) return;
  Lost& lost = shares_[peer];
  double share = lost.At(now);
  for (int missed = 0; missed < missed_before; ++missed) share += (1 - share) / kQuestions;
  share -= share / kQuestions;
  lost = {share, now};
  if (share < kNothing) shares_.erase(peer);
}

void LossBook::KeepPresent(const MemberTable& members) {
  for (auto entry = shares_.begin(); entry != shares_.end();) {
    const Member* member = members.Find(entry->first);
    const bool present = member != nullptr && IsPresent(member->state);
    entry = present ? std::next(entry) : shares_.erase(entry);
  }
}

int LossBook::MissesOfACut(Time now, NodeId peer) const {
  const auto known = shares_.find(peer);
  const double share = known == shares_.end() ? 0 : known->second.At(now);
  if (share < kNothing || share > kBadShare) return kMissesMin;
  const double misses = std::ceil(std::log(kChance) / std::log(share));
  return std::clamp(static_cast<int>(misses), kMissesMin, kMissesMax);
}

}  // namespace hs
