// How many boxes the cluster should have: for `homeostat size`.
//
// Boxes are taken largest first, since a question of "how few" wants the large ones; where more are asked for
// than there are, further boxes like the middle one of those that exist are thought of. Packing is first-fit
// decreasing, which needs at most 11/9 of the fewest boxes plus one (Johnson 1973), so a figure may be one
// too careful and is never too small.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/control/share_out.h"

namespace hs {

struct NamedBox {
  std::string name;
  BoxRoom room;
};

struct Sizes {
  // Boxes that hold every minimum after any one of them is lost; 0 when no number does (a replica is larger
  // than any box).
  std::int64_t minimum = 0;
  // Boxes that hold what is wanted now.
  std::int64_t demand = 0;
  // Boxes that hold every service at its maximum: more would be idle.
  std::int64_t maximum = 0;
  // Boxes to add for what is wanted now and for surviving a loss; 0 or more.
  std::int64_t short_by = 0;
  // Boxes that could be unplugged together, smallest first: without them what is wanted now still fits and
  // the minimums still survive one more loss.
  std::vector<std::string> unplug;
};

// Further boxes thought of at most: beyond, the answer is 0 (no number does).
inline constexpr std::int64_t kBoxesMax = 5000;

Sizes ComputeSizes(const std::vector<ShareRequest>& requests, std::vector<NamedBox> boxes);

}  // namespace hs
