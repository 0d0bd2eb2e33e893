#include "sim/action.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace hs::sim {
namespace {

// Counts how many of it there are.
template <std::size_t kBytes>
struct Counted {
  explicit Counted(int& counter) : there(&counter) { ++*there; }
  Counted(Counted&& other) noexcept : there(other.there) { ++*there; }
  Counted& operator=(Counted&&) = delete;
  ~Counted() { --*there; }
  int* there;
  std::array<std::byte, kBytes> more{};
};

template <std::size_t kBytes>
void RunsMovesAndEnds() {
  SCOPED_TRACE(kBytes);
  int there = 0;
  int seen = 0;
  {
    std::vector<Action> actions;
    for (int i = 0; i < 9; ++i)
      actions.emplace_back([&seen, what = Counted<kBytes>(there)] { seen = *what.there; });
    EXPECT_EQ(there, 9) << "the vector has moved them as it grew";
    Action moved = std::move(actions[3]);
    moved();
    EXPECT_EQ(seen, 9);
    moved = std::move(actions[4]);
    EXPECT_EQ(there, 8) << "what it was is ended";
    Action& same = moved;
    moved = std::move(same);
    moved();
    EXPECT_EQ(seen, 8);
  }
  EXPECT_EQ(there, 0) << "those that never ran are ended as well";
}

TEST(Action, RunsMovesAndEndsWhatItHoldsHereOrElsewhere) {
  RunsMovesAndEnds<8>();
  RunsMovesAndEnds<Action::kRoom + 1>();
}

}  // namespace
}  // namespace hs::sim
