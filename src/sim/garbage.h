// Any initial state: what could lie about on boxes that come back from wherever they were, all of it at once.
//
// Before the agents start: processes that nobody asked for, of unknown and of old versions, one id on two
// boxes; half-written data directories (some documents missing, others old, deletions some have and others
// not), peers at addresses of other boxes, counters that went back, bundles gone, marks of regions and roles
// that were another life's. Once they run: plans by controllers that are none, which contradict each other
// and what runs.
#pragma once

#include "base/prng.h"
#include "sim/world.h"

namespace hs::sim {

// Before any agent is started.
void ScatterGarbage(World& world, Prng& prng);
// To agents that run: the words of governments that are gone.
void TellStalePlans(World& world, Prng& prng);

}  // namespace hs::sim
