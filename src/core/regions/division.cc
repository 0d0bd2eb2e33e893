#include "core/regions/division.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

namespace hs {
namespace {

constexpr Duration kAfterFailure = 10min;

std::uint32_t At(const CountByRegion& counts, RegionId region) {
  const auto found = counts.find(region);
  return found == counts.end() ? 0 : found->second;
}

std::uint32_t Sum(const CountByRegion& counts) {
  std::uint32_t sum = 0;
  for (const auto& [region, count] : counts) sum += count;
  return sum;
}

// Healthy ones that the shares let stay.
std::uint32_t Covered(const ServiceToDivide& service, const CountByRegion& told) {
  std::uint32_t covered = 0;
  for (const auto& [region, share] : told) covered += std::min(share, At(service.healthy, region));
  return covered;
}

// The region whose share lies furthest above (or below) what it should be; the first of equals, or none.
std::optional<RegionId> Furthest(const ServiceToDivide& service, const CountByRegion& told, bool above,
                                 const auto& allowed) {
  std::optional<RegionId> furthest;
  std::uint32_t distance = 0;
  for (const auto& [region, share] : told) {
    const std::uint32_t target = At(service.target, region);
    const std::uint32_t by = above ? share - std::min(share, target) : target - std::min(share, target);
    if (by > distance && allowed(region)) std::tie(furthest, distance) = std::pair(region, by);
  }
  return furthest;
}

constexpr auto kAny = [](RegionId) { return true; };

}  // namespace

const CountByRegion* Division::SharesOf(const std::string& service) const {
  const auto found = services_.find(service);
  return found == services_.end() ? nullptr : &found->second.told;
}

void Division::Raise(const ServiceToDivide& service, Entry& entry) {
  for (std::uint32_t sum = Sum(entry.told); sum < service.wanted; ++sum) {
    const auto region = Furthest(service, entry.told, false, kAny);
    if (!region) return;
    ++entry.told[*region];
  }
}

void Division::Lower(const ServiceToDivide& service, Entry& entry) {
  for (std::uint32_t sum = Sum(entry.told); sum > service.wanted; --sum) {
    const auto region = Furthest(service, entry.told, true, [&](RegionId of) {
      const std::uint32_t share = entry.told[of];
      return At(service.healthy, of) < share || Covered(service, entry.told) > service.wanted;
    });
    if (!region) return;
    --entry.told[*region];
  }
}

// What a region has no room for is another's at once.
void Division::Shift(const ServiceToDivide& service, Entry& entry) {
  CountByRegion missing = service.missing;
  for (;;) {
    const auto from = Furthest(service, entry.told, true, [&](RegionId of) {
      return At(missing, of) > 0 && At(service.staying, of) < entry.told[of];
    });
    const auto to = Furthest(service, entry.told, false, kAny);
    if (!from || !to) return;
    --missing[*from];
    --entry.told[*from];
    ++entry.told[*to];
  }
}

void Division::Move(const DivisionInput& input, const ServiceToDivide& service, Entry& entry) {
  if (entry.moving) {
    const bool over = Sum(entry.told) <= service.wanted;
    const bool failed = !over && input.now > entry.moving_since + input.deadline &&
                        At(service.healthy, entry.moving_to) < At(entry.told, entry.moving_to);
    if (failed) --entry.told[entry.moving_to];
    if (over || failed) {
      entry.moving = false;
      entry.not_before = input.now + (failed ? kAfterFailure : input.pause);
    }
  }
  if (entry.moving || Sum(entry.told) != service.wanted) return;
  const auto to = Furthest(service, entry.told, false, kAny);
  const auto from = Furthest(service, entry.told, true, kAny);
  if (!to || !from || (!service.movable && At(service.missing, *from) == 0)) return;
  // Where a redeploy has stopped, what is there is kept.
  if (Sum(service.missing) > 0 && At(service.missing, *from) == 0) return;
  const bool well = Covered(service, entry.told) >= service.wanted && Sum(service.staying) <= service.wanted;
  if (!well || moves_ >= input.moves_at_once) return;
  if (input.now < entry.not_before) {
    look_again_at_ = std::min(look_again_at_, entry.not_before);
    return;
  }
  ++entry.told[*to];
  entry.moving = true;
  entry.moving_to = *to;
  entry.moving_since = input.now;
  ++moves_;
}

void Division::Settle(const DivisionInput& input, const ServiceToDivide& service, Entry& entry) {
  Lower(service, entry);
  if (Sum(entry.told) < service.wanted && input.now < entry.hold_until) {
    look_again_at_ = std::min(look_again_at_, entry.hold_until);
  } else {
    Raise(service, entry);
  }
  if (Sum(entry.told) == service.wanted) Shift(service, entry);
  Move(input, service, entry);
}

std::vector<std::string> Division::Step(const DivisionInput& input) {
  look_again_at_ = kNever;
  std::vector<std::string> pending;
  std::erase_if(services_, [&](const auto& known) {
    return std::ranges::find(input.services, known.first, &ServiceToDivide::name) == input.services.end();
  });
  moves_ = std::ranges::count_if(services_, [](const auto& known) { return known.second.moving; });
  for (const ServiceToDivide& service : input.services) {
    const bool fresh = !services_.contains(service.name);
    Entry& entry = services_[service.name];
    bool lost = fresh;
    std::erase_if(entry.told, [&](const auto& told) {
      const bool gone = std::ranges::find(input.regions, told.first) == input.regions.end();
      lost = lost || (gone && told.second > 0);
      return gone;
    });
    for (const RegionId region : input.regions) entry.told.try_emplace(region, At(service.staying, region));
    if (entry.moving && !entry.told.contains(entry.moving_to)) entry.moving = false;
    if (lost) entry.hold_until = input.now + service.hold;
    Settle(input, service, entry);
    if (entry.moving) pending.push_back(service.name + ": one moves to another region");
    const std::uint32_t sum = Sum(entry.told);
    if (!entry.moving && sum != service.wanted) {
      pending.push_back(service.name + ": the regions have " + std::to_string(sum) + " of " +
                        std::to_string(service.wanted) + " wanted between them");
    }
  }
  return pending;
}

}  // namespace hs
