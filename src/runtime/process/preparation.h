// What happens on the disk, by its own thread, before a replica can be started.
#pragma once

#include <string>

#include "core/node/contract.h"
#include "runtime/process/replica_dir.h"
#include "runtime/process/spawn.h"

namespace hs {

struct Prepared {
  std::string error;  // not empty: it cannot be started
  RunAs run_as;
  Fd lock;
};

// Makes the replica's directory with its bundle and takes its lock. `encoded`: its spec, as a later agent
// reads it.
Prepared PrepareOnDisk(const ReplicaDir& dir, const StartReplica& order, const std::string& encoded,
                       const UnpackBundle& unpack);

}  // namespace hs
