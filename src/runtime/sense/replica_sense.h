// Measures replicas: CPU and memory of each one's whole tree of processes.
//
// Two ways. A replica in a cgroup is asked there: the kernel has counted for us, ended processes included.
// Otherwise its processes are found by walking /proc. A walk looks at every process of the box and costs as
// much as a hundred readings, so it is made only when something was forked since the last, at most every 5 s,
// and never for more than 1/10000 of the time; between walks the processes known are read. What a process
// does that was never seen is counted when its parent has waited for it, since the kernel adds it to the
// parent.
//
// Not here: which replicas there are (ProcessHost), and what to do about them.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/local_load.h"
#include "runtime/process/process_host.h"
#include "runtime/sense/kept_file.h"

namespace hs {

class ReplicaSense {
 public:
  // `running` sorted by id. `forks`: the box's count of forks; 0: not known. `cores`: of the box; 0: not
  // known.
  std::vector<ReplicaMeasure> Measure(Time now, const std::vector<RunningReplica>& running,
                                      std::uint64_t forks, double cores, ReadBuffer& buffer);

  std::uint64_t walks() const { return walks_; }  // through the whole of /proc, so far

 private:
  struct Process {
    KeptFile file;                  // /proc/PID/stat, or statm in a cgroup
    std::uint64_t start_ticks = 0;  // 0: not read yet; another one later: the number was given away again
    bool seen = false;              // in the last list of the cgroup's members
  };
  // What is kept of a replica between two measurements.
  struct Tree {
    ProcessName shim;  // another one: started again, all counts begin anew
    std::filesystem::path cgroup;
    Time at = kNever;  // of the last measurement; kNever: none
    double cpu_seconds = 0;
    KeptFile cpu_stat, memory_current, memory_stat, members;
    std::map<pid_t, Process> processes;
  };
  struct Usage {
    double cpu_seconds = 0;    // of the tree, since it began
    double found_seconds = 0;  // of these, spent before this interval by processes that were found only now
    std::uint64_t memory_bytes = 0;
    std::uint32_t processes = 0;
  };

  void Begin(Tree& tree, const RunningReplica& replica);
  std::optional<Usage> FromCgroup(Tree& tree, ReadBuffer& buffer);
  Usage FromProcesses(Tree& tree, double interval_s, ReadBuffer& buffer);
  void WalkIfDue(Time now, const std::vector<RunningReplica>& running, std::uint64_t forks);

  std::map<ReplicaId, Tree> trees_;
  Time next_walk_{};
  std::uint64_t walked_forks_ = 0;
  std::uint64_t walks_ = 0;
};

}  // namespace hs
