// `homeostat sim --compose FILE --trace CSV`: the user's own services against a load, in virtual time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hs {

struct RehearseWords {
  std::string compose;
  std::string trace;
  std::string service;               // empty: the only one with x-scale, or the only one with a route
  std::vector<std::string> kills;    // n2@10m or n2@600s
  std::vector<std::string> returns;  // the same
  std::string csv;                   // empty: no file
  std::string start_up = "2s";
  double per_replica = 100;
  double scale_peak = 0;  // 0: the trace as it is
  std::size_t nodes = 3;
  std::uint64_t seed = 1;
  bool fill_gaps = false;
};

// Prints the table; the exit code.
int Rehearse(const RehearseWords& words);

}  // namespace hs
