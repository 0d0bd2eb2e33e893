#include "core/control/asking.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

DesiredService Web(std::uint32_t min, std::uint32_t max) {
  DesiredService service{.spec = {.name = "web", .reserve = {500, 1 << 20}}};
  service.spec.scale = ScaleSpec{.min = min, .max = max};
  service.fixed = false;
  service.replicas = min;
  return service;
}

TEST(Asking, AServicesOwnQuotaLowersItsMaximum) {
  const struct {
    QuotaDoc quota;
    std::int64_t max;
    const char* why;
  } rows[] = {
      {{"service.web", 0, 0, 0}, 20, "no limit"},
      {{"service.web", 7, 0, 0}, 7, ""},
      {{"service.web", 0, 2600, 0}, 5, "whole replicas of half a core"},
      {{"service.web", 0, 0, 3 << 20}, 3, "memory"},
      {{"service.api", 1, 1, 1}, 20, "another's"},
      {{"services", 1, 0, 0}, 20, "the class's counts for all together"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(RequestsOf({Web(2, 20)}, {}, {row.quota}).at(0).max, row.max) << row.why;
  }
}

TEST(Asking, AFixedNumberIsMinimumDemandAndMaximum) {
  DesiredService fixed = Web(1, 9);
  fixed.fixed = true;
  fixed.replicas = 4;
  const ShareRequest request = RequestsOf({fixed}, {}, {}).at(0);
  EXPECT_EQ(request.min, 4);
  EXPECT_EQ(request.demand, 4);
  EXPECT_EQ(request.max, 4);
  EXPECT_EQ(RequestsOf({Web(2, 20)}, {{"web", 11}}, {}).at(0).demand, 11) << "what is measured to be needed";
}

TEST(Asking, OnlyBoxesThatMayTakeWorkCount) {
  MemberTable members;
  for (std::uint8_t n = 1; n <= 5; ++n) {
    NodeId id;
    id.bytes[0] = n;
    members[id] = {.id = id, .meta = MemberMeta{.name = "n" + std::to_string(n), .capacity = {4000, 0}}};
  }
  const auto at = [&](std::uint8_t n) {
    NodeId id;
    id.bytes[0] = n;
    return id;
  };
  members[at(1)].state = MemberState::kUnreachable;
  members[at(2)].quarantined_until = Time(10s);
  const auto boxes = BoxesOf(Time(5s), members, {at(3)});
  ASSERT_EQ(boxes.size(), 2u);
  EXPECT_EQ(boxes[0].name, "n4");
  EXPECT_EQ(boxes[0].room.cpu_millicores, 4000u);
  EXPECT_GT(boxes[0].room.memory_bytes, std::uint64_t{1} << 40) << "not said: plenty";
}

}  // namespace
}  // namespace hs
