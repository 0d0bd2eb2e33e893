#include "core/membership/suspicion.h"

#include <algorithm>
#include <cmath>

namespace hs {

SuspicionBounds BoundsFor(std::size_t members, Duration suspicion_min, std::int64_t max_factor) {
  const double scale = std::max(1.0, std::log10(static_cast<double>(std::max<std::size_t>(members, 1))));
  const Duration min(static_cast<std::int64_t>(static_cast<double>(suspicion_min.count()) * scale));
  const int others =
      members > 2 ? static_cast<int>(std::min<std::size_t>(members - 2, kConfirmationsMax)) : 0;
  return {min, min * max_factor, others};
}

bool Suspicion::AddWitness(NodeId witness) {
  if (witnesses_->size() >= kWitnessesMax || HasWitness(witness)) return false;
  std::vector<NodeId>& witnesses = witnesses_.Edit();
  witnesses.insert(std::lower_bound(witnesses.begin(), witnesses.end(), witness), witness);
  return true;
}

bool Suspicion::RemoveWitness(NodeId witness) {
  return HasWitness(witness) && std::erase(witnesses_.Edit(), witness) > 0;
}

bool Suspicion::HasWitness(NodeId witness) const {
  return std::binary_search(witnesses_->begin(), witnesses_->end(), witness);
}

Time Suspicion::Deadline(int others) const {
  const int possible = std::min(bounds_.confirmations, others);
  if (possible == 0) return start_ + bounds_.min;
  const double confirmed =
      std::min<double>(possible, witnesses_->empty() ? 0.0 : static_cast<double>(witnesses_->size() - 1));
  const double share = std::log(confirmed + 1) / std::log(possible + 1.0);
  const Duration gain(
      static_cast<std::int64_t>(static_cast<double>((bounds_.max - bounds_.min).count()) * share));
  return start_ + std::max(bounds_.min, bounds_.max - gain);
}

}  // namespace hs
