#include "runtime/sense/replica_sense.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/process/proc_tree.h"
#include "runtime/sense/parse.h"

namespace hs {
namespace {

constexpr Duration kWalkGapMin = 5s;
constexpr int kWalkShareOfTime = 10'000;

const std::uint64_t kPageBytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
const double kTicksPerSecond = static_cast<double>(::sysconf(_SC_CLK_TCK));

Duration ThreadCpuTime() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

KeptFile ProcessFile(pid_t pid, const char* name) { return KeptFile(fmt::format("/proc/{}/{}", pid, name)); }

// Files that this kernel or this mount does not have are not looked for each second.
KeptFile CgroupFile(const std::filesystem::path& cgroup, const char* name) {
  const auto path = cgroup / name;
  return ::access(path.c_str(), R_OK) == 0 ? KeptFile(path.string()) : KeptFile();
}

}  // namespace

void ReplicaSense::Begin(Tree& tree, const RunningReplica& replica) {
  tree = Tree{};
  tree.shim = replica.pids.shim;
  tree.cgroup = replica.cgroup;
  if (!replica.cgroup.empty()) {
    tree.cpu_stat = CgroupFile(replica.cgroup, "cpu.stat");
    tree.memory_current = CgroupFile(replica.cgroup, "memory.current");
    tree.memory_stat = CgroupFile(replica.cgroup, "memory.stat");
    tree.members = CgroupFile(replica.cgroup, "cgroup.procs");
  }
  if (!tree.cpu_stat.path().empty() && !tree.members.path().empty()) return;
  tree.cgroup.clear();
  for (const ProcessName& known : {replica.pids.shim, replica.pids.child})
    if (known) tree.processes.emplace(known.pid, Process{ProcessFile(known.pid, "stat"), known.start, true});
}

std::optional<ReplicaSense::Usage> ReplicaSense::FromCgroup(Tree& tree, ReadBuffer& buffer) {
  const auto cpu_text = tree.cpu_stat.Read(buffer);
  const auto cpu_us = cpu_text ? ParseKeyed(*cpu_text, "usage_usec") : std::nullopt;
  if (!cpu_us) return std::nullopt;
  Usage usage;
  usage.cpu_seconds = static_cast<double>(*cpu_us) / 1e6;
  const auto members_text = tree.members.Read(buffer);
  const auto members = members_text ? ParsePids(*members_text) : std::vector<pid_t>{};
  usage.processes = static_cast<std::uint32_t>(members.size());
  if (const auto text = tree.memory_current.Read(buffer)) {
    const auto charged = ParseNumber(*text).value_or(0);
    const auto stat = tree.memory_stat.Read(buffer);
    const auto idle_cache = stat ? ParseKeyed(*stat, "inactive_file").value_or(0) : 0;
    usage.memory_bytes = charged - std::min(charged, idle_cache);
    return usage;
  }
  for (auto& [pid, process] : tree.processes) process.seen = false;
  for (const pid_t pid : members) {
    auto [it, is_new] = tree.processes.try_emplace(pid);
    if (is_new) it->second.file = ProcessFile(pid, "statm");
    it->second.seen = true;
    const auto text = it->second.file.Read(buffer);
    usage.memory_bytes += (text ? ParseResidentPages(*text).value_or(0) : 0) * kPageBytes;
  }
  std::erase_if(tree.processes, [](const auto& item) { return !item.second.seen; });
  return usage;
}

// The kernel adds a process's time to its parent when that waits for it, so the sum over the tree keeps what
// ended processes used. Orphans come to the shim.
ReplicaSense::Usage ReplicaSense::FromProcesses(Tree& tree, double interval_s, ReadBuffer& buffer) {
  Usage usage;
  for (auto it = tree.processes.begin(); it != tree.processes.end();) {
    auto& [pid, process] = *it;
    const auto text = process.file.Read(buffer);
    const auto stat = text ? ParseProcessStat(*text) : std::nullopt;
    if (!stat || (process.start_ticks != 0 && stat->start_ticks != process.start_ticks)) {
      it = tree.processes.erase(it);
      continue;
    }
    process.start_ticks = stat->start_ticks;
    const double seconds = static_cast<double>(stat->own_ticks + stat->reaped_ticks) / kTicksPerSecond;
    usage.cpu_seconds += seconds;
    // Found only by the last walk: what it used before is no news of this interval.
    if (!process.seen) usage.found_seconds += std::max(0.0, seconds - interval_s);
    process.seen = true;
    if (pid != tree.shim.pid && stat->state != 'Z') {
      usage.memory_bytes += stat->resident_pages * kPageBytes;
      ++usage.processes;
    }
    ++it;
  }
  return usage;
}

void ReplicaSense::WalkIfDue(Time now, const std::vector<RunningReplica>& running, std::uint64_t forks) {
  std::vector<pid_t> shims;
  std::vector<Tree*> trees;
  for (const RunningReplica& replica : running) {
    Tree& tree = trees_[replica.id];
    if (!tree.cgroup.empty() || !tree.shim) continue;
    shims.push_back(tree.shim.pid);
    trees.push_back(&tree);
  }
  if (shims.empty() || now < next_walk_ || (forks != 0 && forks == walked_forks_)) return;
  walked_forks_ = forks;
  ++walks_;
  const Duration before = ThreadCpuTime();
  const auto found = DescendantsOfEach(shims);
  for (std::size_t i = 0; i < trees.size(); ++i) {
    for (const pid_t pid : found[i]) {
      auto [it, is_new] = trees[i]->processes.try_emplace(pid);
      if (is_new) it->second.file = ProcessFile(pid, "stat");
    }
  }
  next_walk_ = now + std::max(kWalkGapMin, (ThreadCpuTime() - before) * kWalkShareOfTime);
}

std::vector<ReplicaMeasure> ReplicaSense::Measure(Time now, const std::vector<RunningReplica>& running,
                                                  std::uint64_t forks, double cores, ReadBuffer& buffer) {
  std::erase_if(trees_, [&](const auto& item) {
    return !std::ranges::binary_search(running, item.first, {}, &RunningReplica::id);
  });
  for (const RunningReplica& replica : running) {
    Tree& tree = trees_[replica.id];
    if (tree.shim != replica.pids.shim) Begin(tree, replica);
  }
  WalkIfDue(now, running, forks);
  std::vector<ReplicaMeasure> measures;
  for (const RunningReplica& replica : running) {
    Tree& tree = trees_[replica.id];
    const double interval_s = tree.at < now ? ToSeconds(now - tree.at) : 0;
    std::optional<Usage> usage;
    if (!tree.cgroup.empty()) usage = FromCgroup(tree, buffer);
    if (tree.cgroup.empty()) usage = FromProcesses(tree, interval_s, buffer);
    if (!usage) continue;  // it is just ending
    ReplicaMeasure measure;
    measure.id = replica.id;
    measure.service = replica.service;
    measure.cpu_seconds_total = usage->cpu_seconds;
    measure.memory_bytes = usage->memory_bytes;
    measure.processes = usage->processes;
    measure.restarts = replica.restarts;
    measure.health_s = replica.health_s;
    if (interval_s > 0) {
      const double spent = usage->cpu_seconds - tree.cpu_seconds - usage->found_seconds;
      measure.used_cores = std::max(0.0, spent / interval_s);
      if (cores > 0) measure.used_cores = std::min(measure.used_cores, cores);
    }
    tree.at = now;
    tree.cpu_seconds = usage->cpu_seconds;
    measures.push_back(std::move(measure));
  }
  return measures;
}

}  // namespace hs
