#include "core/control/scaler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "core/control/staffing.h"

namespace hs {
namespace {

// docs/CONTROL.md argues for each of these. They are the only parameters of the law.
constexpr double kSpread = 1.6;     // standard deviations that are kept free: enough in 19 of 20 seconds
constexpr double kPatience = 10;    // waits, in mean service times, that 99 % should stay below
constexpr double kBandNoise = 0.6;  // dead band in standard deviations of one second
constexpr double kBandMin = 0.1;    // and at least this many replicas
constexpr double kCatchUp = 2;      // seconds in which backlog should be gone, on top of the dead time
constexpr Duration kSensing =
    1500ms;  // from load to decision: half a second of mean age, then the sample's way
constexpr double kDeadTimeMax = 120;    // seconds ahead of which a forecast is judged at most
constexpr Duration kWindowMin = 30s;    // the down window of a service that never flaps
constexpr Duration kWindowFlap = 60s;   // after a jump, and the longest when it only trembles
constexpr Duration kWindowMax = 300s;   // and when it jumps again and again
constexpr double kJumpSeconds = 10;     // a level this young came by a jump
constexpr Duration kSameJump = 8s;      // raises this soon after a jump answer the same one
constexpr double kGapHeld = 28;         // longest gap, in dead times, over which the next jump is waited for
constexpr double kGapWindows = 4;       // the window then, in mean gaps
constexpr double kStaysMin = 0.01;      // seconds: the least a request is taken to stay
constexpr double kStaysNews = 0.1;      // share of the newest second in that
constexpr Duration kStepDown = 10s;     // between two falls
constexpr double kStepShare = 0.34;     // of the surplus that leaves with one fall
constexpr double kCoverageMin = 0.999;  // below, somebody is silent

std::int64_t Whole(double need) { return static_cast<std::int64_t>(std::ceil(need - 1e-9)); }

}  // namespace

Scaler::Scaler(Time now, const ScaleGoal& goal, std::int64_t level)
    : goal_(goal),
      level_(level),
      down_window_(kWindowMin),
      blind_(now),
      lowered_(now),
      flap_checked_(now),
      jumped_(now - kWindowMax * 2) {
  HS_CHECK(goal.min >= 1 && goal.max >= goal.min);
}

void Scaler::SetGoal(const ScaleGoal& goal) {
  HS_CHECK(goal.min >= 1 && goal.max >= goal.min);
  if (goal.target != goal_.target) {  // another unit: what was counted means nothing now
    demand_ = Demand();
    forecasts_.clear();
  }
  goal_ = goal;
}

void Scaler::SetLevel(Time now, std::int64_t level) {
  level_ = level;
  blind_ = now;
}

std::optional<double> Scaler::capacity() const {
  if (goal_.target == ScaleGoal::Target::kAutomatic) return capacity_.PerReplica();
  return goal_.target_value;
}

double Scaler::Load(const ScaleSample& sample) const {
  // Work refused is work asked for: it would have used what the served part used, in proportion.
  const double served = std::max(sample.completions, 1.0);
  const double offered = std::clamp(sample.arrivals / served, 1.0, 10.0);
  switch (goal_.target) {
    case ScaleGoal::Target::kAutomatic:
      return sample.arrivals;
    case ScaleGoal::Target::kInFlight:
      return sample.in_flight * (sample.refused > 0 ? offered : 1);
    case ScaleGoal::Target::kCpuShare:
      return sample.cpu_share.value_or(0) * static_cast<double>(sample.healthy) * offered;
    case ScaleGoal::Target::kAppMetric:
      return sample.app_metric.value_or(0);
  }
  HS_CHECK(false);
}

double Scaler::Margin(double load, double capacity) const {
  const double spread = kSpread * demand_.Now().spread / capacity;
  if (goal_.target != ScaleGoal::Target::kAutomatic) return 0;  // the target value already leaves room
  return std::max(spread, QueueMargin(load / capacity, kPatience, 1 + capacity_.ServiceVariability()));
}

double Scaler::ComputeNeed(const ScaleSample& sample, double capacity) const {
  const double dead_time = ToSeconds(sample.start_up + kSensing);
  const double load = demand_.Now().Forecast(dead_time);
  double owed = 0;
  // A few requests are always on their way; owed is what the present level would not clear within a second.
  if (goal_.target == ScaleGoal::Target::kAutomatic && sample.backlog > static_cast<double>(sample.healthy)) {
    owed = sample.backlog / (capacity * (kCatchUp + ToSeconds(sample.start_up)));
  }
  // The margin clears backlog too while chance does not need it: the greater of the two, not the sum.
  return load / capacity + std::max(Margin(load, capacity), owed);
}

// Variance over mean of a second's load by nothing but chance. Independent requests: 1. Requests inside at
// once: the time each stays, since a second's mean adds up that much of each. What an app tells: unknown.
double Scaler::Chance(const ScaleSample& sample) {
  if (goal_.target == ScaleGoal::Target::kAutomatic) return 1;
  if (goal_.target != ScaleGoal::Target::kInFlight) return 0;
  if (sample.completions >= 1) {
    const double stays = std::clamp(sample.in_flight / sample.completions, kStaysMin, 1.0);
    stays_ = stays_ ? *stays_ + kStaysNews * (stays - *stays_) : stays;
  }
  return stays_.value_or(1);
}

// Compares what comes with what was forecast for this second when its replicas had to be started.
void Scaler::Judge(double load, double dead_time, double chance) {
  const auto due = static_cast<std::size_t>(std::min(dead_time, kDeadTimeMax) + 0.5);
  while (forecasts_.size() > due) forecasts_.pop_front();
  if (forecasts_.size() == due) {
    demand_.Missed(load - forecasts_.front(), chance);
    forecasts_.pop_front();
  }
  demand_.Add(load, chance);
  forecasts_.push_back(demand_.Now().Forecast(dead_time));
}

void Scaler::Remember(Time now, double need) {
  while (!highest_.empty() && highest_.back().replicas <= need) highest_.pop_back();
  highest_.push_back({now, need});
  while (highest_.front().at + down_window_ < now) highest_.pop_front();
}

ScaleDecision Scaler::Bounded() {
  const std::int64_t inside = std::clamp(level_, goal_.min, goal_.max);
  ScaleDecision decision;
  decision.level = inside;
  if (inside == level_) return decision;
  decision.cause = ScaleDecision::Cause::kBounds;
  decision.changed = true;
  decision.reason = fmt::format("{} to {}: asked for are {} to {}", level_, inside, goal_.min, goal_.max);
  level_ = inside;
  return decision;
}

std::string Scaler::Numbers(const ScaleSample& sample) const {
  const DemandEstimate& demand = demand_.Now();
  const double capacity = this->capacity().value_or(0);
  return fmt::format(
      "need {:.1f}: load {:.1f}/s (mean of {:.0f} s, trend {:+.2f}/s, noise {:.1f}), {:.1f}/s a replica, "
      "{:.0f} "
      "waiting, {:.0f}/s refused, start-up {:.1f} s, {} healthy, {} starting",
      need_, demand.level, demand.seconds, demand.trend, demand.noise, capacity, sample.backlog,
      sample.refused, ToSeconds(sample.start_up), sample.healthy, sample.starting);
}

ScaleDecision Scaler::Raise(Time now, const ScaleSample& sample) {
  const std::int64_t wanted = std::min(Whole(need_), goal_.max);
  const std::int64_t before = level_;
  level_ = std::max(level_, wanted);
  // What is wanted back a moment after it was sent away was sent away too soon. A jump that nothing announced
  // may come again; it is answered by several raises while it is being understood, which are one.
  const bool jump = demand_.Now().surge > 0 || demand_.Now().seconds < kJumpSeconds;
  if (jump && now - jumped_ >= kSameJump) {
    Jumped(now, ToSeconds(sample.start_up + kSensing));
  } else if (ever_lowered_ && now - lowered_ < down_window_ && down_window_ < kWindowFlap) {
    down_window_ = std::min(down_window_ * 2, kWindowFlap);
    flap_checked_ = now;
  }
  return {.level = level_,
          .cause = ScaleDecision::Cause::kUp,
          .changed = true,
          .capped = Whole(need_) > goal_.max,
          .reason = fmt::format("{} to {}: {}", before, level_, Numbers(sample))};
}

// Jumps that keep coming find what the last one needed; what comes alone, twice, or seldom, is not waited
// for. How long waiting pays depends on what it saves: a dead time of too little.
void Scaler::Jumped(Time now, double dead_time) {
  const double gap = ToSeconds(now - jumped_);
  const double before = std::exchange(jump_gap_, gap);
  jumped_ = now;
  Duration window = kWindowFlap;
  if (before > 0 && std::max(gap, before) <= kGapHeld * dead_time) {
    const double held = kGapWindows * (gap + before) / 2;
    window = std::clamp(Duration(static_cast<std::int64_t>(held * 1e9)), kWindowFlap, kWindowMax);
  }
  down_window_ = std::max(down_window_, window);
  flap_checked_ = now;
}

ScaleDecision Scaler::Lower(Time now, const ScaleSample& sample, double band) {
  const std::int64_t floor = std::max(goal_.min, Whole(highest_.front().replicas + band / 2));
  const auto part = static_cast<std::int64_t>(std::ceil(kStepShare * static_cast<double>(level_ - floor)));
  const std::int64_t before = level_;
  level_ -= std::max<std::int64_t>(1, part);
  lowered_ = now;
  ever_lowered_ = true;
  return {.level = level_,
          .cause = ScaleDecision::Cause::kDown,
          .changed = true,
          .reason = fmt::format("{} to {}: highest need of {:.0f} s was {:.1f}; now {}", before, level_,
                                ToSeconds(down_window_), highest_.front().replicas, Numbers(sample))};
}

ScaleDecision Scaler::Step(Time now, const std::optional<ScaleSample>& sample) {
  ScaleDecision decision = Bounded();
  const bool metric_missing =
      sample && ((goal_.target == ScaleGoal::Target::kCpuShare && !sample->cpu_share) ||
                 (goal_.target == ScaleGoal::Target::kAppMetric && !sample->app_metric));
  if (!sample || metric_missing || sample->coverage < 0.5) {
    blind_ = now;
    return decision;
  }
  if (sample->coverage < kCoverageMin) blind_ = now;
  capacity_.Observe(*sample);
  // What the silent ones carry is taken to be like what the others carry.
  Judge(Load(*sample) / sample->coverage, ToSeconds(sample->start_up + kSensing), Chance(*sample));
  const auto capacity = this->capacity();
  if (!capacity && (sample->queued > 0 || sample->refused > 0)) {
    blind_ = now;
    return decision;
  }
  // So far there was too little to learn from. A request keeps at most one replica busy, so there are never
  // more needed than requests in flight; a trickle needs one.
  need_ = capacity ? ComputeNeed(*sample, *capacity) : std::max(1.0, sample->in_flight);
  if (now - flap_checked_ > down_window_ * 2 && down_window_ > kWindowMin) {
    down_window_ = std::max(down_window_ / 2, kWindowMin);
    flap_checked_ = now;
  }
  Remember(now, need_);

  const double band = capacity ? std::max(kBandMin, kBandNoise * demand_.Now().noise / *capacity) : kBandMin;
  decision.capped = Whole(need_ - band / 2) > goal_.max;
  if (Whole(need_ - band / 2) > level_ && level_ < goal_.max) return Raise(now, *sample);
  if (Whole(highest_.front().replicas + band / 2) >= level_ || level_ <= goal_.min) return decision;
  if (now - blind_ < down_window_) {
    decision.cause = ScaleDecision::Cause::kUncertain;
    return decision;
  }
  if (now - lowered_ < kStepDown) return decision;
  return Lower(now, *sample, band);
}

}  // namespace hs
