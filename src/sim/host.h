// One simulated box: its disk, its processes, and the agent that may or may not be running on it.
//
// What outlives what: processes outlive the agent; the disk outlives both; losing power ends the processes;
// losing the disk makes a new box with a new id.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/node/node.h"

namespace hs::sim {

using HostIndex = std::size_t;

// A running (or just ended) replica. It listens when `listens_at` is reached and answers health probes from
// then on.
struct Process {
  ServiceSpec spec;
  Endpoint address;
  std::uint32_t pid = 0;
  std::uint32_t restarts = 0;
  bool alive = false;
  int exit_code = 0;
  int term_signal = 0;
  Time listens_at;
  WallMs started_ms = 0;
  Time last_healthy{};  // truth, for the checkers

  bool Answers(Time now) const { return alive && now >= listens_at; }
};

struct Disk {
  ClusterId cluster;
  NodeId node;
  std::uint32_t boot_counter = 0;
  std::map<std::string, Document> documents;
  std::vector<std::pair<NodeId, Endpoint>> peers;
  std::set<Digest> bundles;
};

struct Host {
  HostIndex index = 0;
  Endpoint address;  // of the agent; replicas listen on the same ip
  MemberMeta meta;
  Disk disk;
  Duration disk_delay = 1ms;
  bool disk_full = false;
  bool checks_disk = false;  // its agent doubts it, and looks once a second
  Duration wall_skew = 0s;
  Duration start_delay = 100ms;  // from StartReplica to ReplicaStarted
  float lag_ms = 0;              // how late the agent's loop measures itself to be
  double start_failure = 0.0;    // share of starts that fail
  std::map<ReplicaId, Process> processes;
  std::uint16_t next_port = 10000;

  bool told = true;      // at its next start, where another box is
  bool asks_lan = true;  // from its next start on

  bool powered = true;
  bool paused = false;
  std::unique_ptr<Node> node;  // null: no agent runs
  std::uint32_t life = 0;   // raised when the agent starts or ends: what was meant for an earlier one is void
  std::deque<Input> inbox;  // arrived while paused
  Time tick_at = kNever;    // when the pending tick event fires

  // Nobody can connect to it; a datagram reaches it where its own to the same box came from, for 30 s.
  bool behind_nat = false;
  std::map<HostIndex, Time> sent_to;  // while behind NAT: the last datagram

  // Links, as the transport of this box sees them.
  std::map<NodeId, Endpoint> held;
  std::map<NodeId, unsigned> redials;                // failures in a row
  std::map<NodeId, std::vector<HostIndex>> detours;  // relays to peers that it does not reach directly
  std::set<HostIndex> lines;                         // kept to these relays

  bool Running() const { return powered && node != nullptr; }
  bool Thinking() const { return Running() && !paused; }
};

}  // namespace hs::sim
