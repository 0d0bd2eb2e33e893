#include <algorithm>
#include <cmath>
#include <numbers>

#include "bench/elasticity/trace.h"

namespace hs::elasticity {
namespace {

constexpr int kHour = 3600;

template <typename Rate>
Trace Make(std::string name, int seconds, Rate rate) {
  Trace trace{std::move(name), {}};
  for (int t = 0; t < seconds; ++t) trace.rate.push_back(std::max(0.0, rate(t)));
  return trace;
}

// Normal by the sum of twelve uniforms: the same on every platform, and no tail beyond six.
double Normal(Prng& prng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += prng.Unit();
  return sum;
}

double Exponential(Prng& prng, double mean) { return -mean * std::log(1 - prng.Unit()); }

// A day of many visitors: a slow wave, matches that draw a crowd within minutes, and its leaving.
Trace Day(std::string name, std::uint64_t seed) {
  Prng prng(seed);
  struct Crowd {
    double at, rise, fall, size;
  };
  std::vector<Crowd> crowds;
  for (int i = 0; i < 5; ++i) {
    crowds.push_back(
        {prng.Unit() * 86400, 120 + prng.Unit() * 900, 600 + prng.Unit() * 3000, 0.3 + prng.Unit()});
  }
  const double phase = prng.Unit() * 86400;
  double wander = 0;
  return Make(std::move(name), 86400, [&](int t) {
    wander = wander * 0.9995 + 0.0012 * Normal(prng);
    double rate = 0.35 - 0.25 * std::cos(2 * std::numbers::pi * (t - phase) / 86400) + wander * 0.3;
    for (const Crowd& crowd : crowds) {
      const double since = t - crowd.at;
      rate += crowd.size / ((1 + std::exp(-since / crowd.rise * 4)) *
                            (1 + std::exp((since - crowd.fall) / crowd.fall * 4)));
    }
    return std::max(rate, 0.03);
  });
}

// Bursts: a process that jumps between levels at random times, with counts of few, heavy arrivals.
Trace Bursts(std::string name, std::uint64_t seed, double mean_stay_s, double per_second) {
  Prng prng(seed);
  double level = 1, until = 0;
  return Make(std::move(name), kHour, [&](int t) {
    if (t >= until) {
      level = 0.4 + 1.4 * prng.Unit() * prng.Unit();
      until = t + Exponential(prng, mean_stay_s);
    }
    // A Poisson count by its gaps.
    double count = 0;
    for (double at = Exponential(prng, 1); at < per_second * level; at += Exponential(prng, 1)) ++count;
    return count;
  });
}

}  // namespace

std::vector<Trace> SyntheticTraces() {
  Prng noise(7);
  std::vector<Trace> traces;
  traces.push_back(Make("step", kHour, [](int t) { return t < 1200 || t >= 2400 ? 0.1 : 1.0; }));
  traces.push_back(
      Make("ramp", kHour, [](int t) { return 0.1 + 0.9 * (t < 1800 ? t : kHour - t) / 1800.0; }));
  traces.push_back(Make("spike", kHour, [](int t) { return t % 900 >= 600 && t % 900 < 630 ? 1.0 : 0.2; }));
  traces.push_back(Make("sawtooth", kHour, [](int t) { return 0.2 + 0.8 * (t % 600) / 600.0; }));
  traces.push_back(Make("noise", kHour, [&](int) { return 1 + 0.2 * Normal(noise); }));
  traces.push_back(Make("constant", kHour, [](int) { return 1.0; }));
  return traces;
}

std::vector<Trace> HeldOutTraces(std::uint64_t seed, const std::vector<Trace>& real) {
  std::vector<Trace> traces;
  for (std::uint64_t i = 0; i < 4; ++i) traces.push_back(Day("day-" + std::to_string(i), Mix64(seed + i)));
  traces.push_back(Bursts("bursts-fast", Mix64(seed + 10), 8, 6));
  traces.push_back(Bursts("bursts-slow", Mix64(seed + 11), 120, 6));
  traces.push_back(Bursts("bursts-fine", Mix64(seed + 12), 40, 40));
  for (const Trace& trace : real) {
    // Another hour first, and the day mirrored: falls become rises.
    Trace other{trace.name + "-mirrored", trace.rate};
    std::reverse(other.rate.begin(), other.rate.end());
    std::rotate(other.rate.begin(), other.rate.begin() + static_cast<long>(other.rate.size() / 3),
                other.rate.end());
    traces.push_back(std::move(other));
  }
  return traces;
}

}  // namespace hs::elasticity
