#include "core/routing/loss_book.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

constexpr Time kNow = Time{} + 1h;

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}

TEST(LossBookTest, TheMoreIsLostTheMoreMissesAreACutUntilItLosesMost) {
  struct Case {
    int lost_of_20;
    int misses;
  };
  for (const auto& [lost, misses] : {Case{0, 2}, Case{1, 3}, Case{2, 4}, Case{4, 6}, Case{12, 2}}) {
    LossBook book;
    for (int round = 0; round < 40; ++round) {
      for (int n = 0; n < 20 - lost; ++n) book.Answered(kNow, Node(1), n < lost ? 1 : 0);
      if (lost > 20 - lost) book.Answered(kNow, Node(1), lost - (20 - lost));
    }
    EXPECT_EQ(book.MissesOfACut(kNow, Node(1)), misses) << lost << " of 20";
    EXPECT_EQ(book.MissesOfACut(kNow, Node(2)), 2);
  }
}

TEST(LossBookTest, WhatIsLongAgoIsForgotten) {
  LossBook book;
  book.Answered(kNow, Node(1), 3);
  EXPECT_EQ(book.MissesOfACut(kNow, Node(1)), 4);
  EXPECT_EQ(book.MissesOfACut(kNow + 10min, Node(1)), 2);
  for (int n = 0; n < 200; ++n) book.Answered(kNow, Node(1));
  EXPECT_EQ(book.size(), 0u);
}

}  // namespace
}  // namespace hs
