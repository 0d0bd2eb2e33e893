// Runs this box's replicas: one shim process per replica, each in a directory of its own.
//
// Picture a harbour master: the ships (shims with their replicas) sail without him; he writes each one's
// papers before it leaves, notices when it comes in, and after a night away reads the papers and counts the
// ships.
//
// Invariants:
//  1. What a replica needs to be found again is on disk before its process exists.
//  2. A replica's lock is held from before its shim is spawned until the shim is gone, without a gap:
//     whoever can take it knows that nothing runs. So no replica is ever started twice, whatever died in
//     between.
//  3. Destroying a ProcessHost stops nothing. Processes belong to replicas.
//  4. Every Start is answered by one ReplicaStarted or ReplicaStartFailed; every end of a started or
//     adopted process by one ReplicaExited; every Probe by one ProbeResult. Ends are noticed by pidfd,
//     never by asking again and again.
//
// One thread (the io_context's) calls it and gets all reports; preparing directories happens on a thread of
// its own. It does not: decide anything (core/supervision), or set limits.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/node/contract.h"
#include "runtime/process/replica_dir.h"

namespace boost::asio {
class io_context;
}

namespace hs {

struct ProcessHostOptions {
  std::filesystem::path data_dir;
  std::filesystem::path shim;  // the program homeostat-shim
  NodeId node;
  std::string node_name;
  IpAddress advertised;  // HOST of the replicas if this box holds it, else they get 127.0.0.1
  std::string door_url;  // http://127.0.0.11:8080
  std::function<std::string(const ServiceSpec&)> encode_spec;
  std::function<Result<ServiceSpec>(std::string_view)> decode_spec;
  UnpackBundle unpack;  // called on the disk thread; the directory exists and is empty
  // Whether requests for the service reach this box. A replica that has just started does not count as
  // healthy before (nor later than 5 s): others would send here what nobody takes in.
  std::function<bool(const std::string& service)> reachable = [](const std::string&) { return true; };
  bool use_cgroups = true;
  std::uint64_t open_files = 0;  // soft limit of a replica and its checks; 0: as the agent's
};

// A replica whose program runs: what is needed to measure it.
struct RunningReplica {
  ReplicaId id;
  std::string service;
  std::filesystem::path cgroup;  // empty: none
  ShimPids pids;
  std::uint32_t restarts = 0;      // before this run, since it was placed here
  std::optional<double> health_s;  // how long its last good probe in this run took
};

class ProcessHost {
 public:
  // `report` gets ReplicaStarted, ReplicaStartFailed, ReplicaExited and ProbeResult, always from the
  // io_context and never from within a call.
  ProcessHost(boost::asio::io_context& io, ProcessHostOptions options, std::function<void(Input)> report);
  ~ProcessHost();

  // Once, before anything else: what earlier agents left, running or ended. What cannot be read is left alone
  // and told in `problems`.
  std::vector<AdoptedReplica> Scan(std::vector<std::string>* problems = nullptr);

  void Start(const StartReplica& order);
  void Signal(const SignalReplica& order);
  void Kill(const KillReplica& order);
  void Forget(const ForgetReplica& order);
  void Probe(const ProbeReplica& order);
  // Kills and forgets all of them, with their directories, and does nothing more: they are copies of another
  // node's. Waits for the disk.
  void Abandon();

  // Sorted by id.
  std::vector<RunningReplica> Running() const;

  void SetDoorUrl(std::string url);  // for later starts

  // How whole trees are killed here, in words, for `status`.
  std::string Containment() const;
  // The same where it is not for certain, for NodeReport; empty with cgroups.
  std::string WeakContainment() const;
  // Where a replica's output is: its directory, or the one kept after it was forgotten.
  std::filesystem::path LogDir(ReplicaId id) const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
