#include "core/placement/fleet.h"

#include <algorithm>

#include "base/check.h"
#include "core/placement/rendezvous.h"

namespace hs {
namespace {

constexpr std::array<const char*, 3> kDomainLabels{"zone", "rack", "host"};
constexpr const char* kLabelPrefix = "node.labels.";

std::string LabelOf(const Member& member, const std::string& key) {
  const auto it = member.meta.labels.find(key);
  return it == member.meta.labels.end() ? std::string() : it->second;
}

bool Meets(const Member& member, const Constraint& constraint) {
  bool equal = false;
  if (constraint.label == "node.hostname") {
    equal = member.meta.name == constraint.value;
  } else if (constraint.label == "node.id") {
    equal = member.id.Hex() == constraint.value;
  } else if (constraint.label.starts_with(kLabelPrefix)) {
    const auto it =
        member.meta.labels.find(constraint.label.substr(std::char_traits<char>::length(kLabelPrefix)));
    equal = it != member.meta.labels.end() && it->second == constraint.value;
  }
  return equal == constraint.equal;
}

std::string Mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

std::uint64_t Fleet::Box::LoadPermille() const {
  const Capacity& capacity = member->meta.capacity;
  std::uint64_t load = 0;
  if (capacity.cpu_millicores > 0) load = cpu_reserved * 1000 / capacity.cpu_millicores;
  if (capacity.memory_bytes > 0)
    load = std::max(load, (memory_reserved >> 10) * 1000 / ((capacity.memory_bytes >> 10) + 1));
  return load;
}

bool Fleet::Box::Fits(const Resources& resources) const {
  const Capacity& capacity = member->meta.capacity;
  if (capacity.cpu_millicores > 0 && resources.cpu_millicores > 0 &&
      cpu_reserved + resources.cpu_millicores > capacity.cpu_millicores) {
    return false;
  }
  return capacity.memory_bytes == 0 || resources.memory_bytes == 0 ||
         memory_reserved + resources.memory_bytes <= capacity.memory_bytes;
}

Fleet::Fleet(Time now, const std::map<NodeId, Member>& members, const std::set<NodeId>& drained) {
  std::array<std::map<std::string, std::uint32_t>, 3> domains;
  boxes_.reserve(members.size());
  for (const auto& [id, member] : members) {
    Box box;
    box.member = &member;
    box.drained = drained.contains(id);
    box.quarantined = member.quarantined_until > now;
    box.open = member.state == MemberState::kAlive && !box.drained && !box.quarantined;
    std::string path;
    for (std::size_t level = 0; level < kDomainLabels.size(); ++level) {
      path += LabelOf(member, kDomainLabels[level]);
      path += '\n';
      box.domain[level] = domains[level].try_emplace(path, domains[level].size()).first->second;
    }
    boxes_.push_back(box);
  }
  for (std::size_t level = 0; level < domains.size(); ++level) {
    domain_count_[level] = static_cast<std::uint32_t>(domains[level].size());
  }
}

BoxIndex Fleet::Find(NodeId id) const {
  const auto it = std::lower_bound(boxes_.begin(), boxes_.end(), id,
                                   [](const Box& box, const NodeId& key) { return box.member->id < key; });
  if (it == boxes_.end() || it->member->id != id) return kNoBox;
  return static_cast<BoxIndex>(it - boxes_.begin());
}

Spread Fleet::NewSpread() const {
  Spread spread;
  for (std::size_t level = 0; level < spread.domains.size(); ++level)
    spread.domains[level].resize(domain_count_[level]);
  spread.boxes.resize(boxes_.size());
  return spread;
}

void Fleet::Add(Spread& spread, BoxIndex box) const {
  for (std::size_t level = 0; level < spread.domains.size(); ++level)
    ++spread.domains[level][boxes_[box].domain[level]];
  ++spread.boxes[box];
}

void Fleet::Remove(Spread& spread, BoxIndex box) const {
  HS_CHECK(spread.boxes[box] > 0);
  for (std::size_t level = 0; level < spread.domains.size(); ++level)
    --spread.domains[level][boxes_[box].domain[level]];
  --spread.boxes[box];
}

std::array<std::uint64_t, 6> Fleet::Crowding(const Spread& spread, BoxIndex box) const {
  const Box& b = boxes_[box];
  return {spread.domains[0][b.domain[0]],
          spread.domains[1][b.domain[1]],
          spread.domains[2][b.domain[2]],
          spread.boxes[box],
          b.LoadPermille(),
          b.replicas};
}

void Fleet::Reserve(BoxIndex box, const Resources& resources) {
  boxes_[box].cpu_reserved += resources.cpu_millicores;
  boxes_[box].memory_reserved += resources.memory_bytes;
  ++boxes_[box].replicas;
}

void Fleet::Release(BoxIndex box, const Resources& resources) {
  HS_CHECK(boxes_[box].replicas > 0);
  boxes_[box].cpu_reserved -= resources.cpu_millicores;
  boxes_[box].memory_reserved -= resources.memory_bytes;
  --boxes_[box].replicas;
}

bool Fleet::Matches(const Member& member, const ServiceSpec& spec) {
  return std::all_of(spec.constraints.begin(), spec.constraints.end(),
                     [&](const Constraint& constraint) { return Meets(member, constraint); });
}

BoxIndex Fleet::Place(const ServiceSpec& spec, const Spread& spread) const {
  const std::uint64_t key = Hash64(spec.name);
  const auto cost = [&](const Member* member) {
    const std::uint32_t cpu = member->meta.capacity.cpu_millicores;
    return RendezvousCost(key, member->id, cpu > 0 ? cpu : 1000);
  };
  BoxIndex best = kNoBox;
  std::array<std::uint64_t, 6> best_crowding{};
  for (BoxIndex i = 0; i < boxes_.size(); ++i) {
    if (!boxes_[i].open || !boxes_[i].Fits(spec.reserve)) continue;
    const auto crowding = Crowding(spread, i);
    if (best != kNoBox && crowding > best_crowding) continue;
    if (!spec.constraints.empty() && !Matches(*boxes_[i].member, spec)) continue;
    // The draw decides among equals only, so it is not made for the rest. A larger box wins more often.
    if (best != kNoBox && crowding == best_crowding && cost(boxes_[i].member) >= cost(boxes_[best].member))
      continue;
    best = i;
    best_crowding = crowding;
  }
  return best;
}

std::string Fleet::WhyNot(const ServiceSpec& spec) const {
  std::size_t away = 0, drained = 0, quarantined = 0, unfit = 0, cpu_full = 0, memory_full = 0;
  std::uint64_t cpu_free_max = 0, memory_free_max = 0;
  for (const Box& box : boxes_) {
    if (box.member->state != MemberState::kAlive) {
      ++away;
    } else if (box.drained) {
      ++drained;
    } else if (box.quarantined) {
      ++quarantined;
    } else if (!Matches(*box.member, spec)) {
      ++unfit;
    } else {
      const Capacity& capacity = box.member->meta.capacity;
      const std::uint64_t cpu_free =
          capacity.cpu_millicores - std::min<std::uint64_t>(box.cpu_reserved, capacity.cpu_millicores);
      const std::uint64_t memory_free =
          capacity.memory_bytes - std::min(box.memory_reserved, capacity.memory_bytes);
      if (capacity.cpu_millicores > 0 && cpu_free < spec.reserve.cpu_millicores) ++cpu_full;
      if (capacity.memory_bytes > 0 && memory_free < spec.reserve.memory_bytes) ++memory_full;
      cpu_free_max = std::max(cpu_free_max, cpu_free);
      memory_free_max = std::max(memory_free_max, memory_free);
    }
  }
  std::string why;
  const auto say = [&](std::size_t count, const std::string& words) {
    if (count > 0) why += (why.empty() ? "" : ", ") + std::to_string(count) + " " + words;
  };
  say(cpu_full, "lack CPU (needs " + std::to_string(spec.reserve.cpu_millicores) + " millicores, most free " +
                    std::to_string(cpu_free_max) + ")");
  say(memory_full,
      "lack memory (needs " + Mib(spec.reserve.memory_bytes) + ", most free " + Mib(memory_free_max) + ")");
  say(unfit, "do not meet the placement constraints");
  say(drained, "drained");
  say(quarantined, "in quarantine");
  say(away, "not alive");
  return "of " + std::to_string(boxes_.size()) + " boxes " + (why.empty() ? "none can take it" : why);
}

}  // namespace hs
