#include "core/placement/outlook.h"

#include <algorithm>

#include "core/placement/fleet.h"

namespace hs {
namespace {

class Map {
 public:
  explicit Map(const OutlookInput& input) : input_(input), fleet_(input.now, input.members, input.drained) {}

  // Work that goes on where it is: on boxes that are there, or whose agent may be back in a moment.
  bool Counts(BoxIndex box) const {
    const Member& member = fleet_.MemberOf(box);
    if (fleet_.Drained(box)) return false;
    return IsPresent(member.state) ||
           (member.state == MemberState::kAgentDown && input_.now < member.state_since + input_.patience);
  }

  void ReserveAll() {
    for (const DesiredService& service : input_.services) {
      const auto occupied = input_.occupied.find(service.spec.name);
      if (occupied == input_.occupied.end()) continue;
      for (const auto& [node, count] : occupied->second) {
        const BoxIndex box = fleet_.Find(node);
        if (box == kNoBox) continue;
        for (std::uint32_t i = 0; i < count; ++i) fleet_.Reserve(box, service.spec.reserve);
      }
    }
  }

  CountByNode Pins(const DesiredService& service) {
    const ServiceSpec& spec = service.spec;
    Spread spread = fleet_.NewSpread();
    std::uint32_t total = 0;
    if (const auto occupied = input_.occupied.find(spec.name); occupied != input_.occupied.end()) {
      for (const auto& [node, count] : occupied->second) {
        const BoxIndex box = fleet_.Find(node);
        if (box == kNoBox || !Counts(box)) continue;
        for (std::uint32_t i = 0; i < count; ++i, ++total) fleet_.Add(spread, box);
      }
    }
    for (; total > service.replicas; --total) Take(spec, spread, MostCrowded(spread));
    for (; total < service.replicas; ++total) {
      const BoxIndex box = fleet_.Place(spec, spread);
      if (box == kNoBox) break;
      Put(spec, spread, box);
    }
    for (std::uint32_t moves = 0; spec.movable && moves < service.replicas; ++moves) {
      const auto move = fleet_.FindMove(spec, spread, input_.settled);
      if (!move) break;
      Take(spec, spread, move->from);
      Put(spec, spread, move->to);
    }
    CountByNode pins;
    for (BoxIndex box = 0; box < fleet_.size(); ++box) {
      if (spread.boxes[box] > 0) pins[fleet_.MemberOf(box).id] = spread.boxes[box];
    }
    return pins;
  }

 private:
  BoxIndex MostCrowded(const Spread& spread) const {
    BoxIndex most = kNoBox;
    for (BoxIndex box = 0; box < fleet_.size(); ++box) {
      if (spread.boxes[box] == 0) continue;
      if (most == kNoBox || fleet_.Crowding(spread, box) > fleet_.Crowding(spread, most)) most = box;
    }
    return most;
  }
  void Take(const ServiceSpec& spec, Spread& spread, BoxIndex box) {
    fleet_.Remove(spread, box);
    fleet_.MarkGoing(box, spec.reserve);
  }
  void Put(const ServiceSpec& spec, Spread& spread, BoxIndex box) {
    fleet_.Add(spread, box);
    fleet_.Reserve(box, spec.reserve);
  }

  const OutlookInput& input_;
  Fleet fleet_;
};

}  // namespace

std::map<std::string, CountByNode> Outlook(const OutlookInput& input) {
  Map map(input);
  map.ReserveAll();
  std::vector<const DesiredService*> in_order;
  for (const DesiredService& service : input.services) in_order.push_back(&service);
  std::ranges::stable_sort(in_order, std::ranges::greater{},
                           [](const DesiredService* service) { return service->spec.priority; });
  std::map<std::string, CountByNode> pins;
  for (const DesiredService* service : in_order) pins[service->spec.name] = map.Pins(*service);
  return pins;
}

}  // namespace hs
