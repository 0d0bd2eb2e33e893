// One replica's directory, DATA/replicas/<16 hex of its id>/:
//
//   spec      what it runs, as the caller encodes it; durable before the first start
//   restarts  how often it was started again
//   address   ip:port it was given; kept over restarts as long as the port is free
//   cgroup    path of its cgroup, if it has one
//   lock      flocked by its shim for as long as that lives
//   pid, exit, out.log, out.log.1, out.log.2   written by the shim (src/app/shim/main.c)
//   work/     its working directory: made, with the bundle's content, at the first start and kept until it is
//   forgotten
//
// After that, the output moves to DATA/ended/<id>/, where the newest few stay. Files here are blocking: calls
// that sync or unpack belong on a thread for disks. What does not parse is an error or "nothing", never a
// crash.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/endpoint.h"
#include "base/result.h"
#include "core/types.h"
#include "runtime/process/proc_tree.h"

namespace hs {

inline constexpr std::size_t kEndedKept = 32;

// How a replica ended, as the shim wrote it.
struct ReplicaEnd {
  int exit_code = 0;
  int term_signal = 0;
  std::string start_error;  // not empty: the program was never run
};

struct ShimPids {
  ProcessName child;
  ProcessName shim;
};

using UnpackBundle = std::function<Result<void>(const Digest&, const std::filesystem::path& into)>;

class ReplicaDir {
 public:
  ReplicaDir(const std::filesystem::path& data_dir, ReplicaId id);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path ended_path() const;
  std::filesystem::path work() const { return path_ / "work"; }

  // Everything a start needs, durable: directory, spec, work/. `owner` other than -1 gets work/ and what is
  // in it.
  Result<void> Prepare(const std::string& encoded_spec, std::uint32_t restarts, const Digest& bundle,
                       const UnpackBundle& unpack, uid_t owner, gid_t group) const;

  Result<std::string> ReadSpec() const;
  std::uint32_t ReadRestarts() const;
  std::optional<Endpoint> ReadAddress() const;
  std::filesystem::path ReadCgroup() const;
  std::optional<ShimPids> ReadPids() const;
  std::optional<ReplicaEnd> ReadEnd() const;
  WallMs StartedMs() const;  // 0: never
  // Not synced: they matter only as long as the process lives, which no loss of power survives.
  void WriteAddress(const Endpoint& address) const;
  void WriteCgroup(const std::filesystem::path& group) const;

  // An open descriptor that holds the flock, or -1 when someone else holds it (the shim lives) or with errno
  // set.
  int TakeLock() const;

  // Moves the output to ended/, removes the rest, and prunes ended/ to the newest kEndedKept.
  void Retire() const;

 private:
  std::filesystem::path data_;
  std::string name_;
  std::filesystem::path path_;
};

// Whole file; error when it cannot be read or is larger than max_bytes.
Result<std::string> ReadFile(const std::filesystem::path& path, std::size_t max_bytes = 1 << 20);
// Replaces the file in one step; with `sync` it and its name are on disk before this returns.
Result<void> WriteFile(const std::filesystem::path& path, const std::string& bytes, bool sync);

}  // namespace hs
