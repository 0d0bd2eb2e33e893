// A cluster in virtual time: the real Node logic on simulated boxes, disks, processes and wires.
//
// One event queue, ordered by (time, number of insertion), and generators seeded from one number: the same
// options give the same course of events, bit for bit, which digest() proves. Faults are methods a person or
// a schedule calls. Watchers see every input and output; the checkers (checkers.h) are watchers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "base/flat_map.h"
#include "base/tunables.h"
#include "sim/action.h"
#include "sim/host.h"
#include "sim/network.h"

namespace hs::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  std::size_t hosts = 3;
  Tunables tunables;
  NetworkOptions network;
  std::vector<std::string> zones;  // label `zone` of host i: zones[i % size]; empty: no label
  std::size_t behind_nat = 0;      // of the last hosts, each behind a NAT of its own
};

// Sees what happens. Called before an output is carried out and after the step that made it.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void OnInput(Time, const Host&, const Input&) {}
  virtual void OnOutput(Time, const Host&, const Output&) {}
  virtual void OnStarted(Time, const Host&) {}  // an agent started; its BootState has been handed over
};

class World {
 public:
  explicit World(const WorldOptions& options);

  Time now() const { return now_; }
  std::size_t size() const { return hosts_.size(); }
  const Host& host(HostIndex index) const { return *hosts_[index]; }
  Host& host(HostIndex index) { return *hosts_[index]; }
  Network& network() { return network_; }
  const Tunables& tunables() const { return options_.tunables; }
  HostIndex IndexOf(NodeId id) const;
  // The box with this address; none: nobody lives there.
  std::optional<HostIndex> IndexAt(const IpAddress& ip) const;
  std::uint64_t digest() const { return digest_; }
  std::uint64_t steps() const { return steps_; }
  void Watch(Watcher* watcher) { watchers_.push_back(watcher); }

  void RunUntil(Time end);
  void RunFor(Duration span) { RunUntil(now_ + span); }
  // Runs until `done` holds, looking every `step`; false when `limit` passes first.
  bool RunUntilTrue(Duration limit, const std::function<bool()>& done, Duration step = 100ms);
  // Hands an input to the agent of a box, if one runs: what its sensors measured, say.
  void Feed(HostIndex index, Input input) { Deliver(index, hosts_[index]->life, std::move(input)); }
  // Calls `action` at `at`, as part of the world's course.
  void At(Time at, Action action);
  WallMs TrueWall() const;  // what a right calendar says now

  // ---- life of boxes and agents
  // Starts the agent; a box without a cluster joins through `via`, or forms the cluster when there is none.
  void StartAgent(HostIndex index);
  void KillAgent(HostIndex index);  // kill -9: links reset, processes live
  void PauseAgent(HostIndex index);
  void ResumeAgent(HostIndex index);
  void PowerOff(HostIndex index);  // silent: nothing is said to anybody
  void PowerOn(HostIndex index);   // with the disk as it was
  void KillBox(HostIndex index);   // agent and work killed; the machine's kernel still answers
  void WipeDisk(HostIndex index);  // only while no agent runs: comes back as a new box
  // Only while no agent runs: it starts at another address, and nobody tells it where the others are.
  void Renumber(HostIndex index);
  // Its disk takes no writes any more, or takes them again. Its agent sees that at its next look.
  void FillDisk(HostIndex index);
  void FreeDisk(HostIndex index) { hosts_[index]->disk_full = false; }
  void EndProcess(HostIndex index, ReplicaId id, int exit_code, int term_signal);
  // Every wire mended, everyone powered and running, nothing slow or skewed.
  void HealEverything();
  void MendWires();  // all of them
  void CutWires(const std::vector<std::pair<HostIndex, HostIndex>>& directions);
  void MendWires(const std::vector<std::pair<HostIndex, HostIndex>>& directions);

  // ---- people
  // Hands a write to an agent; `done` is called with the answer, or never if the agent ends first.
  void Write(HostIndex index, std::vector<std::pair<std::string, DocumentBody>> documents,
             std::function<void(Result<Stamp>)> done);
  // `homeostat leave` on this box.
  void Leave(HostIndex index) { Deliver(index, hosts_[index]->life, LeaveRequested{}); }

 private:
  // Small and plain: the queue moves it about. The action lies in actions_.
  struct Event {
    Time at;
    std::uint64_t number;
    std::size_t action;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;  // std::priority_queue: least on top
    }
  };
  struct Link {
    bool up = false;
    bool dialing = false;
    std::uint64_t generation = 0;             // raised at each end: deliveries of an earlier link are void
    Time last_arrival[2] = {Time{}, Time{}};  // order is kept; [0]: from the lower index
    std::vector<Action> stalled[2];
    bool break_pending = false;
    std::vector<HostIndex> way;  // from end to end; empty: directly
    Time used_at{};
    std::vector<LinkMessage> waiting[2];  // until the dial succeeds
  };

  Now NowOf(const Host& host) const;
  void Deliver(HostIndex index, std::uint32_t life, Input input);
  void Step(Host& host, const Input& input);
  void ArmTick(Host& host);
  void CarryOut(Host& host, Output& output);

  void SendDatagramFrom(Host& host, SendDatagram& send);
  void AskLanFrom(Host& host);
  void SendOnLink(Host& host, NodeId to, const Endpoint& address, LinkMessage message);
  void Transmit(HostIndex from, HostIndex to, Action arrive);
  void Dial(Host& host, HostIndex peer);
  void FinishDial(HostIndex from, HostIndex to, std::uint32_t life);
  void EndLink(HostIndex a, HostIndex b, LinkEnd end, bool tell_a, bool tell_b);
  void Redial(Host& host, NodeId peer);
  void FlushStalled();
  void CloseIdleLinks();
  // ---- world_routes.cc
  void FollowDetours(Host& host, const UseDetours& use);
  std::vector<HostIndex> WayTo(const Host& host, HostIndex peer) const;
  bool WayOpen(HostIndex a, HostIndex b, const std::vector<HostIndex>& way) const;
  bool Admits(HostIndex from, HostIndex to, const std::vector<HostIndex>& way) const;
  Time WayDelivery(HostIndex from, HostIndex to, const std::vector<HostIndex>& way);
  void ConnectFrom(Host& host, const TryConnect& attempt);
  ConnectResult Knock(HostIndex from, const Endpoint& address) const;

  void CheckDisk(HostIndex index, std::uint32_t life);
  void PersistOn(Host& host, Persist& persist);
  void StartProcess(Host& host, const StartReplica& start);
  void SignalProcess(Host& host, ReplicaId id, int signal);
  void ProbeProcess(Host& host, const ProbeReplica& probe);
  void FetchOnto(Host& host, const FetchBundle& fetch);
  void EndAgent(Host& host, bool kernel_tells);

  Link& LinkOf(HostIndex a, HostIndex b);
  void Fold(std::uint64_t value) { digest_ = Mix64(digest_ ^ value); }

  WorldOptions options_;
  Prng prng_;
  Network network_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::map<NodeId, HostIndex> by_id_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<FlatMap<HostIndex, Link*>> links_of_;  // by host and peer: each link twice
  std::priority_queue<Event> queue_;
  std::vector<Action> actions_;
  std::vector<std::size_t> free_actions_;
  std::vector<Watcher*> watchers_;
  std::map<RequestId, std::function<void(Result<Stamp>)>> requests_;
  ClusterId cluster_;
  Time now_{};
  std::uint64_t next_event_ = 0;
  std::uint64_t next_request_ = 0;
  std::uint32_t next_pid_ = 1000;
  std::uint64_t digest_ = 1;
  std::uint64_t steps_ = 0;
};

}  // namespace hs::sim
