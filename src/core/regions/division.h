// How many replicas of each service each region has: by the steward, the one controller that divides.
//
// Intuition: the head nurse who lends staff between wards. Where one is short, somebody is sent at once; to
// even things out a ward first gets one more, and only when that one stands there may another ward let one
// go.
//
// Invariants:
//  1. In a settled state the shares of a service add up to what is wanted of it.
//  2. A share is lowered only where enough healthy ones are left in all regions, or where what is lowered
//     is not healthy anyway; so nothing is stopped for a division before its successor is healthy.
//  3. A region that is new here starts with what it has: a split, a merger, a change of steward moves
//     nothing.
//  4. One replica of a service moves between regions at a time, and only when all of it is well; when it does
//     not get healthy there, it is taken back and not tried again for a while.
//
// It does not say where replicas should be (placement/outlook.h does), nor parts of hard maximums
// (control/allotments.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/types.h"

namespace hs {

using CountByRegion = std::map<RegionId, std::uint32_t>;  // absent: none

struct ServiceToDivide {
  std::string name;
  std::uint32_t wanted = 0;
  CountByRegion target;   // where they should be; adds up to what is wanted
  CountByRegion staying;  // planned there, by each region's own word
  CountByRegion healthy;  // of these
  CountByRegion missing;  // of its share, what the region says it cannot place
  bool movable = true;
  // How long nothing is started in place of what was lost with a whole region: it may be cut off and have to
  // stop.
  Duration hold{};
};

struct DivisionInput {
  Time now;
  const std::vector<RegionId>& regions;
  const std::vector<ServiceToDivide>& services;
  std::int64_t moves_at_once = 0;  // of all services together
  Duration pause{};                // between two moves of one
  Duration deadline{};             // for the one that moved to get healthy
};

class Division {
 public:
  // Returns what is on its way, in words.
  std::vector<std::string> Step(const DivisionInput& input);
  // Stewardship is lost: what was told is another's to say.
  void Close() { services_.clear(); }

  const CountByRegion* SharesOf(const std::string& service) const;
  Time NextDeadline() const { return look_again_at_; }

 private:
  struct Entry {
    CountByRegion told;
    bool moving = false;
    RegionId moving_to = 0;
    Time moving_since{};
    Time not_before{};  // of the next move
    Time hold_until{};
  };
  void Settle(const DivisionInput& input, const ServiceToDivide& service, Entry& entry);
  void Lower(const ServiceToDivide& service, Entry& entry);
  void Raise(const ServiceToDivide& service, Entry& entry);
  void Shift(const ServiceToDivide& service, Entry& entry);
  void Move(const DivisionInput& input, const ServiceToDivide& service, Entry& entry);

  std::map<std::string, Entry> services_;
  std::int64_t moves_ = 0;  // under way
  Time look_again_at_ = kNever;
};

}  // namespace hs
