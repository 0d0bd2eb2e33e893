// The verbs that are no client of a node: `up` runs one, `sim` simulates many.
#pragma once

namespace CLI {
class App;
}

namespace hs {

void AddUpVerb(CLI::App& app, int& exit_code);
void AddSimVerb(CLI::App& app, int& exit_code);

}  // namespace hs
