#include "core/control/demand.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hs {
namespace {

// Standard errors by which two means must differ to be two. Some twenty cuts are tried every second and the
// clearest is taken, which makes chance ten times as likely as for one: 5 leaves about one false cut in a
// day.
constexpr double kCertain = 5.0;
// The newest one or two seconds alone are followed upwards when they are this far out (counts of few
// arrivals have longer tails than the normal bound), but never cut off what was known.
constexpr double kCertainAlone = 5.5;
constexpr std::size_t kAlone = 2;
// Standard errors by which a slope must differ from 0 to be followed.
constexpr double kSlopeCertain = 4.0;
// Standard errors by which a newer part must still differ, once without its oddest second and once against a
// straight line: a single odd second passes, and a ramp is to be followed, not cut into steps.
constexpr double kStillDiffers = 3.0;
// Seconds over which the noise is averaged.
constexpr double kNoiseMemory = 512;
// Least noise of what is not a count, as a share of the level.
constexpr double kNoiseMin = 0.02;
// One second after another a trend keeps this share of itself: two thirds are left after 20 s.
constexpr double kDamping = 0.98;
// Seconds after which a line is worth fitting.
constexpr std::size_t kLineMin = 6;

// Ages at which a cut is tried: dense where being quick matters.
constexpr std::size_t kCuts[] = {1,  2,  3,  4,  5,  6,  8,  10,  12,  16,  20,
                                 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384};

// What a measured index of dispersion tells for certain. Chance alone shows in 512 s as anything up to a
// fifth more: within that nothing should move.
double Dispersion(double measured, double chance) { return std::max(chance, measured - 0.2 * chance); }

}  // namespace

double DemandEstimate::Forecast(double horizon) const {
  const double growth = trend > 0 ? trend * (1 - std::pow(kDamping, horizon)) / (1 - kDamping) : 0;
  return std::max(level + growth, surge);
}

void Demand::Add(double load, double chance) {
  HS_CHECK(load >= 0 && std::isfinite(load));
  if (size_ > 0) LearnNoise(load, chance);
  last_ = load;
  ring_[next_] = load;
  next_ = (next_ + 1) % kWindow;
  size_ = std::min(size_ + 1, kWindow);
  double total = 0;
  for (std::size_t age = 0; age < size_; ++age) total += At(age);
  estimate_.noise = Noise(total / static_cast<double>(size_), chance);
  Cut(total);
  Fit();
  estimate_.noise = Noise(estimate_.level, chance);
  const double level = std::max(estimate_.level, chance > 0 ? 1.0 : 1e-9);
  const double missed = chance > 0 ? Dispersion(missed_, chance) * level : missed_ * level * level;
  estimate_.spread = std::max(estimate_.noise, std::sqrt(missed));
}

void Demand::Missed(double difference, double chance) {
  const double level = std::max(estimate_.level, chance > 0 ? 1.0 : 1e-9);
  // As with the noise, one great miss is no habit.
  const double square = std::min(difference * difference, 8 * estimate_.spread * estimate_.spread);
  misses_ = std::min(misses_ + 1, kNoiseMemory);
  missed_ += (square / (chance > 0 ? level : level * level) - missed_) / misses_;
}

void Demand::LearnNoise(double load, double chance) {
  const double level = std::max(estimate_.level, 1e-9);
  // One jump is news about the level, not about the noise; many are noise.
  const double most = 8 * estimate_.noise * estimate_.noise;
  const double square = std::min((load - last_) * (load - last_) / 2, most);
  const double news = chance > 0 ? square / std::max(1.0, level) : square / (level * level);
  differences_ = std::min(differences_ + 1, kNoiseMemory);
  dispersion_ += (news - dispersion_) / differences_;
}

double Demand::Noise(double level, double chance) const {
  if (chance > 0) return std::sqrt(Dispersion(dispersion_, chance) * std::max(1.0, level));
  return std::max(std::sqrt(dispersion_), kNoiseMin) * std::max(level, 1e-9);
}

Demand::Line Demand::FitLine() const {
  const double n = static_cast<double>(size_);
  const double middle = (n - 1) / 2;
  double sum = 0;
  double moment = 0;  // of load over time, time counted from the middle of the window
  for (std::size_t age = 0; age < size_; ++age) {
    sum += At(age);
    moment += At(age) * (middle - static_cast<double>(age));
  }
  Line line{.mean = sum / n, .slope = 0};
  if (size_ < kLineMin) return line;
  const double spread = n * (n * n - 1) / 12;  // sum of squared times
  const double slope = moment / spread;
  if (std::abs(slope) * std::sqrt(spread) >= kSlopeCertain * estimate_.noise) line.slope = slope;
  return line;
}

void Demand::Cut(double total) {
  const Line line = FitLine();
  const double middle = (static_cast<double>(size_) - 1) / 2;
  double recent = 0, most = 0, least = At(0);
  std::size_t age = 0;
  double clearest = kCertain;
  std::size_t keep = size_;
  estimate_.surge = 0;
  for (const std::size_t cut : kCuts) {
    if (cut >= size_) break;
    for (; age < cut; ++age) {
      recent += At(age);
      most = std::max(most, At(age));
      least = std::min(least, At(age));
    }
    const double newer = static_cast<double>(cut);
    const double older = static_cast<double>(size_ - cut);
    const double difference = recent / newer - (total - recent) / older;
    const double error = estimate_.noise * std::sqrt(1 / newer + 1 / older);
    if (cut <= kAlone) {
      if (difference > kCertainAlone * error) estimate_.surge = std::max(estimate_.surge, recent / newer);
    } else if (std::abs(difference) > clearest * error) {
      const double still = kStillDiffers * estimate_.noise;
      const double others =
          (recent - (difference > 0 ? most : least)) / (newer - 1) - (total - recent) / older;
      const double without_odd = difference > 0 ? others : -others;
      if (without_odd < still * std::sqrt(1 / (newer - 1) + 1 / older)) continue;
      const double expected = line.mean + line.slope * (middle - (newer - 1) / 2);
      const double off_line = std::abs(recent / newer - expected);
      if (line.slope != 0 && off_line * std::sqrt(newer) < still) continue;
      clearest = std::abs(difference) / error;
      keep = cut;
    }
  }
  if (keep == size_) return;
  double kept = 0;
  for (std::size_t i = 0; i < keep; ++i) kept += At(i);
  before_ = (total - kept) / static_cast<double>(size_ - keep);
  size_ = keep;
}

void Demand::Fit() {
  const double n = static_cast<double>(size_);
  const Line line = FitLine();
  estimate_.seconds = n;
  estimate_.level = line.mean;
  estimate_.trend = line.slope;
  if (line.slope != 0) {
    estimate_.level = std::max(0.0, line.mean + line.slope * (n - 1) / 2);
    return;
  }
  const double apart = std::abs(estimate_.level - before_) * std::sqrt(n) / estimate_.noise;
  if (before_ < 0) return;
  // The cut was made where the difference looked greatest, so it is exaggerated: shrunk as James and Stein
  // do, fully at the edge of certainty, hardly at all when the difference is plain or has lasted.
  const double share = apart <= kCertain ? 0 : 1 - kCertain * kCertain / (apart * apart);
  estimate_.level = before_ + (line.mean - before_) * share;
}

}  // namespace hs
