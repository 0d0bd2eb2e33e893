#include "core/membership/lan_search.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hs {
namespace {

constexpr Time kStart{1h};

NodeId Id(std::uint8_t number) {
  NodeId id;
  id.bytes[0] = number;
  return id;
}

LanSearch Search() { return LanSearch(Prng(7)); }

bool Asks(const std::vector<LanSearch::Output>& outputs) {
  return std::ranges::any_of(
      outputs, [](const auto& output) { return std::holds_alternative<LanSearch::Ask>(output); });
}

// When it asked until `end`.
std::vector<Time> Questions(LanSearch& search, Time end) {
  std::vector<Time> times;
  for (Time now = search.NextDeadline(); now <= end; now = search.NextDeadline()) {
    if (Asks(search.Step(now, Tick{}))) times.push_back(now);
  }
  return times;
}

TEST(LanSearch, OnlyWhoHasAtMostHalfOfTheOthersInSightIsLost) {
  struct Row {
    std::size_t present, known;
    bool lost;
    const char* why;
  };
  for (const Row& row : {
           Row{1, 1, false, "a cluster of one has nobody to look for"},
           Row{1, 2, true, "the other one is missing"},
           Row{2, 2, false, "all are here"},
           Row{2, 3, false, "the greater part hears, the smaller asks"},
           Row{2, 4, true, "of two halves both ask"},
           Row{3, 4, false, "one is missing, and asks if it lives"},
           Row{400, 1000, true, "a large part that is not the greatest"},
       }) {
    LanSearch search = Search();
    search.Step(kStart, LanSearch::Company{row.present, row.known});
    EXPECT_EQ(search.NextDeadline() != kNever, row.lost) << row.why;
  }
}

TEST(LanSearch, KnownAddressesComeFirstAndTheWaitsGrow) {
  LanSearch search = Search();
  EXPECT_FALSE(Asks(search.Step(kStart, LanSearch::Company{1, 4})));
  const auto times = Questions(search, kStart + 10min);
  ASSERT_GT(times.size(), 15u);
  EXPECT_LT(times.size(), 40u);
  EXPECT_GE(times[0], kStart + 200ms);
  EXPECT_LE(times[0], kStart + 300ms);
  EXPECT_LE(times[2], kStart + 1200ms);
  for (std::size_t i = 8; i + 1 < times.size(); ++i) {
    EXPECT_GE(times[i + 1] - times[i], 22500ms);
    EXPECT_LE(times[i + 1] - times[i], 30s);
  }
}

TEST(LanSearch, StopsWhenTheyAreFoundAndBeginsQuicklyAnew) {
  LanSearch search = Search();
  search.Step(kStart, LanSearch::Company{1, 4});
  Questions(search, kStart + 5min);
  search.Step(kStart + 5min, LanSearch::Company{3, 4});
  EXPECT_EQ(search.NextDeadline(), kNever);
  search.Step(kStart + 6min, LanSearch::Company{2, 4});
  EXPECT_LE(search.NextDeadline(), kStart + 6min + 300ms);
  const auto asked = search.Step(search.NextDeadline(), Tick{});
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_TRUE(std::get<LanSearch::Ask>(asked[0]).first);
}

TEST(LanSearch, ChangesOfCompanyDoNotMakeTheLostAskMoreOften) {
  LanSearch search = Search();
  int asked = 0;
  for (int i = 0; i < 1000; ++i) {
    const LanSearch::Company company{static_cast<std::size_t>(1 + i % 2), 9};
    asked += Asks(search.Step(kStart + 10ms * i, company)) ? 1 : 0;
  }
  EXPECT_LE(asked, 8);
}

TEST(LanSearch, GreetsWhoAsksAtABoundedRate) {
  LanSearch search = Search();
  search.Step(kStart, LanSearch::Company{4, 4});
  const auto once = search.Step(kStart, LanHeard{Id(9), {IpAddress::V4(10, 0, 0, 9), 7700}});
  ASSERT_EQ(once.size(), 1u);
  EXPECT_EQ(std::get<LanSearch::Greet>(once[0]).id, Id(9));
  std::size_t greeted = 0;
  for (int i = 0; i < 10'000; ++i)
    greeted += search.Step(kStart + 1ms * i, LanHeard{Id(9), {IpAddress::V4(10, 0, 0, 9), 7700}}).size();
  EXPECT_GE(greeted, 80u);
  EXPECT_LE(greeted, 100u) << "8 a second and a burst";
}

TEST(AnswerGate, OfACrowdAFewAnswer) {
  std::size_t answers = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) answers += AnswerGate(Prng(i)).Open(kStart, 1000) ? 1 : 0;
  EXPECT_GE(answers, 2u);
  EXPECT_LE(answers, 20u);
}

}  // namespace
}  // namespace hs
