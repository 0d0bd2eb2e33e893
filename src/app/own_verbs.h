// The verbs that are no client of a node: `up` runs one, `sim` simulates many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace CLI {
class App;
}

namespace hs {

void AddUpVerb(CLI::App& app, int& exit_code);
void AddSimVerb(CLI::App& app, int& exit_code);

// `sim --scale`: what membership costs with so many nodes, one row each. The exit code.
int RunScaleTable(const std::vector<std::size_t>& sizes, std::uint64_t seed, bool verbose);

}  // namespace hs
