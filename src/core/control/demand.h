// How much load there is, how fast it moves, and how noisy it is, from one number a second.
//
// Like a pilot reading a needle that trembles: he averages for as long as the needle trembles about one
// place, and the moment it has left that place for certain he forgets all he saw before. So the average is
// long and steady while nothing happens, and short and quick when something does.
//
// The window of seconds that still count grows by one each second up to `kWindow` and is cut where the mean
// of the newest part differs from the mean of the older part by more than chance allows: adaptive windowing
// (ADWIN; Bifet, Gavalda 2007) with a normal bound. The noise is the standard deviation of single seconds,
// taken from successive differences (von Neumann 1941), so that neither a slope nor a step counts as noise,
// and kept relative to the level (for what chance is known of: the index of dispersion, 1 for independent
// arrivals), so that it follows when the level moves. Inside the window a straight line is fitted when its
// slope is certain: level and trend as in Holt's method, but without its two smoothing constants; the trend
// is damped towards the horizon (Gardner, McKenzie 1985), since growth rarely lasts.
//
// It does not know what a replica is, nor when to act: that is the Scaler.
#pragma once

#include <array>
#include <cstddef>

namespace hs {

struct DemandEstimate {
  double level = 0;  // load a second, now
  double trend = 0;  // its change a second, 0 when not certain
  double noise = 0;  // standard deviation of one second about the level
  double surge = 0;  // load of the last one or two seconds when that is far above the level; otherwise 0
  double spread =
      0;  // the greater of noise and of what forecasts have missed lately, as a standard deviation
  double seconds = 0;  // how many seconds the level rests on; its own error is noise / sqrt(seconds)

  // What will be asked `horizon` seconds from now. Growth is forecast, decline is not: waiting costs little
  // there, and a wrong guess much.
  double Forecast(double horizon) const;
};

class Demand {
 public:
  // Seconds that are ever averaged over.
  static constexpr std::size_t kWindow = 512;

  // Adds the load of one second, not negative, finite. `chance`: variance over mean that chance alone gives
  // it, below which nothing is taken for quiet: 1 for a count of independent things; 0: not known.
  void Add(double load, double chance);

  // The difference between a load just added and what was forecast for it. What drifts and jumps too little
  // to be proven is no noise, but nobody saw it coming either: room is needed for both.
  void Missed(double difference, double chance);

  // Valid after the first Add.
  const DemandEstimate& Now() const { return estimate_; }
  bool Empty() const { return size_ == 0; }

 private:
  double At(std::size_t age) const { return ring_[(next_ + kWindow - 1 - age) % kWindow]; }
  void LearnNoise(double load, double chance);
  double Noise(double level, double chance) const;
  // The straight line through the window; its slope is 0 when not certain.
  struct Line {
    double mean, slope;
  };
  Line FitLine() const;
  void Cut(double total);
  void Fit();

  std::array<double, kWindow> ring_{};
  std::size_t next_ = 0;
  std::size_t size_ = 0;  // seconds since the last cut
  double before_ = -1;    // mean of what was cut off last; negative: nothing was
  double dispersion_ =
      0;  // variance of single seconds over the level, or its square where chance is not known
  double differences_ = 0;
  double missed_ = 0;  // mean square of misses, relative like dispersion_
  double misses_ = 0;
  double last_ = 0;
  DemandEstimate estimate_;
};

}  // namespace hs
