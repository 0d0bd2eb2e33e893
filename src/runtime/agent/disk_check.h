// What can be found out about the disk of the data directory: its room, whether it takes a write, and what
// the words of a failure say of it. core/leadership/disk_gauge.h judges.
#pragma once

#include <string>
#include <string_view>

#include "core/node/contract.h"

namespace hs {

// Room and mount, by two system calls; nothing is written.
DiskChecked LookAtDisk(const std::string& directory);
// The same, and writes, syncs and removes a small file there. May take as long as the disk likes: not for the
// loop.
DiskChecked TestDisk(const std::string& directory);

DiskFault FaultOf(int error);
// Failures of SQLite, of the bundle helper and of starts come as text. kNone: it speaks of nothing of the
// kind.
DiskFault FaultIn(std::string_view words);

}  // namespace hs
