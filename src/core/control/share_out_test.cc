#include "core/control/share_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"

namespace hs {
namespace {

using Limit = ShareGrant::Limit;

ShareRequest Want(std::string name, std::int64_t priority, std::int64_t min, std::int64_t demand,
                  std::int64_t max = 1000) {
  return {std::move(name), priority, min, demand, max, WorkClass::kServices, 1000, 1 << 20};
}
std::map<std::string, ShareGrant> By(const std::vector<ShareGrant>& grants) {
  std::map<std::string, ShareGrant> by;
  for (const ShareGrant& grant : grants) by[grant.service] = grant;
  return by;
}
std::vector<BoxRoom> Boxes(std::size_t count, std::uint64_t cores) {
  return std::vector<BoxRoom>(count, BoxRoom{cores * 1000, std::uint64_t{1} << 40});
}

TEST(ShareOut, Table) {
  struct Case {
    const char* why;
    std::vector<ShareRequest> requests;
    std::size_t boxes;
    std::uint64_t cores;
    std::map<std::string, std::int64_t> levels;
  };
  const Case cases[] = {
      {"enough for all: everyone gets the demand",
       {Want("a", 500, 1, 4), Want("b", 500, 1, 3)},
       2,
       4,
       {{"a", 4}, {"b", 3}}},
      {"minimums come before the demand of the most important",
       {Want("high", 900, 1, 10), Want("low", 100, 3, 3)},
       1,
       8,
       {{"high", 5}, {"low", 3}}},
      {"demands go by priority",
       {Want("high", 900, 1, 6), Want("low", 100, 1, 6)},
       1,
       8,
       {{"high", 6}, {"low", 2}}},
      {"minimums that do not fit give way by priority",
       {Want("high", 900, 3, 3), Want("low", 100, 3, 3)},
       1,
       4,
       {{"high", 3}, {"low", 1}}},
      {"equals share in proportion to what they asked for",
       {Want("a", 500, 1, 12), Want("b", 500, 1, 4)},
       1,
       8,
       {{"a", 6}, {"b", 2}}},
      {"nothing starts above a maximum, though there is room", {Want("a", 500, 1, 9, 2)}, 1, 8, {{"a", 2}}},
      {"room split over boxes is not room: 2 x 1.5 cores hold two replicas, not three",
       {Want("a", 500, 1, 3)},
       2,
       1,
       {{"a", 2}}},
      {"no boxes: nothing", {Want("a", 500, 1, 3)}, 0, 1, {{"a", 0}}},
  };
  for (const Case& c : cases) {
    const auto grants = By(ShareOut(c.requests, {}, Boxes(c.boxes, c.cores)));
    for (const auto& [name, level] : c.levels)
      EXPECT_EQ(grants.at(name).level, level) << c.why << ": " << name;
  }
}

TEST(ShareOut, QuotasOfAClassHoldEvenAgainstMinimumsAndNameThemselves) {
  struct Case {
    const char* why;
    ClassQuota quota;
    std::int64_t level;
    Limit limit;
    const char* says;
  };
  const Case cases[] = {
      {"cores", {.cpu_millicores = 2500}, 2, Limit::kCores, "2.5 cores for services"},
      {"memory", {.memory_bytes = 3 << 20}, 3, Limit::kMemory, "3 MiB for services"},
      {"replicas", {.replicas = 1}, 1, Limit::kReplicas, "1 replicas for services"},
  };
  for (const Case& c : cases) {
    const auto grants = By(ShareOut({Want("a", 500, 4, 5)}, {c.quota, {}}, Boxes(4, 8)));
    EXPECT_EQ(grants.at("a").level, c.level) << c.why;
    EXPECT_EQ(grants.at("a").limit, c.limit) << c.why;
    EXPECT_EQ(grants.at("a").short_by, 5 - c.level) << c.why;
    EXPECT_THAT(grants.at("a").reason, testing::HasSubstr(c.says));
  }
  // The other class has a quota of its own.
  auto batch = Want("b", 500, 1, 5);
  batch.work_class = WorkClass::kBatch;
  const auto grants =
      By(ShareOut({Want("a", 500, 1, 5), batch}, {ClassQuota{.replicas = 2}, {}}, Boxes(4, 8)));
  EXPECT_EQ(grants.at("a").level, 2);
  EXPECT_EQ(grants.at("b").level, 5);
}

TEST(ShareOut, MinimumsAboveAQuotaAreRefusedWithTheArithmetic) {
  const std::vector<ShareRequest> requests = {Want("web", 500, 3, 3), Want("api", 500, 2, 2)};
  const auto refused = CheckMinimums(requests, {ClassQuota{.cpu_millicores = 4000}, {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "the minimums of services need 5 cores (web 3 x 1 + api 2 x 1), the quota is 4");
  EXPECT_TRUE(CheckMinimums(requests, {ClassQuota{.cpu_millicores = 5000, .replicas = 5}, {}}));
}

// Whatever is asked for: no quota, maximum or box is exceeded, who is short says why, and the order in which
// services are listed does not matter.
TEST(ShareOut, PropertiesOfRandomShortages) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Prng prng(seed);
    std::vector<ShareRequest> requests;
    for (int i = 0; i < 12; ++i) {
      const auto min = static_cast<std::int64_t>(1 + prng.Below(4));
      ShareRequest r =
          Want("s" + std::to_string(i), static_cast<std::int64_t>(prng.Below(4) * 250), min,
               static_cast<std::int64_t>(prng.Below(12)), min + static_cast<std::int64_t>(prng.Below(8)));
      r.work_class = prng.Chance(0.5) ? WorkClass::kBatch : WorkClass::kServices;
      r.cpu_millicores = 100 * prng.Below(20);
      requests.push_back(r);
    }
    ClassQuotas quotas;
    quotas[0].replicas = prng.Below(40);
    quotas[1].cpu_millicores = prng.Below(30'000);
    const auto grants = ShareOut(requests, quotas, Boxes(3, 1 + prng.Below(16)));
    auto shuffled = requests;
    prng.Shuffle(shuffled);
    std::uint64_t replicas[2] = {}, cores[2] = {};
    const auto by = By(grants);
    for (const ShareRequest& r : requests) {
      const ShareGrant& grant = by.at(r.service);
      EXPECT_LE(grant.level, r.max);
      EXPECT_LE(grant.level, std::max(r.min, r.demand));
      EXPECT_EQ(grant.short_by > 0, grant.limit != Limit::kNone);
      EXPECT_EQ(grant.short_by > 0, !grant.reason.empty());
      const auto c = static_cast<std::size_t>(r.work_class);
      replicas[c] += static_cast<std::uint64_t>(grant.level);
      cores[c] += static_cast<std::uint64_t>(grant.level) * r.cpu_millicores;
      // Nobody of lower priority, no larger and in the same class, is above its minimum while this is below
      // its own.
      for (const ShareRequest& other : requests) {
        const bool same = other.work_class == r.work_class && other.cpu_millicores >= r.cpu_millicores;
        if (!same || other.priority >= r.priority || grant.level >= r.min) continue;
        EXPECT_LE(by.at(other.service).level, other.min) << seed << " " << r.service << " " << other.service;
      }
    }
    EXPECT_LE(replicas[0], *quotas[0].replicas);
    EXPECT_LE(cores[1], *quotas[1].cpu_millicores);
    const auto again = ShareOut(shuffled, quotas, Boxes(3, 1));
    const auto same = ShareOut(requests, quotas, Boxes(3, 1));
    for (std::size_t i = 0; i < same.size(); ++i) EXPECT_EQ(again[i].level, same[i].level) << seed;
  }
}

}  // namespace
}  // namespace hs
