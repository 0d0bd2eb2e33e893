#include "core/control/sizes.h"

#include <algorithm>

namespace hs {
namespace {

using Levels = std::int64_t (*)(const ShareRequest&);

std::int64_t AtMinimum(const ShareRequest& r) { return std::min(r.min, r.max); }
std::int64_t AtDemand(const ShareRequest& r) { return std::min(std::max(r.min, r.demand), r.max); }
std::int64_t AtMaximum(const ShareRequest& r) { return r.max; }

bool Larger(const BoxRoom& a, const BoxRoom& b) {
  if (a.cpu_millicores != b.cpu_millicores) return a.cpu_millicores > b.cpu_millicores;
  return a.memory_bytes > b.memory_bytes;
}

// How many of one request a box takes in, up to `wanted`.
std::int64_t Take(BoxRoom& room, const ShareRequest& request, std::int64_t wanted) {
  std::uint64_t fit = static_cast<std::uint64_t>(wanted);
  if (request.cpu_millicores > 0) fit = std::min(fit, room.cpu_millicores / request.cpu_millicores);
  if (request.memory_bytes > 0) fit = std::min(fit, room.memory_bytes / request.memory_bytes);
  room.cpu_millicores -= fit * request.cpu_millicores;
  room.memory_bytes -= fit * request.memory_bytes;
  return static_cast<std::int64_t>(fit);
}

class Packing {
 public:
  // Largest requests first, by the greater of their shares of all the CPU and of all the memory asked for.
  explicit Packing(std::vector<ShareRequest> requests) : requests_(std::move(requests)) {
    double cpu = 1, memory = 1;
    for (const ShareRequest& r : requests_) {
      cpu = std::max(cpu, static_cast<double>(r.cpu_millicores));
      memory = std::max(memory, static_cast<double>(r.memory_bytes));
    }
    const auto size = [&](const ShareRequest& r) {
      return std::max(static_cast<double>(r.cpu_millicores) / cpu,
                      static_cast<double>(r.memory_bytes) / memory);
    };
    std::sort(requests_.begin(), requests_.end(), [&](const ShareRequest& a, const ShareRequest& b) {
      return size(a) != size(b) ? size(a) > size(b) : a.service < b.service;
    });
  }

  bool Fits(std::vector<BoxRoom> rooms, Levels levels) const {
    for (const ShareRequest& request : requests_) {
      std::int64_t left = levels(request);
      for (auto room = rooms.begin(); room != rooms.end() && left > 0; ++room)
        left -= Take(*room, request, left);
      if (left > 0) return false;
    }
    return true;
  }

  // The largest is the worst to lose.
  bool SurvivesOneLoss(std::vector<BoxRoom> rooms, Levels levels) const {
    if (rooms.size() < 2) return false;
    rooms.erase(std::min_element(rooms.begin(), rooms.end(), Larger));
    return Fits(std::move(rooms), levels);
  }

 private:
  std::vector<ShareRequest> requests_;
};

// The smallest n in [1, kBoxesMax] for which `enough(n)`, which stays true once it is; 0: none.
template <typename Enough>
std::int64_t Smallest(Enough enough) {
  std::int64_t high = 1;
  while (!enough(high)) {
    if (high >= kBoxesMax) return 0;
    high = std::min(high * 2, kBoxesMax);
  }
  std::int64_t low = high / 2;  // not enough, or 0
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

std::vector<BoxRoom> Rooms(const std::vector<NamedBox>& boxes) {
  std::vector<BoxRoom> rooms;
  for (const NamedBox& box : boxes) rooms.push_back(box.room);
  return rooms;
}

}  // namespace

Sizes ComputeSizes(const std::vector<ShareRequest>& requests, std::vector<NamedBox> boxes) {
  Sizes sizes;
  if (boxes.empty()) return sizes;
  std::sort(boxes.begin(), boxes.end(), [](const NamedBox& a, const NamedBox& b) {
    if (Larger(a.room, b.room) != Larger(b.room, a.room)) return Larger(a.room, b.room);
    return a.name < b.name;
  });
  const Packing packing(requests);
  const BoxRoom middle = boxes[boxes.size() / 2].room;
  const auto of = [&](std::int64_t count) {
    auto rooms = Rooms(boxes);
    rooms.resize(static_cast<std::size_t>(count), middle);
    return rooms;
  };
  sizes.minimum = Smallest([&](std::int64_t n) { return packing.SurvivesOneLoss(of(n), AtMinimum); });
  sizes.demand = Smallest([&](std::int64_t n) { return packing.Fits(of(n), AtDemand); });
  sizes.maximum = Smallest([&](std::int64_t n) { return packing.Fits(of(n), AtMaximum); });
  const auto present = static_cast<std::int64_t>(boxes.size());
  sizes.short_by = std::max<std::int64_t>(0, std::max(sizes.minimum, sizes.demand) - present);

  while (boxes.size() > 1) {
    const NamedBox smallest = boxes.back();
    boxes.pop_back();
    const auto rooms = Rooms(boxes);
    if (!packing.Fits(rooms, AtDemand) || !packing.SurvivesOneLoss(rooms, AtMinimum)) break;
    sizes.unplug.push_back(smallest.name);
  }
  return sizes;
}

}  // namespace hs
