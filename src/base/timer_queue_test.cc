#include "base/timer_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/prng.h"

namespace hs {
namespace {

TEST(TimerQueueTest, FiresInTheOrderOfAMultimapWhicheverKindATimerIs) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    TimerQueue<int> queue;
    std::multimap<Time, int> tree;
    std::vector<std::pair<TimerQueue<int>::Handle, std::multimap<Time, int>::iterator>> handles;
    for (int i = 0; i < 2000; ++i) {
      const Time at{Duration(prng.Below(40))};  // many at the same time
      switch (prng.Below(5)) {
        case 0:
          queue.ArmForGood(at, i);
          tree.emplace(at, i);
          break;
        case 1:
        case 2:
          handles.emplace_back(queue.Arm(at, i), tree.emplace(at, i));
          break;
        case 3:
          if (!handles.empty()) {
            const std::size_t pick = prng.Below(handles.size());
            queue.Disarm(handles[pick].first);
            EXPECT_EQ(handles[pick].first.number, 0U);
            tree.erase(handles[pick].second);
            handles.erase(handles.begin() + static_cast<std::ptrdiff_t>(pick));
          }
          break;
        default:
          if (!tree.empty()) {
            const int first = tree.begin()->second;
            std::erase_if(handles, [&](const auto& handle) { return handle.second == tree.begin(); });
            tree.erase(tree.begin());
            ASSERT_EQ(queue.TakeFirst(), first);
          }
      }
      ASSERT_EQ(queue.size(), tree.size());
      ASSERT_EQ(queue.empty(), tree.empty());
      ASSERT_EQ(queue.Next(), tree.empty() ? kNever : tree.begin()->first);
    }
  }
}

TEST(TimerQueueTest, AHandleOfWhatFiredDisarmsNothing) {
  TimerQueue<int> queue;
  auto fired = queue.Arm(Time(1s), 1);
  EXPECT_EQ(queue.TakeFirst(), 1);
  queue.Arm(Time(1s), 2);
  queue.Disarm(fired);
  EXPECT_EQ(queue.size(), 1U);
  queue.ArmForGood(Time(2s), 3);
  queue.DisarmIf([](int what) { return what == 2; });
  EXPECT_EQ(queue.Next(), Time(2s));
  queue.Clear();
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace hs
