#include "core/leadership/roles.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace hs {
namespace {

// How far the region must shrink below a multiple of kSubgraphMax before a monitor is let go.
constexpr std::size_t kMonitorSlack = 4;

std::size_t All(std::size_t members) { return members; }
std::size_t One(std::size_t members) { return std::min<std::size_t>(members, 1); }
std::size_t OneBesides(std::size_t members) { return members > 1 ? 1 : 0; }
// Two from two members on: one that watches the other's subgraph is there when either dies.
std::size_t Subgraphs(std::size_t members) {
  return std::clamp<std::size_t>((members + kSubgraphMax - 1) / kSubgraphMax,
                                 std::min<std::size_t>(members, 2), std::max<std::size_t>(members, 2));
}
std::size_t SubgraphsWithSlack(std::size_t members) {
  return std::min(members, Subgraphs(members + kMonitorSlack));
}

constexpr std::array kTable{
    RoleRow{.role = Role::kWorker,
            .claim = &RoleClaim::worker,
            .demand = All,
            .quota = All,
            .unfit = kUnfitDrained,
            .essential = false,
            .hand_over = HandOver::kWhenPutDown},
    RoleRow{.role = Role::kDoor,
            .claim = &RoleClaim::door,
            .demand = All,
            .quota = All,
            .unfit = 0,
            .essential = false,
            .hand_over = HandOver::kWithTheConfig},
    RoleRow{.role = Role::kMonitor,
            .claim = &RoleClaim::monitor,
            .demand = Subgraphs,
            .quota = SubgraphsWithSlack,
            .unfit = kUnfitStrained | kUnfitDisk | kUnfitQuarantined | kUnfitDrained,
            .essential = true,
            .hand_over = HandOver::kAtOnce},
    RoleRow{.role = Role::kStandby,
            .claim = &RoleClaim::standby,
            .demand = OneBesides,
            .quota = OneBesides,
            .unfit = kUnfitStrained | kUnfitDisk | kUnfitQuarantined | kUnfitDrained,
            .essential = true,
            .hand_over = HandOver::kAtOnce},
    RoleRow{.role = Role::kController,
            .claim = &RoleClaim::controller,
            .demand = One,
            .quota = One,
            .unfit = kUnfitStrained | kUnfitDisk | kUnfitQuarantined | kUnfitDrained,
            .essential = true,
            .hand_over = HandOver::kWhenClaimed},
};

// Asked of every member in each step: the names are made once.
bool SaysNever(const Labels& labels, Role role) {
  static const std::array<std::string, kTable.size()> names = [] {
    std::array<std::string, kTable.size()> all;
    for (const RoleRow& row : kTable)
      all[static_cast<std::size_t>(row.role)] = std::string("homeostat.") + ToString(row.role);
    return all;
  }();
  if (labels.empty()) return false;
  const auto it = labels.find(names[static_cast<std::size_t>(role)]);
  return it != labels.end() && it->second == "never";
}

}  // namespace

std::span<const RoleRow> RoleTable() { return kTable; }

const RoleRow& RowOf(Role role) {
  const auto index = static_cast<std::size_t>(role);
  HS_CHECK(index < kTable.size() && kTable[index].role == role);
  return kTable[index];
}

bool IsBarred(const Labels& labels, Role role) {
  return SaysNever(labels, role) || (role == Role::kStandby && SaysNever(labels, Role::kController));
}

std::string Describe(Standing standing) {
  std::string words;
  const auto add = [&](bool holds, const char* word) {
    if (holds) words += (words.empty() ? "" : " and ") + std::string(word);
  };
  add(standing.strained, "overloaded");
  add(standing.quarantined, "in quarantine");
  add(standing.drained, "drained");
  add(standing.disk == DiskFault::kFull, "out of disk space");
  add(standing.disk == DiskFault::kReadOnly, "on a read-only disk");
  add(standing.disk == DiskFault::kFailing, "on a failing disk");
  return words;
}

}  // namespace hs
