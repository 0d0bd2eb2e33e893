#include "runtime/process/process_host.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <charconv>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "runtime/process/cgroup.h"
#include "runtime/process/environment.h"
#include "runtime/process/ports.h"
#include "runtime/process/preparation.h"
#include "runtime/process/prober.h"
#include "runtime/process/spawn.h"

namespace hs {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::system::error_code;
using Pipe = asio::posix::stream_descriptor;

constexpr std::chrono::seconds kReachableWait{5};

struct Entry {
  explicit Entry(ReplicaDir the_dir) : dir(std::move(the_dir)) {}

  ReplicaDir dir;
  ServiceSpec spec;
  Endpoint address;
  RunAs run_as;
  fs::path cgroup;
  ShimPids pids;
  std::uint32_t restarts = 0;
  std::optional<double> health_s;                          // of the last good probe of this run
  std::chrono::steady_clock::time_point may_wait_until{};  // with its first good probe, see `reachable`
  bool busy = false;                                       // being prepared, or its shim lives
  bool started = false;  // ReplicaStarted was told, now or by an earlier agent
  bool forget = false;
  std::unique_ptr<Pipe> shim_end;  // the shim's pidfd
  std::unique_ptr<Pipe> status;    // what the shim says of the start
  std::array<char, 512> status_chunk{};
  std::string status_text;
};

std::string WorkingDirOf(const ServiceSpec& spec) {
  if (spec.working_dir.empty()) return "work";
  return spec.working_dir.starts_with('/') ? spec.working_dir : "work/" + spec.working_dir;
}

}  // namespace

class ProcessHost::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, ProcessHostOptions options, std::function<void(Input)> report)
      : io_(io),
        options_(std::move(options)),
        report_(std::move(report)),
        cgroups_(options_.node, options_.use_cgroups),
        ports_(options_.node) {
    options_.data_dir = fs::absolute(options_.data_dir);
    options_.shim = fs::absolute(options_.shim);
  }

  // Handlers that are still queued find the host gone and do nothing; processes run on.
  void Shutdown() {
    closed_ = true;
    entries_.clear();
    disk_.join();
  }

  // ------------------------------------------------------------------------------------------------ finding

  std::vector<AdoptedReplica> Scan(std::vector<std::string>* problems) {
    std::vector<AdoptedReplica> found;
    std::error_code error;
    for (fs::directory_iterator it(options_.data_dir / "replicas", error), end; !error && it != end;
         it.increment(error)) {
      const std::string name = it->path().filename();
      std::uint64_t number = 0;
      const auto [last, bad] = std::from_chars(name.data(), name.data() + name.size(), number, 16);
      const bool is_id =
          name.size() == 16 && bad == std::errc() && last == name.data() + name.size() && number != 0;
      std::string problem = is_id ? Adopt(ReplicaId{number}, found) : "not the directory of a replica";
      if (!problem.empty() && problems != nullptr) problems->push_back(it->path().string() + ": " + problem);
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return found;
  }

  // ------------------------------------------------------------------------------------------------ orders

  void Start(const StartReplica& order) {
    auto& entry = entries_.try_emplace(order.id, nullptr).first->second;
    if (entry == nullptr) entry = std::make_unique<Entry>(ReplicaDir(options_.data_dir, order.id));
    if (entry->busy || order.spec->command.empty()) {
      const char* why = entry->busy ? "it already runs here" : "the service has no command";
      return Report(ReplicaStartFailed{order.id, why});
    }
    entry->busy = true;
    entry->started = false;
    entry->spec = *order.spec;
    entry->restarts = order.restarts;
    entry->health_s.reset();
    asio::post(disk_, [self = weak_from_this(), &io = io_, dir = entry->dir, order, unpack = options_.unpack,
                       encoded = options_.encode_spec(*order.spec)] {
      auto prepared = std::make_shared<Prepared>(PrepareOnDisk(dir, order, encoded, unpack));
      asio::post(io, [self, id = order.id, prepared] {
        if (const auto host = self.lock()) host->Launch(id, *prepared);
      });
    });
  }

  void Signal(const SignalReplica& order) {
    const Entry* entry = Find(order.id);
    if (entry == nullptr || !entry->started || !IsAlive(entry->pids.child)) return;
    const int number = SignalNumber(order.signal);
    kill(-entry->pids.child.pid, number != 0 ? number : SIGTERM);
  }

  void Kill(ReplicaId id) {
    const Entry* entry = Find(id);
    if (entry == nullptr || !IsAlive(entry->pids.shim)) return;
    if (CgroupTree::Kill(entry->cgroup)) return;
    KillDescendants(entry->pids.shim.pid, IsAlive(entry->pids.child) ? entry->pids.child.pid : 0);
  }

  void Forget(ReplicaId id) {
    Entry* entry = Find(id);
    if (entry == nullptr) return;
    if (entry->busy) {
      entry->forget = true;
      Kill(id);
      return;
    }
    CgroupTree::Remove(entry->cgroup);
    asio::post(disk_, [dir = entry->dir] { dir.Retire(); });
    entries_.erase(id);
  }

  // Not by its cgroup, as others are killed: on the same box the replica of which it is a copy is in that
  // too.
  void Abandon() {
    closed_ = true;
    disk_.join();
    for (const auto& [id, entry] : entries_) {
      if (IsAlive(entry->pids.shim)) {
        KillDescendants(entry->pids.shim.pid, IsAlive(entry->pids.child) ? entry->pids.child.pid : 0);
        kill(entry->pids.shim.pid, SIGKILL);
      }
      entry->dir.Retire();
    }
    entries_.clear();
  }

  void Probe(const ProbeReplica& order) {
    const ProbeDone done = [self = weak_from_this(),
                            asked = std::chrono::steady_clock::now()](ProbeResult result) {
      const auto host = self.lock();
      if (!host || host->closed_) return;
      Entry* probed = result.healthy ? host->Find(result.id) : nullptr;
      const auto now = std::chrono::steady_clock::now();
      if (probed != nullptr && !probed->health_s && now < probed->may_wait_until &&
          !host->options_.reachable(probed->spec.name)) {
        result.healthy = false;
        result.detail = "it is well, but the box's inbound listener does not serve it yet";
        probed = nullptr;
      }
      if (probed != nullptr && probed->started)
        probed->health_s = std::chrono::duration<double>(now - asked).count();
      host->report_(Input(std::move(result)));
    };
    const Entry* entry = Find(order.id);
    if (entry == nullptr || !entry->busy) {
      return Report(ProbeResult{order.id, order.probe, false, "it does not run here", {}});
    }
    if (order.check.kind != HealthKind::kCommand) return ProbeNetwork(io_, order, done);
    const ReplicaFacts facts = FactsOf(order.id, *entry);
    std::string dir = WorkingDirOf(entry->spec);
    if (!dir.starts_with('/')) dir = entry->dir.path() / dir;
    std::vector<std::string> argv{options_.shim, "--run", dir, entry->run_as.words, CgroupProcs(*entry)};
    for (std::string& word : CommandOf(order.check.command, entry->spec, facts))
      argv.push_back(std::move(word));
    ProbeCommand(io_, order, std::move(argv), ShimEnvironment(entry->spec, facts), done);
  }

  std::vector<RunningReplica> Running() const {
    std::vector<RunningReplica> running;
    for (const auto& [id, entry] : entries_) {
      if (!entry->started) continue;
      running.push_back({id, entry->spec.name, entry->cgroup, entry->pids, entry->restarts, entry->health_s});
    }
    return running;
  }

  void SetDoorUrl(std::string url) { options_.door_url = std::move(url); }
  std::string Containment() const { return cgroups_.Describe(); }
  std::string WeakContainment() const { return cgroups_.Works() ? "" : cgroups_.Describe(); }

  fs::path LogDir(ReplicaId id) const {
    const ReplicaDir dir(options_.data_dir, id);
    std::error_code error;
    return fs::exists(dir.path(), error) ? dir.path() : dir.ended_path();
  }

 private:
  Entry* Find(ReplicaId id) {
    const auto it = entries_.find(id);
    return it == entries_.end() ? nullptr : it->second.get();
  }

  void Report(Input input) {
    asio::post(io_, [self = weak_from_this(), input = std::move(input)]() mutable {
      if (const auto host = self.lock(); host && !host->closed_) host->report_(std::move(input));
    });
  }

  ReplicaFacts FactsOf(ReplicaId id, const Entry& entry) const {
    return {id, entry.address, options_.door_url, options_.node_name};
  }

  std::vector<std::string> ShimEnvironment(const ServiceSpec& spec, const ReplicaFacts& facts) const {
    std::vector<std::string> environment = EnvironmentOf(spec, facts);
    if (options_.open_files > 0)  // first: it goes before what the service may call so
      environment.insert(environment.begin(), fmt::format("HOMEOSTAT_FILES={}", options_.open_files));
    return environment;
  }

  static std::string CgroupProcs(const Entry& entry) {
    return entry.cgroup.empty() ? "-" : (entry.cgroup / "cgroup.procs").string();
  }

  // Reads one directory; returns what is wrong with it, if anything.
  std::string Adopt(ReplicaId id, std::vector<AdoptedReplica>& found) {
    auto entry = std::make_unique<Entry>(ReplicaDir(options_.data_dir, id));
    const ReplicaDir& dir = entry->dir;
    const Result<std::string> encoded = dir.ReadSpec();
    if (!encoded) return "left alone: " + encoded.error().message;
    Result<ServiceSpec> spec = options_.decode_spec(*encoded);
    if (!spec) return "left alone: its spec does not parse: " + spec.error().message;
    entry->spec = *spec;
    entry->address = dir.ReadAddress().value_or(Endpoint{});
    entry->cgroup = dir.ReadCgroup();
    entry->run_as = ResolveUser(spec->user).value_or(RunAs{});
    AdoptedReplica adopted{
        .id = id, .spec = *spec, .address = entry->address, .restarts = dir.ReadRestarts()};
    adopted.started_ms = dir.StartedMs();
    entry->restarts = adopted.restarts;
    entry->busy = IsLocked(dir) && WatchAdopted(id, *entry);
    entry->started = entry->busy;
    adopted.alive = entry->busy;
    if (adopted.alive) {
      adopted.pid = static_cast<std::uint32_t>(entry->pids.child.pid);
    } else {
      const ReplicaEnd end = EndOf(id, *entry);
      adopted.exit_code = end.start_error.empty() ? end.exit_code : 127;
      adopted.term_signal = end.term_signal;
      CgroupTree::Remove(entry->cgroup);
    }
    entries_[id] = std::move(entry);
    found.push_back(std::move(adopted));
    return "";
  }

  static bool IsLocked(const ReplicaDir& dir) {
    const Fd lock(dir.TakeLock());
    return !lock && errno == EWOULDBLOCK;
  }

  // The lock is held, so a shim lives; if the last agent died while it was starting, its papers may be a
  // moment away.
  bool WatchAdopted(ReplicaId id, Entry& entry) {
    for (int tries = 0; tries < 100 && IsLocked(entry.dir); ++tries) {
      const std::optional<ShimPids> pids = entry.dir.ReadPids();
      if (pids && IsAlive(pids->shim)) {
        entry.pids = *pids;
        if (Watch(id, entry)) return true;
      }
      std::this_thread::sleep_for(5ms);
    }
    // It never got as far as running anything that is known, or cannot be watched: end it, so that nothing
    // runs unseen.
    if (const pid_t shim = FindByArgument(entry.dir.path()); shim > 1) {
      KillDescendants(shim, 0);
      kill(shim, SIGKILL);
    }
    return false;
  }

  // Its end will be noticed. False, with errno set, when it has already gone or descriptors are short.
  bool Watch(ReplicaId id, Entry& entry) {
    const int fd = OpenPidfd(entry.pids.shim.pid);
    if (fd < 0) return false;
    entry.shim_end = std::make_unique<Pipe>(io_, fd);
    const std::uint64_t start = StartTimeOf(entry.pids.shim.pid);
    if (start == 0 || start != entry.pids.shim.start) return false;
    AwaitEnd(id, entry);
    return true;
  }

  // ------------------------------------------------------------------------------------------------ starting

  void Launch(ReplicaId id, Prepared& prepared) {
    Entry* entry = Find(id);
    if (entry == nullptr) return;
    if (entry->forget) return NotStarted(id, *entry, "it was to be forgotten");
    if (!prepared.error.empty()) return NotStarted(id, *entry, prepared.error);
    entry->run_as = prepared.run_as;
    if (!GiveAddress(*entry)) return NotStarted(id, *entry, "every port of this node's range is in use");
    entry->cgroup = cgroups_.Make(id);
    entry->dir.WriteCgroup(entry->cgroup);

    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return NotStarted(id, *entry, fmt::format("pipe: {}", strerror(errno)));
    Fd reading(ends[0]);
    Fd writing(ends[1]);
    const ReplicaFacts facts = FactsOf(id, *entry);
    SpawnRequest request;
    request.argv = {options_.shim, entry->dir.path(), WorkingDirOf(entry->spec), entry->run_as.words,
                    CgroupProcs(*entry)};
    for (std::string& word : CommandOf(entry->spec.command, entry->spec, facts))
      request.argv.push_back(std::move(word));
    request.environment = ShimEnvironment(entry->spec, facts);
    request.fd3 = writing.get();
    request.fd4 = prepared.lock.get();
    request.leads_session = true;
    const Result<pid_t> shim = SpawnProgram(request);
    if (!shim) return NotStarted(id, *entry, shim.error().message);
    // The shim's by now. What ends it below needs descriptors too.
    writing = {};
    prepared.lock = {};
    entry->pids = {{}, {*shim, StartTimeOf(*shim)}};
    entry->status_text.clear();
    if (!Watch(id, *entry)) {
      entry->status_text = fmt::format("exec its shim cannot be watched: {}", strerror(errno));
      kill(*shim, SIGKILL);
      waitpid(*shim, nullptr, 0);
      return ShimEnded(id);
    }
    entry->status = std::make_unique<Pipe>(io_, reading.Release());
    ReadStatus(id, *entry);
  }

  bool GiveAddress(Entry& entry) {
    const IpAddress host = IsBindable(options_.advertised) && !options_.advertised.IsUnspecified()
                               ? options_.advertised
                               : IpAddress::V4(127, 0, 0, 1);
    std::set<std::uint16_t> taken;
    for (const auto& [id, other] : entries_) {
      if (other.get() != &entry) taken.insert(other->address.port);
    }
    entry.address = {host, ports_.Take(host, entry.address.port, taken)};
    entry.dir.WriteAddress(entry.address);
    return entry.address.port != 0;
  }

  void ReadStatus(ReplicaId id, Entry& entry) {
    entry.status->async_read_some(asio::buffer(entry.status_chunk),
                                  [self = weak_from_this(), id](error_code error, std::size_t got) {
                                    if (error == asio::error::operation_aborted) return;
                                    const auto host = self.lock();
                                    Entry* found = host ? host->Find(id) : nullptr;
                                    if (found == nullptr || found->status == nullptr) return;
                                    found->status_text.append(found->status_chunk.data(), got);
                                    if (!error) return host->ReadStatus(id, *found);
                                    host->StatusComplete(id, *found);
                                  });
  }

  void StatusComplete(ReplicaId id, Entry& entry) {
    entry.status.reset();
    if (!entry.status_text.starts_with("pid ")) return;  // the shim's end tells the rest
    if (const std::optional<ShimPids> pids = entry.dir.ReadPids()) {
      entry.pids.child = pids->child;
    } else {  // the disk is full: the number was told, but is not written anywhere
      entry.pids.child.pid = static_cast<pid_t>(std::strtol(entry.status_text.c_str() + 4, nullptr, 10));
      entry.pids.child.start = StartTimeOf(entry.pids.child.pid);
    }
    entry.started = true;
    entry.may_wait_until = std::chrono::steady_clock::now() + kReachableWait;
    report_(ReplicaStarted{id, static_cast<std::uint32_t>(entry.pids.child.pid), entry.address});
  }

  void NotStarted(ReplicaId id, Entry& entry, const std::string& why) {
    entry.busy = false;
    report_(ReplicaStartFailed{id, why});
    if (Entry* left = Find(id); left != nullptr && left->forget) Forget(id);
  }

  // ------------------------------------------------------------------------------------------------ ending

  void AwaitEnd(ReplicaId id, Entry& entry) {
    entry.shim_end->async_wait(Pipe::wait_read, [self = weak_from_this(), id](error_code error) {
      const auto host = error ? nullptr : self.lock();
      Entry* found = host ? host->Find(id) : nullptr;
      if (found == nullptr || found->shim_end == nullptr) return;
      if (!HasEnded(found->shim_end->native_handle())) return host->AwaitEnd(id, *found);
      host->ShimEnded(id);
    });
  }

  void ShimEnded(ReplicaId id) {
    Entry* entry = Find(id);
    if (entry == nullptr) return;
    waitpid(entry->pids.shim.pid, nullptr, WNOHANG);  // not our child when an earlier agent started it
    entry->shim_end.reset();
    if (entry->status != nullptr) {  // it said something and ended at once
      ssize_t got;
      while ((got = read(entry->status->native_handle(), entry->status_chunk.data(),
                         entry->status_chunk.size())) > 0) {
        entry->status_text.append(entry->status_chunk.data(), static_cast<std::size_t>(got));
      }
      StatusComplete(id, *entry);
      if ((entry = Find(id)) == nullptr) return;
    }
    const ReplicaEnd end = EndOf(id, *entry);
    const bool was_started = entry->started;
    CgroupTree::Remove(entry->cgroup);
    entry->pids = {};
    entry->started = false;
    if (!was_started) {
      const std::string told =
          entry->status_text.starts_with("exec ") ? entry->status_text.substr(5) : end.start_error;
      return NotStarted(id, *entry, told.empty() ? "its shim ended before it could start it" : told);
    }
    entry->busy = false;
    report_(ReplicaExited{id, end.exit_code, end.term_signal});
    if (Entry* left = Find(id); left != nullptr && left->forget) Forget(id);
  }

  // What the shim wrote down. If it wrote nothing it was killed itself: then so is what it held.
  static ReplicaEnd EndOf(ReplicaId id, const Entry& entry) {
    if (const std::optional<ReplicaEnd> end = entry.dir.ReadEnd()) return *end;
    const ShimPids pids = entry.pids.shim ? entry.pids : entry.dir.ReadPids().value_or(ShimPids{});
    // It lives and holds the lock of another directory, of which this is a copy: what runs is not ours.
    if (pids.shim && IsAlive(pids.shim)) return {.term_signal = SIGKILL};
    CgroupTree::Kill(entry.cgroup);
    // A session's number is not given away while it has members; a fresh process that has it was started
    // later.
    if (!pids.shim || IsAlive({pids.shim.pid, StartTimeOf(pids.shim.pid)})) return {.term_signal = SIGKILL};
    // A number that was only read may be from before a reboot, or of a container's earlier run, and a
    // stranger's by now.
    if (entry.pids.shim || SessionHas(pids.shim.pid, ReplicaVariable(entry.spec, id)))
      KillSession(pids.shim.pid);
    return {.term_signal = SIGKILL};
  }

  asio::io_context& io_;
  ProcessHostOptions options_;
  std::function<void(Input)> report_;
  CgroupTree cgroups_;
  PortRange ports_;
  std::map<ReplicaId, std::unique_ptr<Entry>> entries_;
  bool closed_ = false;
  asio::thread_pool disk_{1};
};

ProcessHost::ProcessHost(asio::io_context& io, ProcessHostOptions options, std::function<void(Input)> report)
    : impl_(std::make_shared<Impl>(io, std::move(options), std::move(report))) {}
ProcessHost::~ProcessHost() { impl_->Shutdown(); }

std::vector<AdoptedReplica> ProcessHost::Scan(std::vector<std::string>* problems) {
  return impl_->Scan(problems);
}
void ProcessHost::Start(const StartReplica& order) { impl_->Start(order); }
void ProcessHost::Signal(const SignalReplica& order) { impl_->Signal(order); }
void ProcessHost::Kill(const KillReplica& order) { impl_->Kill(order.id); }
void ProcessHost::Forget(const ForgetReplica& order) { impl_->Forget(order.id); }
void ProcessHost::Abandon() { impl_->Abandon(); }
void ProcessHost::Probe(const ProbeReplica& order) { impl_->Probe(order); }
std::vector<RunningReplica> ProcessHost::Running() const { return impl_->Running(); }
void ProcessHost::SetDoorUrl(std::string url) { impl_->SetDoorUrl(std::move(url)); }
std::string ProcessHost::Containment() const { return impl_->Containment(); }
std::string ProcessHost::WeakContainment() const { return impl_->WeakContainment(); }
std::filesystem::path ProcessHost::LogDir(ReplicaId id) const { return impl_->LogDir(id); }

}  // namespace hs
