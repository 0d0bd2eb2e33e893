#include "runtime/process/preparation.h"

#include <errno.h>
#include <fmt/format.h>
#include <string.h>

#include <exception>

namespace hs {

Prepared PrepareOnDisk(const ReplicaDir& dir, const StartReplica& order, const std::string& encoded,
                       const UnpackBundle& unpack) {
  Prepared prepared;
  const Result<RunAs> run_as = ResolveUser(order.spec->user);
  if (!run_as) return {run_as.error().message, {}, {}};
  prepared.run_as = *run_as;
  try {
    const Result<void> done =
        dir.Prepare(encoded, order.restarts, order.spec->bundle, unpack, run_as->uid, run_as->gid);
    if (!done) return {done.error().message, {}, {}};
  } catch (const std::exception& error) {
    return {fmt::format("{}: {}", dir.path().string(), error.what()), {}, {}};
  }
  prepared.lock = Fd(dir.TakeLock());
  if (!prepared.lock) {
    prepared.error = errno == EWOULDBLOCK ? "it still runs: its lock is held"
                                          : fmt::format("{}/lock: {}", dir.path().string(), strerror(errno));
  }
  return prepared;
}

}  // namespace hs
