// The contract between a Node and the world that runs it (runtime/ on a real box, sim/ in virtual time).
//
//   outputs = node.Step(now, input);   // for every input, in the order they happened
//   deadline = node.NextDeadline();    // call Step(now, Tick{}) at or soon after it
//
// The caller's duties:
//  1. `now.mono` never runs backwards. `now.wall_ms` may do anything.
//  2. Outputs are carried out in order. A failure to carry one out is an input where the output has an
//     answer, and otherwise silence: the core expects loss everywhere.
//  3. Persist{id}: make the documents durable, then hand in Persisted{id}, or PersistFailed{id} if that
//     cannot be. Nothing that depends on durability leaves the node before. Ids may be answered in any
//     order.
//  4. Messages are handed in only from senders whose identity was proven (a sealed datagram or mutual TLS),
//     decoded and validated by wire/. A message to oneself is never handed in.
//  5. SendLink opens a link to the peer if none is open; LinkDown tells how it ended. Order within one link
//     is kept. HoldLinks names the links to keep open all the time; they are opened again when they break,
//     with back-off, until the next HoldLinks leaves them out.
//  6. TryConnect is answered by exactly one ConnectOutcome, within the timeout given.
//  7. Processes belong to replicas, not to the agent: at a start the caller finds what still runs and hands
//     it over in BootState, before anything else. StartReplica is answered by ReplicaStarted or
//     ReplicaStartFailed; every end of a started process by ReplicaExited.
//  8. ApplyDoor is the whole table each time; the caller works out the difference.
//  9. A boot counter greater than all earlier ones is on disk before the Node is made.
// 10. UseDetours holds for links and connections opened from then on. A link on a path that changed is
//     given up when it was direct (it hangs), and renewed without loss when the direct path is back.
// 11. DiskChecked comes once a second, and at once when anything could not be written for want of a disk
//     that takes it. While this node's own claim names a fault, each says how a test write went.
// 12. UseLines: a line is a connection to a relay that carries something towards this node when the relay
//     has something; a few to each are kept ready.
// 13. Reply{request} answers exactly one Client* input with that request id, some time later.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "core/local_load.h"
#include "core/messages.h"
#include "core/types.h"

namespace hs {

// ------------------------------------------------------------------------------------------------------
// inputs

// The deadline has come, or nothing else happened for a while.
struct Tick {};

struct DatagramReceived {
  NodeId from;       // this node's own id: from another start of it
  Endpoint address;  // where it came from: NAT and changed addresses show here
  GossipMessage message;
};

enum class LinkEnd : std::uint8_t {
  kClosed,   // the peer said it would close, or we closed it
  kReset,    // reset or end of file without a word: the peer's process is gone, or its kernel gave up
  kRefused,  // the port was refused
  kTimeout,  // no answer
  kDenied,   // the handshake failed: another cluster, no valid certificate
};

struct LinkUp {
  NodeId peer;
};
struct LinkDown {
  NodeId peer;
  LinkEnd end = LinkEnd::kClosed;
};
struct LinkReceived {
  NodeId from;
  LinkMessage message;
};

enum class ConnectResult : std::uint8_t { kAccepted, kRefused, kTimeout };
struct ConnectOutcome {
  std::uint64_t attempt = 0;
  ConnectResult result = ConnectResult::kTimeout;
};

struct Persisted {
  PersistId id;
};
struct PersistFailed {
  PersistId id;
  std::string reason;
  DiskFault fault = DiskFault::kFailing;
};

// What was found out about the disk that holds the data directory.
struct DiskChecked {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;       // 0: not known
  DiskFault fault = DiskFault::kNone;  // a write was refused
  std::string reason;                  // with a fault: in words
  bool written = false;                // a test write succeeded just now
};

// A wish of a person or a joining node. Answered by Reply with the same id.
struct ClientWrite {
  RequestId request;
  std::vector<std::pair<std::string, DocumentBody>> documents;  // key and new body; monostate deletes
};

struct ReplicaStarted {
  ReplicaId id;
  std::uint32_t pid = 0;
  Endpoint address;
};
struct ReplicaStartFailed {
  ReplicaId id;
  std::string reason;
};
struct ReplicaExited {
  ReplicaId id;
  int exit_code = 0;    // when it ended by itself
  int term_signal = 0;  // when it was killed: the signal's number; otherwise 0
};
struct ProbeResult {
  ReplicaId id;
  std::uint64_t probe = 0;
  bool healthy = false;
  std::string detail;  // why not, in words
  Endpoint address;    // where it answered, when that differs from what was asked (an app on loopback only)
};

// One that drains has had no request and no connection for a while: it need not drain to the end of
// drain_wait. Where nobody can tell, nobody says so.
struct ReplicaIdle {
  ReplicaId id;
};

struct BundleReady {
  Digest digest;
};
// It could not be fetched; or it was here, and is gone or damaged.
struct BundleFailed {
  Digest digest;
  std::string reason;
};

// HAProxy's state changed. Empty error: it serves the last table.
struct DoorStatus {
  std::string error;
};

// A member said something that this release does not understand, or that is wrong; it was left out. Of what
// was on this box's own disk: `from` is the node itself.
struct Unreadable {
  NodeId from;
  std::string words;
};

// The node should go for good: give its work away, say goodbye, then output Gone. Work that nobody else can
// take keeps it here, unless it is to go `at_once`: then it stops what it runs itself.
struct LeaveRequested {
  bool at_once = false;
};

// What this box measured in the last second; handed in once a second. `nodes` holds this node alone.
struct LoadMeasured {
  LoadReport report;
  std::vector<MetricProblem> metric_problems;  // of replicas of Node::MetricTargets(); sorted by service
};

// A member asks on the local network who is there, and can be found at `address`.
struct LanHeard {
  NodeId from;
  Endpoint address;
};

using Input = std::variant<Tick, DatagramReceived, LinkUp, LinkDown, LinkReceived, ConnectOutcome, Persisted,
                           PersistFailed, ClientWrite, ReplicaStarted, ReplicaStartFailed, ReplicaExited,
                           ProbeResult, ReplicaIdle, BundleReady, BundleFailed, DoorStatus, LoadMeasured,
                           LeaveRequested, Unreadable, LanHeard, DiskChecked>;

// ------------------------------------------------------------------------------------------------------
// outputs

struct SendDatagram {
  NodeId to;
  Endpoint address;
  GossipMessage message;
};
struct SendLink {
  NodeId to;
  Endpoint address;
  LinkMessage message;
};
struct HoldLinks {
  std::vector<std::pair<NodeId, Endpoint>> peers;  // sorted by id; the whole set
};
// Peers that cannot be reached directly, and the relays that reach them: the whole set each time. Whatever
// the caller opens to such a peer over TCP goes through these relays; datagrams are wrapped by the node
// itself.
struct Detour {
  NodeId peer;
  Endpoint address;
  // One or two, nearest first; none: over lines that the peer keeps to this node.
  std::vector<std::pair<NodeId, Endpoint>> relays;
  bool dials_out = false;  // the peer reaches this node: links that it dialed are good
  friend bool operator==(const Detour&, const Detour&) = default;
};
struct UseDetours {
  std::vector<Detour> detours;  // sorted by peer
};
// Keep lines open to these members, over which they and others reach this node: the whole set each time.
struct UseLines {
  std::vector<std::pair<NodeId, Endpoint>> relays;  // sorted; none: this node can be reached
};
// Open a plain TCP connection and close it again.
struct TryConnect {
  std::uint64_t attempt = 0;
  Endpoint address;
  Duration timeout = 500ms;
};
struct Persist {
  PersistId id;
  std::vector<Document> documents;
};

struct StartReplica {
  ReplicaId id;
  std::shared_ptr<const ServiceSpec> spec;  // never null
  std::uint32_t restarts = 0;               // written beside it, so that a later agent knows
};
// To the replica's process group.
struct SignalReplica {
  ReplicaId id;
  std::string signal;  // SIGTERM, ...
};
// SIGKILL to the whole tree of processes.
struct KillReplica {
  ReplicaId id;
};
// It has ended and will not be started again: remove its directory, keep its output for a while.
struct ForgetReplica {
  ReplicaId id;
};
struct ProbeReplica {
  ReplicaId id;
  std::uint64_t probe = 0;
  HealthCheck check;
  Endpoint address;
};

struct FetchBundle {
  Digest digest;
  std::vector<std::pair<NodeId, Endpoint>> holders;  // try in this order
};
// Nothing refers to it any more: remove it from the disk.
struct DropBundle {
  Digest digest;
};
struct ApplyDoor {
  std::shared_ptr<const DoorTable> table;  // never null
};

struct Reply {
  RequestId request;
  Result<Stamp> result;  // the greatest stamp written
};
// A decision made or seen here. It is also spread; this output is for the box's own log.
struct EmitEvent {
  Event event;
};
// Someone else lives with this node's id: a copied data directory. End this node and start again as a new
// one.
struct TakeNewIdentity {
  Endpoint other;
};
// The node is no member any more, and runs nothing: the process ends.
struct Gone {
  std::string error;  // empty: it left as it was asked to; else why it cannot be here
};

// Ask all members on the local network to greet this node at the address in its metadata. Each that hears it
// gets LanHeard. Nobody need answer.
struct AskLan {};

using Output =
    std::variant<SendDatagram, SendLink, HoldLinks, UseDetours, UseLines, TryConnect, Persist, StartReplica,
                 SignalReplica, KillReplica, ForgetReplica, ProbeReplica, FetchBundle, DropBundle, ApplyDoor,
                 Reply, EmitEvent, TakeNewIdentity, Gone, AskLan>;
using Outputs = std::vector<Output>;

// ------------------------------------------------------------------------------------------------------ boot

// A replica found at the start of the agent.
struct AdoptedReplica {
  ReplicaId id;
  ServiceSpec spec;
  Endpoint address;
  std::uint32_t pid = 0;
  std::uint32_t restarts = 0;
  bool alive = false;  // false: it ended while no agent was there
  int exit_code = 0;
  int term_signal = 0;
  WallMs started_ms = 0;
};

// What was on this box's disk and in its process table.
struct BootState {
  ClusterId cluster;
  NodeId node;
  BootId boot_id;                  // random
  std::uint32_t boot_counter = 0;  // this start's, already on disk
  MemberMeta meta;
  std::vector<Document> documents;
  std::vector<AdoptedReplica> replicas;
  std::vector<Digest> bundles;
  std::string containment;  // NodeReport::containment
  // Where others were last seen, and join hints (with a zero id).
  std::vector<std::pair<NodeId, Endpoint>> peers;
  bool asks_lan = true;    // AskLan may be wished for
  std::uint64_t seed = 0;  // of the node's generator
};

}  // namespace hs
