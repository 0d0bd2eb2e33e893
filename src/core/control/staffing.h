// How many replicas a load needs: the queueing part, as formulas.
#pragma once

namespace hs {

// Probability that a request must wait when `servers` serve `load` servers' worth of work (Erlang C, the
// exact M/M/n value). 1 when load >= servers. Fractions of servers are allowed (interpolated).
double ErlangC(double servers, double load);

// Replicas above the load itself that keep the 99th percentile of the waiting time within `patience`, given
// in mean service times. Kingman's heavy-traffic bound: a wait beyond t has the probability
//   C exp(-2 (n - R) t / (S (ca2 + cs2)))
// so the margin n - R is ln(100 C) S (ca2 + cs2) / (2 t): it does not grow with the load, which is why large
// services run closer to their capacity than small ones. `variability` is ca2 + cs2, the squared
// coefficients of variation of the gaps between arrivals (1: Poisson) and of the service times.
double QueueMargin(double load, double patience, double variability);

}  // namespace hs
