// What the documents, taken together, ask for: pure functions over them.
//
// A stack's present revision is its live one with the greatest stamp; older ones stay for going back and so
// that replicas of the old version can still be described. Nothing here changes a document: functions ending
// in Writes return what a client would write.
#pragma once

#include <map>
#include <ranges>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/intent/keys.h"
#include "core/types.h"

namespace hs {

using Documents = std::map<std::string, Document>;
using Writes = std::vector<std::pair<std::string, DocumentBody>>;

// Those whose keys begin with `prefix`, in the order of their keys.
std::ranges::subrange<Documents::const_iterator> DocumentsUnder(const Documents& documents,
                                                                std::string_view prefix);

// Sorted by name. A service name that two stacks claim (deployed on both sides of a cut) stays with the older
// stack: the one whose first known revision has the smaller stamp. So running work is never taken over by a
// newcomer.
std::vector<DesiredService> DesiredServices(const Documents& documents);

struct Asked {
  std::vector<DesiredService> services;  // DesiredServices()
  // All that live revisions describe. Where several are the same version (what the hash leaves out differs),
  // as the newest has it.
  std::map<SpecHash, ServiceSpec> specs;
};
Asked WhatIsAsked(const Documents& documents);

// The new revision, numbered one above all known of its stack, and tombstones for what is then older than the
// newest `revisions_kept` live ones. Versions of `running` stay described, however many bad ones came after:
// a lost replica of theirs is replaced by its like.
Writes DeployWrites(const Documents& documents, const StackSpec& stack, std::int64_t revisions_kept,
                    const std::set<SpecHash>& running = {});

// Tombstones for every live revision and for the scale overrides of services the stack alone provides.
// Empty when there is no such stack.
Writes RemoveStackWrites(const Documents& documents, std::string_view stack);

// Everything about this stack that cannot stand beside what is deployed: invalid names, a service, published
// port or route that two services claim. All complaints in one message, one a line.
Result<void> CheckDeploy(const Documents& documents, const StackSpec& stack);

}  // namespace hs
