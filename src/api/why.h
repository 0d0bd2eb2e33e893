// Why is X as it is? The true cause of the present state in one sentence, then what a person could do.
//
// Works from the ledger of any surviving node: member states, plans, replica reports, shortages and events.
// The present state decides the cause; events only date it and lend the deciding node's own words. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/node/view.h"

namespace hs {

struct Why {
  std::string subject;  // as tables name it
  std::string cause;    // one sentence
  std::vector<std::string> advice;
  std::vector<Event> events;  // newest first
};

// Of a service, replica, node, stack, or "cluster". Fails when nothing has this name.
Result<Why> Explain(const NodeView& view, std::string_view subject);

}  // namespace hs
