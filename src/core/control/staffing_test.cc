#include "core/control/staffing.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

TEST(Staffing, ErlangCMatchesPublishedValues) {
  EXPECT_NEAR(ErlangC(1, 0.5), 0.5, 1e-9);    // one server: waits as often as it is busy
  EXPECT_NEAR(ErlangC(2, 1), 1.0 / 3, 1e-9);  // the textbook example
  EXPECT_NEAR(ErlangC(10, 8), 0.409, 0.001);  // Erlang's tables
  EXPECT_EQ(ErlangC(3, 3), 1);                // more load than servers: everybody waits
  EXPECT_EQ(ErlangC(3, 0), 0);
  EXPECT_GT(ErlangC(9.5, 8), ErlangC(10, 8));  // fractions lie between
  EXPECT_LT(ErlangC(9.5, 8), ErlangC(9, 8));
}

TEST(Staffing, TheMarginShrinksWithPatienceAndGrowsWithVariability) {
  EXPECT_GT(QueueMargin(10, 5, 2), QueueMargin(10, 10, 2));
  EXPECT_GT(QueueMargin(10, 10, 3), QueueMargin(10, 10, 2));
  EXPECT_EQ(QueueMargin(0, 10, 2), 0);
  // It does not grow with the load: a hundred replicas need no more of it than one.
  EXPECT_LT(QueueMargin(100, 10, 2), 2 * QueueMargin(1, 10, 2));
  EXPECT_LT(QueueMargin(1000, 10, 2), 1);
}

}  // namespace
}  // namespace hs
