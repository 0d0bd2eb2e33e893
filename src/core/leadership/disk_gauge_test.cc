#include "core/leadership/disk_gauge.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

DiskChecked Room(std::uint64_t free_mib, std::uint64_t total_mib, bool written = false) {
  return {.free_bytes = free_mib * kMiB, .total_bytes = total_mib * kMiB, .reason = {}, .written = written};
}
DiskChecked Refused(DiskFault fault) { return {.fault = fault, .reason = "write: refused"}; }

TEST(DiskGauge, WhatIsAFaultAtOnceAndWhatIsNot) {
  struct Row {
    const char* why;
    DiskChecked check;
    DiskFault fault;
  };
  const Row rows[] = {
      {"much room", Room(5000, 10000), DiskFault::kNone},
      {"nothing is known of it", {}, DiskFault::kNone},
      {"a large disk: 64 MiB are the floor", Room(64, 1 << 20), DiskFault::kNone},
      {"one less", Room(63, 1 << 20), DiskFault::kFull},
      {"a small disk: 1 % is", Room(10, 1000), DiskFault::kNone},
      {"less than that", Room(9, 1000), DiskFault::kFull},
      {"a refused write", Refused(DiskFault::kFull), DiskFault::kFull},
      {"mounted read-only", Refused(DiskFault::kReadOnly), DiskFault::kReadOnly},
      {"errors", Refused(DiskFault::kFailing), DiskFault::kFailing},
  };
  for (const Row& row : rows) {
    DiskGauge gauge;
    EXPECT_EQ(gauge.Step(Time{1h}, row.check), row.fault != DiskFault::kNone) << row.why;
    EXPECT_EQ(gauge.fault(), row.fault) << row.why;
    EXPECT_FALSE(gauge.Step(Time{1h}, row.check)) << "the same again is no news: " << row.why;
  }
}

TEST(DiskGauge, ItSaysTheReasonWithTheNumbers) {
  DiskGauge little;
  little.Step(Time{1h}, Room(3, 4000));
  EXPECT_EQ(little.cause(), "its disk is full: 3 of 4000 MiB are free");
  DiskGauge refused;
  refused.Step(Time{1h}, Refused(DiskFault::kReadOnly));
  EXPECT_EQ(refused.cause(), "its disk is read-only: write: refused");
}

TEST(DiskGauge, ItIsWellAgainAfterTenSecondsOfRoomAndOfWritesThatSucceed) {
  Time now{1h};
  DiskGauge gauge;
  ASSERT_TRUE(gauge.Step(now, Room(9, 1000)));
  for (int second = 0; second < 30; ++second) EXPECT_FALSE(gauge.Step(now += 1s, Room(19, 1000, true)));
  for (int second = 0; second < 30; ++second) EXPECT_FALSE(gauge.Step(now += 1s, Room(500, 1000, false)));
  for (int second = 0; second < 10; ++second) EXPECT_FALSE(gauge.Step(now += 1s, Room(20, 1000, true)));
  EXPECT_TRUE(gauge.Step(now += 1s, Room(20, 1000, true)));
  EXPECT_EQ(gauge.fault(), DiskFault::kNone);
  EXPECT_EQ(gauge.cause(), "its disk takes writes again: 20 of 1000 MiB are free");
}

TEST(DiskGauge, ARefusedWriteBetweenGoodTestsStartsTheWaitAfresh) {
  Time now{1h};
  DiskGauge gauge;
  gauge.Step(now, Refused(DiskFault::kFull));
  for (int second = 0; second < 9; ++second) EXPECT_FALSE(gauge.Step(now += 1s, Room(500, 1000, true)));
  EXPECT_FALSE(gauge.Step(now, Refused(DiskFault::kFull)));
  for (int second = 0; second < 10; ++second) EXPECT_FALSE(gauge.Step(now += 1s, Room(500, 1000, true)));
  EXPECT_TRUE(gauge.Step(now += 1s, Room(500, 1000, true)));
}

TEST(DiskGauge, WhoRelapsesWaitsTwiceAsLongAndWhoWasWellForLongDoesNot) {
  Time now{1h};
  DiskGauge gauge;
  const auto seconds_until_well = [&] {
    gauge.Step(now, Refused(DiskFault::kFull));
    int seconds = 0;
    while (gauge.fault() != DiskFault::kNone && seconds < 2000) {
      gauge.Step(now += 1s, Room(500, 1000, true));
      ++seconds;
    }
    return seconds - 1;
  };
  for (const int seconds : {10, 20, 40, 80, 160, 320, 600, 600}) {
    EXPECT_EQ(seconds_until_well(), seconds);
    now += 1s;
  }
  now += 2h;
  EXPECT_EQ(seconds_until_well(), 10);
}

TEST(DiskGauge, AFaultWithoutANameTakesTheNameOfTheNextAndKeepsIt) {
  DiskGauge gauge;
  gauge.Step(Time{1h}, Refused(DiskFault::kFailing));
  EXPECT_TRUE(gauge.Step(Time{1h}, Refused(DiskFault::kFull)));
  EXPECT_EQ(gauge.fault(), DiskFault::kFull);
  EXPECT_FALSE(gauge.Step(Time{1h}, Refused(DiskFault::kFailing)));
  EXPECT_EQ(gauge.fault(), DiskFault::kFull);
}

}  // namespace
}  // namespace hs
