// Is the work spread as evenly as it could be? A judge of rebalancing, by counting what runs.
#pragma once

#include <string>
#include <vector>

#include "core/node/view.h"
#include "sim/world.h"

namespace hs::sim {

// Of each service that nothing ties to places (constraints, reservations, x-move, a shortage, a move that
// failed): zones within one replica of each other, and so are the boxes of one zone. Where there are no
// zones, boxes are also within one over all services. Boxes that are drained, or in quarantine as the
// controller sees it, take nothing and do not count. What is not so, in words.
std::vector<std::string> Uneven(const World& world, const NodeView& view);

}  // namespace hs::sim
