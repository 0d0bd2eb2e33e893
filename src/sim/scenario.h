// A scenario: a text that says what happens to a simulated cluster, and the transcript of what it did.
//
// One command a line, # for comments. Times are written 250ms, 5s, 2min, 1h; boxes are n0, n1, ...
//
//   boxes 5 [zones a b c]      seed 7                      latency 100us 1ms
//   start all|nI...            run 5s                      converge 30s
//   deploy STACK S=N[!] ...    scale S=N                   remove STACK        drain nI    undrain nI
//   kill-agent nI...           kill-box nI...              power-off nI...     power-on nI...
//   pause nI...                resume nI...                wipe nI             renumber nI...      exit S
//   cut nI nJ                  partition nI... | nJ...     mend                skew nI 1h  loss 0.1
//   show members|replicas|links|status [nI]
//
// `S=N!` deploys a version that never gets healthy. A box that was powered on has its agent started too. One
// that was renumbered starts at another address, and has to find the others by itself.
// The transcript repeats each command and, below it, what the nodes said about it: events are gathered per
// (kind, subject), with the time of the first, how many nodes said it, and the first one's cause.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace hs::sim {

struct ScenarioResult {
  std::string transcript;
  bool passed = false;  // every `converge` held and no invariant was violated
};

// Errors name the line.
Result<ScenarioResult> RunScenario(std::string_view text);

}  // namespace hs::sim
