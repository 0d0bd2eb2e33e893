// The boxes as placement sees them: who may take work, how full each is, how each service is spread.
//
// Spread keys, from the widest failure domain to the narrowest: the labels `zone`, `rack`, `host` (rack
// within its zone, host within its rack), then the box itself. Boxes without a label share one unnamed
// domain. A capacity of 0 means that the box did not say, and is not checked.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/types.h"

namespace hs {

using BoxIndex = std::uint32_t;
inline constexpr BoxIndex kNoBox = ~BoxIndex{0};

// How many replicas of one service each domain and box holds. Made by Fleet::NewSpread.
struct Spread {
  std::array<std::vector<std::uint32_t>, 3> domains;  // zone, rack, host
  std::vector<std::uint32_t> boxes;
};

class Fleet {
 public:
  Fleet(Time now, const std::map<NodeId, Member>& members, const std::set<NodeId>& drained);

  std::size_t size() const { return boxes_.size(); }
  BoxIndex Find(NodeId id) const;  // kNoBox when there is none
  const Member& MemberOf(BoxIndex box) const { return *boxes_[box].member; }
  bool Drained(BoxIndex box) const { return boxes_[box].drained; }

  Spread NewSpread() const;
  void Add(Spread& spread, BoxIndex box) const;
  void Remove(Spread& spread, BoxIndex box) const;
  // Greater: the box is a better one to take a replica from.
  std::array<std::uint64_t, 6> Crowding(const Spread& spread, BoxIndex box) const;

  void Reserve(BoxIndex box, const Resources& resources);
  void Release(BoxIndex box, const Resources& resources);

  // The best box for one more replica, or kNoBox.
  BoxIndex Place(const ServiceSpec& spec, const Spread& spread) const;
  // Why Place found none, with the numbers.
  std::string WhyNot(const ServiceSpec& spec) const;

 private:
  struct Box {
    const Member* member = nullptr;
    bool open = false;  // alive, not drained, not in quarantine
    bool drained = false;
    bool quarantined = false;
    std::array<std::uint32_t, 3> domain{};
    std::uint64_t cpu_reserved = 0;
    std::uint64_t memory_reserved = 0;
    std::uint32_t replicas = 0;
    std::uint64_t LoadPermille() const;
    bool Fits(const Resources& resources) const;
  };
  static bool Matches(const Member& member, const ServiceSpec& spec);

  std::vector<Box> boxes_;  // in order of id
  std::array<std::uint32_t, 3> domain_count_{};
};

}  // namespace hs
