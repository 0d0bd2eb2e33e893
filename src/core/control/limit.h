// How many requests one replica should have at a time, found from nothing but counting them.
//
// Intuition: the number of cooks in a kitchen, judged from the counter. Hand in orders one by one and more
// come out the more are inside, until every cook is busy; from there on more orders inside only wait inside.
// That knee is the number to find: below it cooks stand idle, above it waiting moves from our queue, where
// urgency counts and who is too late is told so, to a place where neither is possible.
//
// Two measures, both by counting. While the limit binds, throughput is completions over time, and by Little's
// law the time inside is limit / throughput, exactly. While it does not bind, the time inside is the mean
// number inside over the completions: that is the residence time with hardly any waiting. So:
//
//   limit = 1.5 x throughput x residence      (TCP Vegas' bound on what is queued, Brakmo and Peterson 1995)
//
// What is believed of the residence time may be wrong or grow old, so the throughput itself is asked (Heiss
// and Wagner 1991; the probing of both sides is BBR's, Cardwell et al. 2016): at times the limit is moved by
// a factor of 1.5 for as long as it takes to tell chance from change. Throughput that follows downwards, or
// upwards, proves that the replica is not full there, and the time inside is its residence time; throughput
// that stays proves the reverse.
//
// Invariants:
//  1. 1 <= limit <= kLimitMax, always.
//  2. Without requests nothing moves.
//  3. A limit that never binds is at most raised to 1.5 times what was seen inside, and comes down to that
//     only after seconds of calm.
//  4. No completions at all prove nothing: the limit grows slowly (long polls), it never falls.
//
// Pure. Does not know of queues, classes or HAProxy.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace hs {

inline constexpr std::uint32_t kLimitAtFirst = 16;
inline constexpr std::uint32_t kLimitMax = 4096;

// What was seen of a replica since the last look, about a tenth of a second ago.
struct ReplicaTick {
  double completed = 0;  // answers
  double inside = 0;     // requests it has now
  bool waiting = false;  // somebody waits for it now
};

class ConcurrencyLimit {
 public:
  // The limit from now on. The first call only remembers.
  std::uint32_t Step(Time now, const ReplicaTick& tick);

  std::uint32_t limit() const { return limit_; }
  // Seconds inside without waiting; 0 while nothing is known.
  double residence() const { return residence_; }

 private:
  enum class Probe { kNone, kDown, kUp };
  // Completions while the limit was `limit` and bound all the time.
  struct Measure {
    double limit = 0;
    double done = 0;
    double seconds = 0;
    double Rate() const { return done / seconds; }
    double Inside() const { return limit / Rate(); }  // Little's law: seconds
  };

  void Calm(double seconds, const ReplicaTick& tick);
  void Full(Time now, double seconds, const ReplicaTick& tick);
  void LearnNoise(double completed, double seconds);
  void Steer(Time now);
  void BeginProbe(Time now, Probe probe, std::uint32_t limit);
  void JudgeProbe(Time now);
  void EndProbe(Time now, bool learned, std::uint32_t limit);
  void Set(std::uint32_t limit);
  std::uint32_t Wanted(double rate) const;
  // Completions after which a change of throughput by this factor is told from chance.
  double Needed(double factor) const;

  std::uint32_t limit_ = kLimitAtFirst;
  double residence_ = 0;
  double noise_ = 1;  // index of dispersion of completions: 1 for independent ones, near 0 for a fixed time

  bool seen_ = false;
  Time last_{};
  double inside_before_ = 0;
  bool waiting_before_ = false;

  // While the limit does not bind.
  double calm_seconds_ = 0;
  double calm_inside_ = 0;  // sum of requests inside x seconds, and of completions; both fade
  double calm_done_ = 0;
  double peak_ = 0;

  // While it does.
  double since_set_ = 0;  // completions since the limit moved; negative: settled
  double stuck_seconds_ = 0;
  Measure now_;        // at the present limit
  Measure reference_;  // of a probe: what it is compared with
  Probe probe_ = Probe::kNone;
  Probe last_probe_ = Probe::kUp;
  std::uint32_t before_probe_ = 0;
  Time probed_{};
  double probed_rate_ = 0;
  int shallow_ = 0;  // probes downwards since one went further than one step
  Duration pause_{};
  double tick_before_ = -1;  // completions a second in the last settled tick
};

}  // namespace hs
