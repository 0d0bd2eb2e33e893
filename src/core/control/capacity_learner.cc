#include "core/control/capacity_learner.h"

#include <algorithm>
#include <cmath>

namespace hs {
namespace {

// Below these a second is idle and tells nothing: too few requests, or too little of the CPU.
constexpr double kRequestsMin = 5;
constexpr double kCpuMin = 0.05;
// CPU used by more than this share: it is what they lack.
constexpr double kCpuAll = 0.9;
// Seconds with a queue from end to end after which it is no accident.
constexpr int kSecondsAtLimit = 2;
// Answers that take this many times their unloaded time mean distress.
constexpr double kDistress = 3;
// Seconds whose completions differ by less than this share are alike.
constexpr double kAlike = 0.3;
// Share of the news in what is believed when the news is no chance, or seen at the limit.
constexpr double kNews = 0.3;
// Seconds over which chance is averaged out.
constexpr double kSecondsMax = 100;
// Less than this is chance whatever the number of requests; with few it is three of their standard errors.
constexpr double kChanceMin = 0.1;
// The unloaded time rises by this share each second, so that a slower new version is learned in minutes.
constexpr double kUnloadedRise = 0.001;
// A limit that is not met again is believed less: it moves this share towards the guess each second.
constexpr double kLimitFades = 0.001;

void Blend(std::optional<double>& belief, double news, double share) {
  belief = belief ? *belief + share * (news - *belief) : news;
}

}  // namespace

void CapacityLearner::Belief::Learn(double news, double chance) {
  if (!value_) value_ = news;
  if (std::abs(news / *value_ - 1) > chance) {
    value_ = *value_ + kNews * (news - *value_);
    seconds_ = 1 / kNews;  // what was averaged before counts little from here on
    return;
  }
  seconds_ = std::min(seconds_ + 1, kSecondsMax);
  value_ = *value_ + (news - *value_) / seconds_;
}

void CapacityLearner::LearnUnloaded(const ScaleSample& sample) {
  if (!sample.response_mean_s || *sample.response_mean_s <= 0) return;
  const double seen = *sample.response_mean_s;
  if (!unloaded_ || seen < *unloaded_) {
    // The first seconds may be loaded ones; every lower value replaces them at once.
    unloaded_ = seen;
  } else if (!at_limit_) {
    unloaded_ = std::min(seen, *unloaded_ * (1 + kUnloadedRise));
  }
}

void CapacityLearner::Observe(const ScaleSample& sample) {
  at_limit_ = false;
  if (sample.healthy <= 0 || sample.completions < kRequestsMin) return;
  const double replicas = static_cast<double>(sample.healthy);
  const double each = sample.completions / replicas;
  const bool waiting = sample.queued >= replicas;
  const bool refusing = sample.refused > 0.01 * sample.arrivals;
  // A queue at the start and at the end of the second: the replicas had no pause in it.
  const bool throughout = sample.backlog >= replicas && backlog_before_ >= replicas;
  backlog_before_ = sample.backlog;
  const bool slow = unloaded_ && sample.response_mean_s && *sample.response_mean_s > kDistress * *unloaded_ &&
                    sample.in_flight > replicas;
  at_limit_ = waiting || refusing || slow;
  // Replicas that came or went within the second served a part of it only; and CPU is not read at the very
  // moment at which answers are counted, so a second unlike the one before would compare two different ones.
  const bool settled = sample.healthy == healthy_before_ &&
                       std::abs(sample.completions - completions_before_) < kAlike * sample.completions;
  healthy_before_ = sample.healthy;
  completions_before_ = sample.completions;
  LearnUnloaded(sample);

  const double chance = std::max(kChanceMin, 3 / std::sqrt(sample.completions));
  // Where CPU is what they lack, CPU tells it exactly; a limit of another kind shows in a queue that lasts.
  const bool cpu_bound = sample.cpu_share && *sample.cpu_share > kCpuAll;
  seconds_at_limit_ = settled && throughout && !cpu_bound ? seconds_at_limit_ + 1 : 0;
  if (seconds_at_limit_ >= kSecondsAtLimit) {
    Blend(limit_, each, kNews);
  }
  if (limit_ && each > *limit_) limit_ = each;  // more than the limit: it was wrong
  if (sample.cpu_share && *sample.cpu_share > kCpuMin && settled) {
    by_cpu_.Learn(each / *sample.cpu_share, chance);
  }
  if (!settled) return;
  const double serving = std::max(0.0, sample.in_flight - sample.queued) / replicas;
  if (!at_limit_) at_once_ = std::max(at_once_, serving);
  if (serving > kCpuMin) by_busy_.Learn(each / std::min(1.0, serving / at_once_), chance);
  const auto& guess = by_cpu_.value() ? by_cpu_.value() : by_busy_.value();
  if (limit_ && guess && !at_limit_) Blend(limit_, *guess, kLimitFades);
}

std::optional<double> CapacityLearner::PerReplica() const {
  const auto& guess = by_cpu_.value() ? by_cpu_.value() : by_busy_.value();
  if (limit_ && guess) return std::min(*limit_, *guess);
  return limit_ ? limit_ : guess;
}

}  // namespace hs
