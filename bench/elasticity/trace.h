// A load: the requests per second that are meant to arrive, second by second.
#pragma once

#include <string>
#include <vector>

#include "base/prng.h"
#include "base/result.h"

namespace hs::elasticity {

struct Trace {
  std::string name;
  std::vector<double> rate;  // requests per second, one entry a second, finite, not negative
};

// Reads CSV `second,requests_per_second` with that header. Rows must be evenly spaced by a whole number of
// seconds. One a second is taken as it is; wider rows are means from their second to the next row, and the
// seconds between are interpolated between the middles of the rows. A missing row is an error, or
// interpolated when `fill_gaps`. Errors name file and line.
Result<Trace> ReadTrace(const std::string& path, bool fill_gaps);

// step, ramp, spike, sawtooth, noise, constant: one hour each, peaks near 1.
std::vector<Trace> SyntheticTraces();

// Loads that nothing here was tuned on, made from `seed`: other shapes of days, bursts by a Markov-modulated
// process, and perturbed copies (shifted in time, mixed) of `real`.
std::vector<Trace> HeldOutTraces(std::uint64_t seed, const std::vector<Trace>& real);

// Scales so that the highest second is `peak`.
void ScalePeak(Trace& trace, double peak);

}  // namespace hs::elasticity
