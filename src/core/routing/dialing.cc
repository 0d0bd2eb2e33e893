#include "core/routing/dialing.h"

#include <algorithm>
#include <bit>

#include "base/hash.h"

namespace hs {
namespace {

// Of a member that was not asked yet.
constexpr Duration kUnknown = 1h;
// Between two looks while there are too few.
constexpr Duration kSoon = 1s;

Duration RoundTrip(const Routing& routing, NodeId id) {
  return routing.View(id).round_trip.value_or(kUnknown);
}

}  // namespace

bool Dialing::Step(Time now, const MemberTable& members, const Routing& routing) {
  const std::vector<NodeId> before = relays_;
  std::erase_if(relays_, [&](const NodeId& id) {
    const auto member = members.find(id);
    return member == members.end() || !IsPresent(member->second.state) || member->second.meta->dials_out ||
           !routing.ForLinks(id).empty();
  });
  const bool looks = now >= look_next_;
  if (looks) look_next_ = now + kLookPause;
  if (looks || relays_.size() < kLineRelaysMax) {
    const std::vector<Candidate> candidates = Candidates(now, members, routing);
    auto next = candidates.begin();
    while (relays_.size() < kLineRelaysMax && next != candidates.end()) relays_.push_back((next++)->id);
    if (looks && next != candidates.end() && !next->unfit) TakeIfNearer(next->id, routing);
  }
  // Others may only not have answered at the moment.
  const bool wants_more = relays_.size() < kLineRelaysMax && relays_.size() + 1 < members.size();
  if (wants_more) look_next_ = std::min(look_next_, now + kSoon);
  std::ranges::sort(relays_);
  return relays_ != before;
}

std::vector<Dialing::Candidate> Dialing::Candidates(Time now, const MemberTable& members,
                                                    const Routing& routing) const {
  std::vector<Candidate> ranked;
  for (const auto& [id, member] : members) {
    const bool there =
        member.state == MemberState::kAlive && !member.meta->dials_out && !routing.InTrouble(id);
    if (id == self_ || !there || std::ranges::find(relays_, id) != relays_.end()) continue;
    const bool unfit = member.meta->roles.strained || member.quarantined_until > now;
    // In powers of two, so that chance does not rank equals.
    const int distance = std::bit_width(static_cast<std::uint64_t>(RoundTrip(routing, id) / 500us));
    ranked.push_back({unfit, distance, CombineHash(self_.Prefix64(), id.Prefix64()), id});
  }
  std::ranges::sort(ranked);
  return ranked;
}

void Dialing::TakeIfNearer(NodeId candidate, const Routing& routing) {
  const auto farthest =
      std::ranges::max_element(relays_, {}, [&](const NodeId& id) { return RoundTrip(routing, id); });
  if (RoundTrip(routing, candidate) * 2 + 1ms < RoundTrip(routing, *farthest)) *farthest = candidate;
}

}  // namespace hs
