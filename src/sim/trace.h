// A load: the requests per second that are meant to arrive, second by second.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace hs::sim {

struct Trace {
  std::string name;
  std::vector<double> rate;  // requests per second, one entry a second, finite, not negative
};

// Reads CSV `second,requests_per_second` with that header. Rows must be evenly spaced by a whole number of
// seconds. One a second is taken as it is; wider rows are means from their second to the next row, and the
// seconds between are interpolated between the middles of the rows. A missing row is an error, or
// interpolated when `fill_gaps`. Errors name file and line.
Result<Trace> ReadTrace(const std::string& path, bool fill_gaps);

}  // namespace hs::sim
