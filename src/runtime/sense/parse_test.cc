#include "runtime/sense/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace hs {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

constexpr std::string_view kStat =
    "cpu  100 20 30 4000 50 6 7 8 9 10\n"
    "cpu0 50 10 15 2000 25 3 3 4 4 5\n"
    "cpu1 50 10 15 2000 25 3 4 4 5 5\n"
    "intr 12345 0 0 9\n"
    "ctxt 999\n"
    "btime 1700000000\n"
    "processes 4711\n"
    "procs_running 2\n";

constexpr std::string_view kNetDev =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "
    "carrier compressed\n"
    "    lo:    3267      29    0    0    0     0          0         0     3267      29    0    0    0     0 "
    " "
    "     0          0\n"
    "  eth0:32338633     798    0    0    0     0          0         0    43365     541    0    0    0     0 "
    " "
    "     0          0\n"
    " wlan0:     100       1    0    0    0     0          0         0      200       2    0    0    0     0 "
    " "
    "     0          0\n"
    "veth12:    9999      99    0    0    0     0          0         0     9999      99    0    0    0     0 "
    " "
    "     0          0\n";

constexpr std::string_view kProcessStat =
    "4711 (a b) c) d) S 4700 4711 4700 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 3 0 987654 10000000 250 "
    "18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

TEST(ParseStat, AddsUpWhatIsWorkAndCountsCores) {
  const auto ticks = ParseStat(kStat);
  ASSERT_TRUE(ticks);
  EXPECT_EQ(*ticks,
            (CpuTicks{.used = 163, .idle = 4000, .iowait = 50, .stolen = 8, .cores = 2, .forks = 4711}));
}

TEST(ParseStat, GuestTimeIsWithinUserAndNotCountedTwice) {
  const auto without = ParseStat("cpu 100 20 30 4000 50 6 7 8\ncpu0 0 0 0 0\n");
  const auto with = ParseStat("cpu 100 20 30 4000 50 6 7 8 90 10\ncpu0 0 0 0 0\n");
  ASSERT_TRUE(without && with);
  EXPECT_EQ(without->used, with->used);
}

TEST(ParseMemInfo, IsInBytesAndNeverMoreThanThereIs) {
  EXPECT_EQ(ParseMemInfo("MemTotal: 2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n"),
            (MemInfo{2048 * 1024, 1024 * 1024}));
  EXPECT_EQ(ParseMemInfo("MemTotal: 10 kB\nMemAvailable: 99 kB\n"), (MemInfo{10240, 10240}));
  EXPECT_EQ(ParseMemInfo("MemTotal: 10 kB\nMemFree: 5 kB\n"), std::nullopt);
}

TEST(ParsePressure, IsAShareAndATotal) {
  const auto pressure = ParsePressure(
      "some avg10=71.33 avg60=74.06 avg300=42.10 total=187303447\n"
      "full avg10=2.50 avg60=0.00 avg300=0.00 total=12\n");
  ASSERT_TRUE(pressure);
  EXPECT_DOUBLE_EQ(pressure->some_avg10, 0.7133);
  EXPECT_DOUBLE_EQ(pressure->full_avg10, 0.025);
  EXPECT_EQ(pressure->some_total_us, 187303447U);
  EXPECT_EQ(pressure->full_total_us, 12U);
}

TEST(ParsePressure, OlderKernelsHaveNoFullLineForCpu) {
  const auto pressure = ParsePressure("some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n");
  ASSERT_TRUE(pressure);
  EXPECT_EQ(pressure->full_total_us, 0U);
}

TEST(ParseNetDev, SumsWhatCarriesTrafficOnce) {
  EXPECT_EQ(ParseNetDev(kNetDev), (NetTotals{32338733, 799, 43565, 543}));
}

TEST(ParseNetDev, ABoxWithNothingButInnerLinksCountsThose) {
  EXPECT_EQ(ParseNetDev("lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\nveth0: 5 6 0 0 0 0 0 0 7 8 0 0 0 0 0 0\n"),
            (NetTotals{5, 6, 7, 8}));
}

TEST(ParseNetDev, ABoxWithLoopbackOnlyHasNoTraffic) {
  EXPECT_EQ(ParseNetDev("lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"), NetTotals{});
}

TEST(ParseBlockStat, CountsSectorsOf512Bytes) {
  EXPECT_EQ(
      ParseBlockStat("33348 7342 2586074 14085 22497 13279 2664408 11939 0 10968 26667 4781 29 1 5 8 4\n"),
      (DeviceTotals{2586074ULL * 512, 2664408ULL * 512, 10968}));
}

TEST(ParseProcessStat, ReadsPastAnyName) {
  EXPECT_EQ(ParseProcessStat(kProcessStat), (ProcessStat{.parent = 4700,
                                                         .state = 'S',
                                                         .own_ticks = 33,
                                                         .reaped_ticks = 77,
                                                         .start_ticks = 987654,
                                                         .resident_pages = 250}));
}

TEST(ParseCgroup, KeyedNumbersAndPids) {
  EXPECT_EQ(ParseKeyed("usage_usec 1234\nuser_usec 1000\n", "user_usec"), 1000U);
  EXPECT_EQ(ParseKeyed("inactive_anon 5\ninactive_file 7\n", "inactive_file"), 7U);
  EXPECT_EQ(ParseKeyed("usage_usec 1234\n", "usage"), std::nullopt);
  EXPECT_EQ(ParseNumber("8192\n"), 8192U);
  EXPECT_THAT(ParsePids("12\n345\n6"), ElementsAre(12, 345));  // the last may go on
  EXPECT_EQ(ParseResidentPages("2000 300 100 1 0 50 0\n"), 300U);
}

TEST(Parse, HugeNumbersAreTheGreatestNotAWrap) {
  const std::string huge(40, '9');
  EXPECT_EQ(ParseStat("cpu " + huge + " 1 1 1 1 1 1 1\ncpu0 1 1 1 1\n")->used, kMost);
  EXPECT_EQ(ParseMemInfo("MemTotal: " + huge + " kB\nMemAvailable: 1 kB\n")->total_bytes, kMost);
  EXPECT_EQ(ParseBlockStat("1 1 18446744073709551615 1 1 1 1 1 1 1\n")->read_bytes, kMost);
  EXPECT_EQ(ParsePressure("some avg10=" + huge + " total=" + huge + "\n")->some_avg10, 1.0);
  EXPECT_EQ(ParsePressure("some avg10=1 total=" + huge + "\n")->some_total_us, kMost);
  EXPECT_THAT(ParsePids(huge + "\n7\n"), ElementsAre(7));
  EXPECT_EQ(ParseProcessStat("1 (x) S " + huge + " 1 1\n"), std::nullopt);
}

TEST(Parse, NegativeAndForeignWordsAreRefused) {
  EXPECT_EQ(ParseStat("cpu -1 2 3 4\ncpu0 1 1 1 1\n"), std::nullopt);
  EXPECT_EQ(ParsePressure("some avg10=nan total=1\n"), std::nullopt);
  EXPECT_EQ(ParsePressure("some avg10=-3 total=1\n"), std::nullopt);
  EXPECT_EQ(ParsePressure("some avg10=1x total=1\n"), std::nullopt);
  EXPECT_EQ(ParseNumber("max\n"), std::nullopt);
  EXPECT_EQ(ParseNetDev("<html>\n"), std::nullopt);
}

// Every beginning of a text, and every text with one byte changed, is taken or refused without harm; run with
// sanitizers by tools/check. A refused text is not taken for zero.
TEST(Parse, AnyCutOrChangedTextIsHarmless) {
  const std::string_view texts[] = {kStat,
                                    kNetDev,
                                    kProcessStat,
                                    "MemTotal: 1 kB\nMemAvailable: 1 kB\n",
                                    "some avg10=1.00 avg60=1.00 avg300=1.00 total=5\n",
                                    "1 2 3 4 5 6 7 8 9 10 11\n"};
  const auto parse_all = [](std::string_view text) {
    return int{ParseStat(text).has_value()} + int{ParseMemInfo(text).has_value()} +
           int{ParsePressure(text).has_value()} + int{ParseNetDev(text).has_value()} +
           int{ParseBlockStat(text).has_value()} + int{ParseProcessStat(text).has_value()} +
           int{ParseKeyed(text, "cpu").has_value()} + static_cast<int>(ParsePids(text).size() > 0) +
           int{ParseResidentPages(text).has_value()};
  };
  for (const auto text : texts) {
    for (std::size_t size = 0; size < text.size(); ++size) {
      const std::string cut(text.substr(0, size));  // a heap copy of its own: reading past it is seen
      parse_all(cut);
      for (const char wrong : {'\0', '\n', ' ', ':', '-', '9', '\xff'}) {
        std::string changed(text);
        changed[size] = wrong;
        parse_all(changed);
      }
    }
  }
  EXPECT_EQ(parse_all(""), 0);
  EXPECT_EQ(parse_all(std::string(3, '\0')), 0);
  EXPECT_EQ(parse_all("\xff\xfe garbage ) ( : = \n\n\n"), 0);
}

}  // namespace
}  // namespace hs
