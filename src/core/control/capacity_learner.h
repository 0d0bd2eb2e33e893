// What one replica can serve, learned while it serves.
//
// Like judging a porter: when he is visibly at his limit, what he carries is his limit. When he is not, how
// much of his strength it takes tells what he could carry. A porter who stands idle tells nothing.
//
// Three kinds of evidence, the best that is at hand counts:
//  1. a queue that lasts while there is CPU to spare, or no word of CPU: what was completed per replica is
//     the capacity, whatever limits it;
//  2. CPU: completions per replica over the share of CPU used;
//  3. Little's law: completions per replica over the requests being served per replica, that is over how
//     busy it was, for replicas that serve one request at a time. More at a time, seen without slower
//     answers, raises it.
// In every case the capacity is at least what was seen completed without distress.
// Idle seconds, and seconds in which no replica was healthy, change nothing.
#pragma once

#include <optional>

#include "core/control/scale_types.h"

namespace hs {

class CapacityLearner {
 public:
  void Observe(const ScaleSample& sample);

  // Requests a second that one replica can complete; absent while nothing has been seen.
  std::optional<double> PerReplica() const;
  // Mean response time while nothing waited, in seconds.
  std::optional<double> UnloadedResponse() const { return unloaded_; }
  // The last second was at the limit.
  bool AtLimit() const { return at_limit_; }
  // Squared coefficient of variation of the service times; 1 until known.
  double ServiceVariability() const { return variability_; }

 private:
  // A number that trembles by chance and now and then really changes: the mean of up to 100 seconds, but what
  // is further off than chance explains moves it fast.
  class Belief {
   public:
    void Learn(double news, double chance);
    const std::optional<double>& value() const { return value_; }

   private:
    std::optional<double> value_;
    double seconds_ = 0;
  };
  void LearnUnloaded(const ScaleSample& sample);

  std::optional<double> limit_;  // evidence 1
  Belief by_cpu_;                // evidence 2
  Belief by_busy_;               // evidence 3
  std::optional<double> unloaded_;
  double at_once_ = 1;  // requests one replica is known to serve at a time
  double variability_ = 1;
  std::int64_t healthy_before_ = 0;
  double completions_before_ = 0;
  double backlog_before_ = 0;
  int seconds_at_limit_ = 0;
  bool at_limit_ = false;
};

}  // namespace hs
