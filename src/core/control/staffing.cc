#include "core/control/staffing.h"

#include <algorithm>
#include <cmath>

namespace hs {
namespace {

// Erlang B by its recursion (Jagerman 1974), stable for any size.
double ErlangB(int servers, double load) {
  double blocked = 1;
  for (int n = 1; n <= servers; ++n) blocked = load * blocked / (n + load * blocked);
  return blocked;
}

double ErlangCWhole(int servers, double load) {
  if (load >= servers) return 1;
  const double blocked = ErlangB(servers, load);
  const double use = load / servers;
  return blocked / (1 - use * (1 - blocked));
}

}  // namespace

double ErlangC(double servers, double load) {
  if (load <= 0) return 0;
  if (load >= servers) return 1;
  const int below = static_cast<int>(std::floor(servers));
  const double part = servers - below;
  const double low = below == 0 ? 1 : ErlangCWhole(below, load);
  return part == 0 ? low : (1 - part) * low + part * ErlangCWhole(below + 1, load);
}

double QueueMargin(double load, double patience, double variability) {
  if (load <= 0) return 0;
  double margin = 0.1;
  // The chance to wait depends on the margin and the margin on it; it falls fast, so a few rounds settle it.
  for (int round = 0; round < 6; ++round) {
    const double wait = ErlangC(load + margin, load);
    margin = std::max(0.0, std::log(100 * wait)) * variability / (2 * patience);
    margin = std::max(margin, 0.01);
  }
  return margin;
}

}  // namespace hs
