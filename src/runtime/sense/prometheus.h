// One number out of an app's own metrics. Pure: a function of text.
//
// The format is Prometheus' text exposition format 0.0.4: lines of "NAME{LABELS} VALUE [TIMESTAMP]" and
// comments. A metric that has several rows (one for each queue, say) counts as their sum. The text is input
// from an app that may be wrong: nothing throws, and what is no number from 0 up is an error, never a zero.
#pragma once

#include <string_view>

#include "base/result.h"

namespace hs {

// The sum of the rows of `name`. An error says what is wrong, for people.
Result<double> FindMetric(std::string_view text, std::string_view name);

}  // namespace hs
