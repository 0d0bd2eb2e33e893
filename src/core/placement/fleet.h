// The boxes as placement sees them: who may take work, how full each is, how each service is spread.
//
// Spread keys, from the widest failure domain to the narrowest: the labels `zone`, `rack`, `host` (rack
// within its zone, host within its rack), then the box itself. Boxes without a label share one unnamed
// domain. A capacity of 0 means that the box did not say, and is not checked.
#pragma once

#include <array>
#include <map>
#include <optional>
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
  Fleet(Time now, const MemberTable& members, const std::set<NodeId>& drained);

  std::size_t size() const { return boxes_.size(); }
  BoxIndex Find(NodeId id) const;  // kNoBox when there is none
  const Member& MemberOf(BoxIndex box) const { return *boxes_[box].member; }
  bool Drained(BoxIndex box) const { return boxes_[box].drained; }
  bool Open(BoxIndex box) const { return boxes_[box].open; }  // may take work
  // Its disk takes no writes, and another box may take this.
  bool BetterElsewhere(BoxIndex box, const ServiceSpec& spec) const {
    return boxes_[box].bad_disk && AnyOpen(spec);
  }

  Spread NewSpread() const;
  void Add(Spread& spread, BoxIndex box) const;
  void Remove(Spread& spread, BoxIndex box) const;
  // Greater: the box is a better one to take a replica from.
  std::array<std::uint64_t, 6> Crowding(const Spread& spread, BoxIndex box) const;

  void Reserve(BoxIndex box, const Resources& resources);
  // What a reserved replica holds will be free: it still takes room, but no longer makes the box look full.
  void MarkGoing(BoxIndex box, const Resources& resources);

  // The best box for one more replica, or kNoBox. One whose disk takes no writes only where no other may take
  // it, full or not.
  BoxIndex Place(const ServiceSpec& spec, const Spread& spread) const;
  // Whether `a` holds more than `b` in the widest domain in which they differ, or by itself.
  bool Fuller(const Spread& spread, BoxIndex a, BoxIndex b) const;

  // The move of one replica from a box to another that makes the spread more even, or nothing. More even: of
  // the zones, racks, hosts and boxes, the first that differ hold two replicas more where it comes from than
  // where it goes to; where they are alike, the boxes' loads or replicas in all do so. Each move lowers the
  // sum of the squares, so moves come to an end. Boxes that came after `settled` get none.
  struct Move {
    BoxIndex from = kNoBox;
    BoxIndex to = kNoBox;
    std::string why;
  };
  std::optional<Move> FindMove(const ServiceSpec& spec, const Spread& spread, Time settled) const;
  // Why Place found none, with the numbers.
  struct NoPlace {
    ShortOf of = ShortOf::kRoom;
    std::string why;
  };
  NoPlace WhyNot(const ServiceSpec& spec) const;

 private:
  struct Box {
    const Member* member = nullptr;
    bool open = false;  // alive, not drained, not in quarantine, and its disk takes writes
    bool drained = false;
    bool quarantined = false;
    bool bad_disk = false;
    std::array<std::uint32_t, 3> domain{};
    std::uint64_t cpu_reserved = 0;
    std::uint64_t memory_reserved = 0;
    std::uint32_t replicas = 0;
    // Of these, what will be free.
    std::uint64_t cpu_going = 0;
    std::uint64_t memory_going = 0;
    std::uint32_t replicas_going = 0;
    // Of the box's CPU or memory, whichever is scarcer; with `more` beside what is there.
    std::uint64_t LoadPermille(const Resources& more = {}) const;
    bool Fits(const Resources& resources) const;
  };
  using Counts = std::array<std::uint32_t, 4>;  // of one service: zone, rack, host, box
  Counts CountsOf(const Spread& spread, BoxIndex box) const;
  std::string Uneven(const ServiceSpec& spec, const Spread& spread, BoxIndex from, BoxIndex to) const;
  static bool Matches(const Member& member, const ServiceSpec& spec);
  bool AnyOpen(const ServiceSpec& spec) const;
  bool OpenInNeed(const Box& box) const;  // were it not for its disk

  std::vector<Box> boxes_;  // in order of id
  std::array<std::uint32_t, 3> domain_count_{};
};

}  // namespace hs
