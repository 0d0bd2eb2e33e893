// What a node of another region knows of its replicas, on its way into a view.
#pragma once

#include <string>
#include <string_view>

#include "core/node/view.h"

namespace hs {

// Reports and slices of the view, as nodes tell them to each other.
std::string EncodeReports(const NodeView& view);
// Adds those that the view does not have. False: these are no such bytes, and nothing was added.
bool JoinReports(NodeView& view, std::string_view bytes);

}  // namespace hs
