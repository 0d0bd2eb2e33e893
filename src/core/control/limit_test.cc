#include "core/control/limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <queue>

#include "base/prng.h"
#include "core/control/queue_room.h"

namespace hs {
namespace {

constexpr double kTick = 0.1;
constexpr double kGap = 0.0003;  // seconds between two requests of a worker

// An application that serves `workers` requests at a time, first come first served, behind a queue of ours. A
// worker needs a moment between two requests, as real ones do.
class Kitchen {
 public:
  int workers = 2;
  double service = 0.02;  // seconds
  bool random = false;    // exponential service times
  double arrivals = 0;    // a second; 0: none
  double deadline = ToSeconds(kQueueDeadline);

  struct Seen {
    double served = 0;  // a second
    double wait_p99 = 0;
    double refused = 0;
    std::uint32_t limit_min = kLimitMax, limit_max = 0;
  };

  explicit Kitchen(std::uint64_t seed = 1) : random_(seed) {}

  Seen Run(double seconds) {
    Seen seen;
    std::vector<double> waits;
    const double end = now_ + seconds;
    const double start = now_;
    while (now_ < end) {
      double next = std::min(next_tick_, next_arrival_);
      if (!leaving_.empty()) next = std::min(next, leaving_.top().first);
      now_ = next;
      if (now_ == next_tick_) {
        Look();
        seen.limit_min = std::min(seen.limit_min, limit.limit());
        seen.limit_max = std::max(seen.limit_max, limit.limit());
      } else if (now_ == next_arrival_) {
        Arrive(seen);
      } else {
        waits.push_back(now_ - leaving_.top().second);
        leaving_.pop();
        --busy_;
        ++done_;
        seen.served += 1;
      }
      Serve();
    }
    seen.served /= now_ - start;
    std::sort(waits.begin(), waits.end());
    if (!waits.empty()) seen.wait_p99 = waits[waits.size() * 99 / 100];
    return seen;
  }

  ConcurrencyLimit limit;
  QueueRoom room;

 private:
  double Draw(double mean) { return -mean * std::log(1 - random_.Unit()); }  // exponential

  void Look() {
    next_tick_ += kTick;
    const Time at{std::chrono::duration_cast<Duration>(std::chrono::duration<double>(now_ + 1))};
    const double inside = static_cast<double>(inside_.size()) + busy_;
    limit.Step(at, {.completed = done_, .inside = inside, .waiting = !queue_.empty()});
    room.Step(at, {.completed = done_, .inside = inside, .queued = static_cast<double>(queue_.size())});
    done_ = 0;
  }

  void Arrive(Seen& seen) {
    next_arrival_ = now_ + (arrivals > 0 ? Draw(1 / arrivals) : 0.01);
    if (arrivals <= 0) return;
    if (queue_.size() >= room.room()) {
      seen.refused += 1;
    } else {
      queue_.push_back(now_);
    }
  }

  void Serve() {
    while (!queue_.empty() && now_ - queue_.front() > deadline) queue_.pop_front();
    while (!queue_.empty() && inside_.size() + busy_ < limit.limit()) {
      inside_.push_back(queue_.front());
      queue_.pop_front();
    }
    while (!inside_.empty() && busy_ < workers) {
      ++busy_;
      leaving_.push({now_ + kGap + (random ? Draw(service) : service), inside_.front()});
      inside_.pop_front();
    }
  }

  using Leaving = std::pair<double, double>;  // when, and when it came
  Prng random_;
  double now_ = 0, next_tick_ = kTick, next_arrival_ = 0, done_ = 0;
  int busy_ = 0;
  std::deque<double> queue_, inside_;
  std::priority_queue<Leaving, std::vector<Leaving>, std::greater<>> leaving_;
};

struct App {
  const char* why;
  int workers;
  double service;
  bool random;
  double Capacity() const { return workers / (service + kGap); }
};

const App kApps[] = {
    {"one worker", 1, 0.02, false},
    {"the bench's", 2, 0.04, false},
    {"the bench's, noisy", 2, 0.04, true},
    {"many workers", 32, 0.02, false},
    {"many workers, noisy", 32, 0.02, true},
    {"fast", 2, 0.001, true},
    {"slow", 8, 0.5, true},
};

TEST(ConcurrencyLimit, TenTimesTheLoadIsServedAtCapacityAndSoonAfterHavingSeenNormalLoad) {
  for (const App& app : kApps) {
    SCOPED_TRACE(app.why);
    Kitchen kitchen;
    kitchen.workers = app.workers;
    kitchen.service = app.service;
    kitchen.random = app.random;
    kitchen.arrivals = 0.7 * app.Capacity();
    const auto calm = kitchen.Run(20);
    EXPECT_GT(calm.served, 0.6 * app.Capacity());
    kitchen.arrivals = 10 * app.Capacity();
    kitchen.Run(3 + 10 * app.service);
    const auto over = kitchen.Run(60);
    EXPECT_GT(over.served, 0.95 * app.Capacity()) << over.limit_min << " to " << over.limit_max;
    EXPECT_LE(over.limit_max, 4 * app.workers + 8);
    kitchen.arrivals = 0.7 * app.Capacity();
    kitchen.Run(0.3);
    EXPECT_GT(kitchen.Run(5 + 20 * app.service).served, 0.55 * app.Capacity());
  }
}

TEST(ConcurrencyLimit, AnOverloadWithoutAnythingKnownIsServedAtCapacity) {
  for (const App& app : kApps) {
    SCOPED_TRACE(app.why);
    Kitchen kitchen;
    kitchen.workers = app.workers;
    kitchen.service = app.service;
    kitchen.random = app.random;
    kitchen.arrivals = 10 * app.Capacity();
    kitchen.Run(10 + 200 * app.service);
    const auto over = kitchen.Run(60);
    EXPECT_GT(over.served, 0.93 * app.Capacity()) << over.limit_min << " to " << over.limit_max;
    EXPECT_LE(over.limit_max, 4 * app.workers + 12);
  }
}

TEST(ConcurrencyLimit, WaitsAreShortWhileTheOverloadLasts) {
  Kitchen kitchen;
  kitchen.service = 0.04;
  kitchen.arrivals = 35;
  kitchen.Run(10);
  kitchen.arrivals = 500;
  EXPECT_LT(kitchen.Run(60).wait_p99, 0.2) << "the first second included";
  for (int i = 0; i < 6; ++i) {  // the first moments of one are not taken for calm
    kitchen.arrivals = 35;
    kitchen.Run(60);
    kitchen.arrivals = 500;
    EXPECT_LT(kitchen.Run(60).wait_p99, 0.25);
  }
}

TEST(ConcurrencyLimit, ASlowDownOfTheAppIsFollowed) {
  Kitchen kitchen;
  kitchen.workers = 8;
  kitchen.arrivals = 4000;
  kitchen.Run(20);
  kitchen.service = 0.08;  // what it calls became slow; the workers are as many as before
  kitchen.Run(20);
  EXPECT_GT(kitchen.Run(20).served, 0.95 * 8 / 0.08);
  kitchen.service = 0.02;
  kitchen.Run(20);
  EXPECT_GT(kitchen.Run(20).served, 0.95 * 8 / 0.02);
}

TEST(ConcurrencyLimit, MoreWorkersAreFoundAndFewerAreLeftAlone) {
  Kitchen kitchen;
  kitchen.arrivals = 8000;
  kitchen.Run(20);
  kitchen.workers = 16;
  kitchen.Run(30);
  EXPECT_GT(kitchen.Run(20).served, 0.95 * 16 / 0.02);
  kitchen.workers = 2;
  kitchen.Run(30);
  const auto few = kitchen.Run(20);
  EXPECT_GT(few.served, 0.95 * 2 / 0.02);
  EXPECT_LE(few.limit_max, 8);
}

TEST(ConcurrencyLimit, CalmLoadIsNeverHeldBack) {
  for (const App& app : kApps) {
    SCOPED_TRACE(app.why);
    Kitchen kitchen;
    kitchen.workers = app.workers;
    kitchen.service = app.service;
    kitchen.random = app.random;
    kitchen.arrivals = 0.5 * app.Capacity();
    kitchen.Run(5);  // more than the limit it starts with is found first
    EXPECT_EQ(kitchen.Run(60).refused, 0);
    EXPECT_GE(kitchen.limit.limit(), 8U);
  }
}

TEST(ConcurrencyLimit, AnIdleAppKeepsItsLimit) {
  Kitchen kitchen;
  EXPECT_EQ(kitchen.Run(60).limit_min, kLimitAtFirst);
  EXPECT_EQ(kitchen.limit.limit(), kLimitAtFirst);
}

TEST(ConcurrencyLimit, RequestsThatNeverEndOnlyRaiseItSlowly) {
  ConcurrencyLimit limit;
  Time now{1s};
  for (int i = 0; i < 100; ++i, now += 100ms) limit.Step(now, {0, static_cast<double>(limit.limit()), true});
  EXPECT_GT(limit.limit(), 2 * kLimitAtFirst) << "long polls find room within seconds";
  EXPECT_LT(limit.limit(), 16 * kLimitAtFirst) << "an app that hangs is not buried at once";
  for (int i = 0; i < 3000; ++i, now += 100ms) limit.Step(now, {0, static_cast<double>(limit.limit()), true});
  EXPECT_EQ(limit.limit(), kLimitMax);
}

TEST(ConcurrencyLimit, AGapInTheReadingsAndNonsenseKeepItInBounds) {
  ConcurrencyLimit limit;
  Prng random(7);
  Time now{1s};
  for (int i = 0; i < 20000; ++i) {
    now += std::chrono::milliseconds(random.Below(5) == 0 ? random.Below(100000) : random.Below(200));
    limit.Step(now, {static_cast<double>(random.Below(random.Below(2) ? 20 : 100000)),
                     static_cast<double>(random.Below(10000)), random.Below(2) == 0});
    ASSERT_GE(limit.limit(), 1U);
    ASSERT_LE(limit.limit(), kLimitMax);
    ASSERT_TRUE(std::isfinite(limit.residence()));
  }
}

TEST(QueueRoom, AQueueThatNeverEmptiesIsKeptShortAndOneThatDoesIsNot) {
  QueueRoom room;
  Time now{1s};
  const auto run = [&](int ticks, const QueueTick& tick) {
    for (int i = 0; i < ticks; ++i, now += 100ms) room.Step(now, tick);
  };
  run(20, {.completed = 10, .inside = 3, .queued = 0});
  EXPECT_EQ(room.room(), kRoomAtFirst);
  run(1, {.completed = 10, .inside = 3, .queued = 40});
  EXPECT_EQ(room.room(), kRoomAtFirst) << "a burst";
  run(3, {.completed = 10, .inside = 3, .queued = 40});
  EXPECT_EQ(room.room(), 5U) << "100 a second, 50 ms";
  run(1, {.completed = 10, .inside = 3, .queued = 0});
  EXPECT_EQ(room.room(), 5U) << "seen empty once";
  run(4, {.completed = 10, .inside = 3, .queued = 0});
  EXPECT_EQ(room.room(), kRoomAtFirst);
}

TEST(QueueRoom, SlowServicesMayBeWaitedForLongerAndDeadOnesHardly) {
  QueueRoom room;
  Time now{1s};
  for (int i = 0; i < 50; ++i, now += 100ms) room.Step(now, {.completed = 2, .inside = 8, .queued = 9});
  EXPECT_EQ(room.room(), 3U) << "20 a second, kQueueDeadline";
  for (int i = 0; i < 100; ++i, now += 100ms) room.Step(now, {.completed = 0, .inside = 8, .queued = 9});
  EXPECT_EQ(room.room(), kRoomMin);
}

}  // namespace
}  // namespace hs
