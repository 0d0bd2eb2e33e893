#include "core/control/limit.h"

#include <algorithm>
#include <cmath>

namespace hs {

namespace {

constexpr double kOver = 1.5;  // limit over the requests that keep the replica busy; also the step of a probe
constexpr double kCalmMemory = 10;   // seconds
constexpr double kPeakMemory = 30;   // seconds
constexpr double kCalmAnswers = 30;  // completions before a residence time is believed
constexpr double kRaiseAfter = 1;    // seconds of calm
constexpr double kLowerAfter = 3;
constexpr std::uint32_t kCalmMin = 8;
constexpr double kMeasureMemory = 10;  // seconds at one limit
constexpr double kFewest = 5;          // completions before anything is concluded
constexpr double kStuckAfter = 1;      // seconds without a completion
constexpr double kStuckGrowth = 1.25;
constexpr double kNoiseMin = 0.05, kNoiseMax = 4;
constexpr double kOtherBelief = 1.25;  // a residence time further off than this is worth a second look
constexpr double kStep = 1.5;          // by which one conclusion may raise the residence time
constexpr std::uint32_t kSmall = 2;    // from here on a look further down would cost more than it finds
constexpr int kShallow = 3;            // probes downwards that stay near before one goes on
constexpr Duration kPauseFirst = 1s, kPauseMax = 16s;

std::uint32_t Bounded(double limit) {
  return static_cast<std::uint32_t>(std::clamp(std::round(limit), 1.0, static_cast<double>(kLimitMax)));
}

// How much of a change of the limit the throughput followed: 1 all, 0 nothing.
double Followed(double rate, double limit, double rate_before, double limit_before) {
  return std::log(rate / rate_before) / std::log(limit / limit_before);
}

}  // namespace

std::uint32_t ConcurrencyLimit::Step(Time now, const ReplicaTick& tick) {
  const double seconds = seen_ ? ToSeconds(now - last_) : 0;
  const bool full = tick.waiting && waiting_before_ && tick.inside >= limit_;
  if (seen_ && seconds > 0) {
    if (full) {
      Full(now, seconds, tick);
    } else {
      Calm(seconds, tick);
    }
  }
  seen_ = true;
  last_ = now;
  inside_before_ = tick.inside;
  waiting_before_ = tick.waiting;
  return limit_;
}

void ConcurrencyLimit::Calm(double seconds, const ReplicaTick& tick) {
  tick_before_ = -1;
  stuck_seconds_ = 0;
  if (tick.waiting || waiting_before_) {
    calm_seconds_ = 0;
    return;
  }
  calm_seconds_ += seconds;
  since_set_ = -1;
  if (probe_ != Probe::kNone && calm_seconds_ >= kRaiseAfter) {
    probe_ = Probe::kNone;
    Set(before_probe_);
  }
  const double fade = std::exp(-seconds / kCalmMemory);
  calm_inside_ = calm_inside_ * fade + (tick.inside + inside_before_) / 2 * seconds;
  calm_done_ = calm_done_ * fade + tick.completed;
  // One look counts half: it may be the first moment of an overload. So may one at the limit, which tells
  // nothing.
  peak_ *= std::exp(-seconds / kPeakMemory);
  if (tick.inside > peak_ && tick.inside < limit_) peak_ += (tick.inside - peak_) / 2;
  if (tick.completed == 0 && tick.inside == 0) return;
  if (calm_done_ >= kCalmAnswers && calm_inside_ > 0) {
    residence_ = calm_inside_ / calm_done_;
    shallow_ = kShallow;  // some waiting is in it
  }
  const std::uint32_t wish = std::max(kCalmMin, Bounded(kOver * peak_));
  if (wish > limit_ ? calm_seconds_ >= kRaiseAfter
                    : wish < limit_ && calm_seconds_ >= kLowerAfter && calm_done_ >= kCalmAnswers) {
    Set(wish);
    since_set_ = -1;  // nothing inside is there because of the limit
  }
}

void ConcurrencyLimit::Full(Time now, double seconds, const ReplicaTick& tick) {
  calm_seconds_ = 0;
  stuck_seconds_ = tick.completed > 0 ? 0 : stuck_seconds_ + seconds;
  if (stuck_seconds_ >= kStuckAfter) {
    stuck_seconds_ = 0;
    if (probe_ != Probe::kNone) limit_ = std::max(limit_, before_probe_);
    probe_ = Probe::kNone;
    Set(Bounded(std::ceil(limit_ * kStuckGrowth)));
    return;
  }
  // What was inside when the limit moved still leaves at the old pace.
  if (since_set_ >= 0) {
    since_set_ += tick.completed;
    if (since_set_ >= limit_) since_set_ = -1;
    return;
  }
  LearnNoise(tick.completed, seconds);
  now_.limit = limit_;
  now_.done += tick.completed;
  now_.seconds += seconds;
  if (now_.seconds > kMeasureMemory || now_.done > 4 * Needed(kOver)) {
    now_.done /= 2;
    now_.seconds /= 2;
  }
  if (now_.done < kFewest) return;
  if (probe_ == Probe::kNone) {
    Steer(now);
  } else {
    JudgeProbe(now);
  }
}

void ConcurrencyLimit::LearnNoise(double completed, double seconds) {
  const double rate = completed / seconds;
  if (tick_before_ >= 0 && rate + tick_before_ > 0) {
    const double difference = (rate - tick_before_) * seconds;
    const double mean = (rate + tick_before_) / 2 * seconds;
    noise_ += 0.1 * (difference * difference / 2 / std::max(1.0, mean) - noise_);
    noise_ = std::clamp(noise_, kNoiseMin, kNoiseMax);
  }
  tick_before_ = rate;
}

std::uint32_t ConcurrencyLimit::Wanted(double rate) const {
  const double busy = rate * residence_;
  return std::max(Bounded(busy) + 1, Bounded(kOver * busy));
}

double ConcurrencyLimit::Needed(double factor) const {
  // The difference of two logarithms of rates has a variance of 2 noise / n; half the change shall be two
  // standard errors of it. One in forty conclusions is wrong then, hence kStep.
  const double half = std::log(factor) / 2;
  return std::max(kFewest, 8 * noise_ / (half * half));
}

void ConcurrencyLimit::Steer(Time now) {
  if (residence_ == 0) {  // the first word of it comes from below
    if (now_.done >= Needed(kOver)) BeginProbe(now, Probe::kDown, Bounded(limit_ / (kOver * kOver)));
    return;
  }
  const double wanted = std::clamp<double>(Wanted(now_.Rate()), std::ceil(limit_ / 2.0),
                                           std::min(2.0 * limit_, 1.0 * kLimitMax));
  const double chance = std::max(0.1, 2 * std::sqrt(noise_ / now_.done));
  if (std::abs(wanted - limit_) >= std::max(1.0, chance * limit_)) {
    pause_ = kPauseFirst;
    Set(static_cast<std::uint32_t>(wanted));
    return;
  }
  // Another throughput than before at about the same limit: it may be another replica now.
  if (probed_rate_ > 0 && std::abs(std::log(now_.Rate() / probed_rate_)) > 3 * chance) {
    pause_ = kPauseFirst;
    probed_rate_ = now_.Rate();
    shallow_ = kShallow;
  }
  if (now - probed_ < pause_ || now_.done < Needed(kOver)) return;
  if (last_probe_ == Probe::kUp && limit_ > 1) {
    BeginProbe(now, Probe::kDown, std::min(limit_ - 1, Bounded(limit_ / kOver)));
  } else {
    BeginProbe(now, Probe::kUp, std::max(limit_ + 1, Bounded(limit_ * kOver)));
  }
}

void ConcurrencyLimit::BeginProbe(Time now, Probe probe, std::uint32_t limit) {
  if (probe_ == Probe::kNone) before_probe_ = limit_;
  probe_ = last_probe_ = probe;
  probed_ = now;
  reference_ = now_;
  probed_rate_ = now_.Rate();
  Set(limit);
}

void ConcurrencyLimit::JudgeProbe(Time now) {
  const double factor = std::max(now_.limit, reference_.limit) / std::min(now_.limit, reference_.limit);
  if (factor == 1) return EndProbe(now, false, before_probe_);
  if (now_.done < Needed(factor)) return;
  const bool followed = Followed(now_.Rate(), now_.limit, reference_.Rate(), reference_.limit) > 0.5;
  const double before = residence_;
  if (probe_ == Probe::kUp) {
    if (!followed) return EndProbe(now, false, before_probe_);
    residence_ = std::max(residence_, std::min(kStep * residence_, reference_.Inside()));
    return EndProbe(now, true, Wanted(now_.Rate()));
  }
  if (followed) {  // not full down here: this is what a request takes
    residence_ =
        before == 0 ? reference_.Inside() : std::max(before, std::min(kStep * before, now_.Inside()));
    return EndProbe(now, residence_ != before, std::max(Wanted(reference_.Rate()), Bounded(now_.limit) + 1));
  }
  residence_ = before == 0 ? 0 : std::min(before, now_.Inside());
  // What is believed may fit any limit above the knee, so now and then it is looked for further down.
  const bool doubtful = before == 0 || before > kOtherBelief * now_.Inside() || shallow_ >= kShallow;
  if (doubtful && limit_ > kSmall) {
    shallow_ = 0;
    return BeginProbe(now, Probe::kDown, std::min(limit_ - 1, Bounded(limit_ / kOver)));
  }
  if (residence_ == 0) residence_ = now_.Inside();
  ++shallow_;
  EndProbe(now, residence_ != before, Wanted(now_.Rate()));
}

void ConcurrencyLimit::EndProbe(Time now, bool learned, std::uint32_t limit) {
  probe_ = Probe::kNone;
  probed_ = now;
  pause_ = learned ? kPauseFirst : std::clamp(2 * pause_, kPauseFirst, kPauseMax);
  Set(limit);
}

void ConcurrencyLimit::Set(std::uint32_t limit) {
  limit_ = std::clamp<std::uint32_t>(limit, 1, kLimitMax);
  since_set_ = 0;
  now_ = {};
  tick_before_ = -1;
}

}  // namespace hs
