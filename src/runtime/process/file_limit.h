// How many files the agent may have open, and what its replicas get.
//
// Every connection is an open file. The usual soft limit (1024) is low for the sake of programs that put
// descriptors into select()'s sets, which the agent does not; all that its own limits let in at once is more.
#pragma once

#include <cstdint>

namespace hs {

// Raises this process's soft limit to the hard one, to 65536 at the most. Returns the soft limit it had: what
// the user gave, and so what replicas are to have. 0: unknown, nothing was raised.
std::uint64_t RaiseFileLimit();

}  // namespace hs
