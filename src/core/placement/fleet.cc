#include "core/placement/fleet.h"

#include <algorithm>

#include "base/check.h"
#include "core/placement/rendezvous.h"

namespace hs {
namespace {

constexpr std::array<const char*, 3> kDomainLabels{"zone", "rack", "host"};
// Moves that only even out how full boxes are must make this much of a difference.
constexpr std::uint64_t kLoadGainPermille = 50;
constexpr const char* kLabelPrefix = "node.labels.";

std::string LabelOf(const Member& member, const std::string& key) {
  const auto it = member.meta->labels.find(key);
  return it == member.meta->labels.end() ? std::string() : it->second;
}

bool Meets(const Member& member, const Constraint& constraint) {
  bool equal = false;
  if (constraint.label == "node.hostname") {
    equal = member.meta->name == constraint.value;
  } else if (constraint.label == "node.id") {
    equal = member.id.Hex() == constraint.value;
  } else if (constraint.label.starts_with(kLabelPrefix)) {
    const auto it =
        member.meta->labels.find(constraint.label.substr(std::char_traits<char>::length(kLabelPrefix)));
    equal = it != member.meta->labels.end() && it->second == constraint.value;
  }
  return equal == constraint.equal;
}

std::string Mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

std::uint64_t Fleet::Box::LoadPermille(const Resources& more) const {
  const Capacity& capacity = member->meta->capacity;
  const std::uint64_t cpu = cpu_reserved - cpu_going + more.cpu_millicores;
  const std::uint64_t memory = memory_reserved - memory_going + more.memory_bytes;
  std::uint64_t load = 0;
  if (capacity.cpu_millicores > 0) load = cpu * 1000 / capacity.cpu_millicores;
  if (capacity.memory_bytes > 0)
    load = std::max(load, (memory >> 10) * 1000 / ((capacity.memory_bytes >> 10) + 1));
  return load;
}

bool Fleet::Box::Fits(const Resources& resources) const {
  const Capacity& capacity = member->meta->capacity;
  if (capacity.cpu_millicores > 0 && resources.cpu_millicores > 0 &&
      cpu_reserved + resources.cpu_millicores > capacity.cpu_millicores) {
    return false;
  }
  return capacity.memory_bytes == 0 || resources.memory_bytes == 0 ||
         memory_reserved + resources.memory_bytes <= capacity.memory_bytes;
}

Fleet::Fleet(Time now, const MemberTable& members, const std::set<NodeId>& drained) {
  std::array<std::map<std::string, std::uint32_t>, 3> domains;
  boxes_.reserve(members.size());
  for (const auto& [id, member] : members) {
    Box box;
    box.member = &member;
    box.drained = drained.contains(id);
    box.quarantined = member.quarantined_until > now;
    box.bad_disk = member.meta->roles.disk != DiskFault::kNone;
    box.open = OpenInNeed(box) && !box.bad_disk;
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
          b.replicas - b.replicas_going};
}

void Fleet::Reserve(BoxIndex box, const Resources& resources) {
  boxes_[box].cpu_reserved += resources.cpu_millicores;
  boxes_[box].memory_reserved += resources.memory_bytes;
  ++boxes_[box].replicas;
}

void Fleet::MarkGoing(BoxIndex box, const Resources& resources) {
  HS_CHECK(boxes_[box].replicas_going < boxes_[box].replicas);
  boxes_[box].cpu_going += resources.cpu_millicores;
  boxes_[box].memory_going += resources.memory_bytes;
  ++boxes_[box].replicas_going;
}

bool Fleet::Matches(const Member& member, const ServiceSpec& spec) {
  return std::all_of(spec.constraints.begin(), spec.constraints.end(),
                     [&](const Constraint& constraint) { return Meets(member, constraint); });
}

bool Fleet::OpenInNeed(const Box& box) const {
  return box.member->state == MemberState::kAlive && !box.drained && !box.quarantined;
}

bool Fleet::AnyOpen(const ServiceSpec& spec) const {
  return std::ranges::any_of(boxes_, [&](const Box& box) { return box.open && Matches(*box.member, spec); });
}

BoxIndex Fleet::Place(const ServiceSpec& spec, const Spread& spread) const {
  const std::uint64_t key = Hash64(spec.name);
  const auto cost = [&](const Member* member) {
    const std::uint32_t cpu = member->meta->capacity.cpu_millicores;
    return RendezvousCost(key, member->id, cpu > 0 ? cpu : 1000);
  };
  const bool in_need = !AnyOpen(spec);
  BoxIndex best = kNoBox;
  std::array<std::uint64_t, 6> best_crowding{};
  for (BoxIndex i = 0; i < boxes_.size(); ++i) {
    if (!(in_need ? OpenInNeed(boxes_[i]) : boxes_[i].open) || !boxes_[i].Fits(spec.reserve)) continue;
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

Fleet::Counts Fleet::CountsOf(const Spread& spread, BoxIndex box) const {
  const Box& b = boxes_[box];
  return {spread.domains[0][b.domain[0]], spread.domains[1][b.domain[1]], spread.domains[2][b.domain[2]],
          spread.boxes[box]};
}

bool Fleet::Fuller(const Spread& spread, BoxIndex a, BoxIndex b) const {
  const Counts of_a = CountsOf(spread, a);
  const Counts of_b = CountsOf(spread, b);
  for (std::size_t level = 0; level < of_a.size(); ++level) {
    if (level < 3 && boxes_[a].domain[level] == boxes_[b].domain[level]) continue;
    if (of_a[level] != of_b[level]) return of_a[level] > of_b[level];
  }
  return false;
}

std::optional<Fleet::Move> Fleet::FindMove(const ServiceSpec& spec, const Spread& spread,
                                           Time settled) const {
  const auto better = [&](BoxIndex a, BoxIndex b) {
    return b == kNoBox || Crowding(spread, a) < Crowding(spread, b);
  };
  // The best place of all, and of each domain: where the replica leaves, its own domains get emptier.
  BoxIndex best = kNoBox;
  std::array<std::map<std::uint32_t, BoxIndex>, 3> best_in;
  for (BoxIndex i = 0; i < boxes_.size(); ++i) {
    const Box& box = boxes_[i];
    if (!box.open || box.member->alive_since > settled || !box.Fits(spec.reserve)) continue;
    if (!Matches(*box.member, spec)) continue;
    if (better(i, best)) best = i;
    for (std::size_t level = 0; level < best_in.size(); ++level) {
      BoxIndex& in = best_in[level].try_emplace(box.domain[level], kNoBox).first->second;
      if (better(i, in)) in = i;
    }
  }
  const bool reserves = spec.reserve.cpu_millicores > 0 || spec.reserve.memory_bytes > 0;
  // What a move gains: at which level, and how uneven that is.
  using Gain = std::pair<std::size_t, std::uint64_t>;
  const auto gain_of = [&](BoxIndex from, BoxIndex to) -> std::optional<Gain> {
    const Counts has = CountsOf(spread, from);
    const Counts had = CountsOf(spread, to);
    for (std::size_t level = 0; level < has.size(); ++level) {
      const bool same = level < 3 && boxes_[from].domain[level] == boxes_[to].domain[level];
      if (same) continue;
      if (has[level] > had[level] + 1) return Gain{level, has[level] - had[level]};
      if (has[level] < had[level] + 1) return std::nullopt;
    }
    if (reserves) {
      const std::uint64_t load = boxes_[from].LoadPermille();
      const std::uint64_t after = boxes_[to].LoadPermille(spec.reserve);
      return load > after + kLoadGainPermille ? std::optional(Gain{4, load - after}) : std::nullopt;
    }
    const std::uint64_t here = boxes_[from].replicas - boxes_[from].replicas_going;
    const std::uint64_t there = boxes_[to].replicas - boxes_[to].replicas_going;
    return here > there + 1 ? std::optional(Gain{5, here - there}) : std::nullopt;
  };
  std::optional<Move> found;
  Gain best_gain;
  const auto consider = [&](BoxIndex from, BoxIndex to) {
    if (to == kNoBox || to == from) return;
    const auto gain = gain_of(from, to);
    if (!gain) return;
    // The widest domain first, there the most uneven.
    if (found && std::pair(best_gain.first, ~best_gain.second) <= std::pair(gain->first, ~gain->second))
      return;
    best_gain = *gain;
    found = Move{from, to, {}};
  };
  for (BoxIndex from = 0; from < boxes_.size(); ++from) {
    if (!boxes_[from].open || spread.boxes[from] == 0) continue;
    consider(from, best);
    for (std::size_t level = 0; level < best_in.size(); ++level) {
      const auto in = best_in[level].find(boxes_[from].domain[level]);
      if (in != best_in[level].end()) consider(from, in->second);
    }
  }
  if (found) found->why = Uneven(spec, spread, found->from, found->to);
  return found;
}

std::string Fleet::Uneven(const ServiceSpec& spec, const Spread& spread, BoxIndex from, BoxIndex to) const {
  static constexpr std::array<const char*, 4> kWhere{"zone", "rack", "host", "box"};
  const Counts has = CountsOf(spread, from);
  const Counts had = CountsOf(spread, to);
  const auto name = [this](BoxIndex box) { return boxes_[box].member->meta->name; };
  for (std::size_t level = 0; level < has.size(); ++level) {
    if (level < 3 && boxes_[from].domain[level] == boxes_[to].domain[level]) continue;
    if (has[level] <= had[level] + 1) continue;
    return std::to_string(has[level]) + " of " + spec.name + " on the " + kWhere[level] + " of " +
           name(from) + ", " + std::to_string(had[level]) + " on that of " + name(to);
  }
  const auto full = [this](const Box& box) {
    return std::to_string(box.replicas - box.replicas_going) + " replicas and " +
           std::to_string(box.LoadPermille() / 10) + " % of it reserved";
  };
  return name(from) + " has " + full(boxes_[from]) + ", " + name(to) + " " + full(boxes_[to]);
}

Fleet::NoPlace Fleet::WhyNot(const ServiceSpec& spec) const {
  std::size_t away = 0, drained = 0, quarantined = 0, bad_disk = 0, unfit = 0, cpu_full = 0, memory_full = 0;
  std::uint64_t cpu_free_max = 0, memory_free_max = 0;
  for (const Box& box : boxes_) {
    if (box.member->state != MemberState::kAlive) {
      ++away;
    } else if (!Matches(*box.member, spec)) {
      ++unfit;
    } else if (box.drained) {
      ++drained;
    } else if (box.quarantined) {
      ++quarantined;
    } else if (box.bad_disk && AnyOpen(spec)) {
      ++bad_disk;
    } else {
      const Capacity& capacity = box.member->meta->capacity;
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
  say(drained, "drained or barred from work");
  say(bad_disk, "have a disk that takes no writes");
  say(quarantined, "in quarantine");
  say(away, "not alive");
  // Of those that are here, not one would take it if it were empty and well.
  const bool all_unfit = unfit > 0 && unfit + away == boxes_.size();
  return {all_unfit ? ShortOf::kFitting : ShortOf::kRoom,
          "of " + std::to_string(boxes_.size()) + " boxes " + (why.empty() ? "none can take it" : why)};
}

}  // namespace hs
