// The shared nouns of the core: what a member, a service, a replica, a document and a plan are.
//
// Three kinds of state (ARCHITECTURE.md): intent (Document), objects (Digest), observation (Member,
// NodeReport, PlanSlice, Event). Everything here is a plain value: no behaviour beyond comparison and naming.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/endpoint.h"
#include "base/id_table.h"
#include "base/ids.h"
#include "base/shared_value.h"
#include "base/time.h"

namespace hs {

// ----------------------------------------------------------------------------------------------------
// members

// Where a node is in its life. Names as people see them are in ToString().
enum class MemberState : std::uint8_t {
  kAlive = 0,
  kSuspect = 1,      // did not answer; others are asked, and it may refute
  kAgentDown = 2,    // two witnesses were refused: the agent is gone, its work may live
  kUnreachable = 3,  // silent until suspicion ran out: box dead or cut off, nobody can tell
  kDead = 4,         // agent down and its work refused as well, or silent for `dead_after`
  kLeft = 5,         // said goodbye
};

// Alive or suspect: still counted as a working member.
inline bool IsPresent(MemberState state) {
  return state == MemberState::kAlive || state == MemberState::kSuspect;
}

// Orders what a node says of itself. A restart draws a higher boot counter, so its first word beats all said
// of the former life; within one life the node raises `counter` to refute or to publish new metadata.
struct Incarnation {
  std::uint32_t boot = 0;
  std::uint32_t counter = 0;
  friend auto operator<=>(const Incarnation&, const Incarnation&) = default;
};

struct Capacity {
  std::uint32_t cpu_millicores = 0;
  std::uint64_t memory_bytes = 0;
  friend bool operator==(const Capacity&, const Capacity&) = default;
};

using RegionId = std::uint32_t;  // core/regions/trie.h; 0: the root, while it is the only one
using Term = std::uint64_t;      // raised by each new controller of a region

// What a node can be to the others (core/leadership/roles.h says when it is).
enum class Role : std::uint8_t { kWorker = 0, kDoor = 1, kMonitor = 2, kStandby = 3, kController = 4 };

// Why a node cannot keep what it is told: the disk of its data directory.
enum class DiskFault : std::uint8_t { kNone = 0, kFull = 1, kReadOnly = 2, kFailing = 3 };

// Roles a node plays now, as it says of itself.
struct RoleClaim {
  bool controller = false;
  bool standby = false;
  bool monitor = false;
  bool door = false;
  bool worker = false;
  bool strained = false;              // no role, but why it holds none: its box or its agent cannot keep up
  DiskFault disk = DiskFault::kNone;  // the same; and it gets no new work while another node can have it
  Term term = 0;                      // of the controller claim; 0 without one
  friend bool operator==(const RoleClaim&, const RoleClaim&) = default;
};

using Labels = std::map<std::string, std::string>;

// What a member says of itself; spread whole with each of its incarnations.
struct MemberMeta {
  std::string name;
  Endpoint address;  // UDP and TCP between nodes, and the API
  Endpoint door;     // where people's HTTP requests enter; port 0 without a door
  std::uint16_t inbound_http =
      0;  // ports of the inbound listener on address.ip: other nodes' doors enter here
  std::uint16_t inbound_tcp = 0;
  Labels labels;
  Capacity capacity;
  RegionId region = 0;
  RoleClaim roles;
  std::string version;
  // It reaches others, and nobody reaches it at `address` (NAT, a firewall).
  bool dials_out = false;
  // Then: members to which it keeps lines, over which it can be reached; sorted, at most kLineRelaysMax.
  std::vector<NodeId> relays;
  friend bool operator==(const MemberMeta&, const MemberMeta&) = default;
};

inline constexpr std::size_t kLineRelaysMax = 3;

struct Member {
  NodeId id;
  BootId boot_id;
  Incarnation incarnation;
  MemberState state = MemberState::kAlive;
  bool seen_this_run = false;  // of the observer, not spread: answered or was vouched for since its own start
  SharedValue<MemberMeta> meta;
  // Of the observer too:
  Time state_since;
  Time alive_since;          // start of the present unbroken presence
  Time quarantined_until{};  // flapped: gets no new work and no role until then
};

using MemberTable = IdTable<Member>;

// ----------------------------------------------------------------------------------------------------
// services

enum class HealthKind : std::uint8_t { kNone, kHttp, kTcp, kCommand };

struct HealthCheck {
  HealthKind kind = HealthKind::kTcp;
  std::string path;                  // kHttp
  std::vector<std::string> command;  // kCommand: argv; run in the replica's environment
  Duration interval = 2s;
  Duration timeout = 2s;
  Duration start_period = 0s;  // failures within it do not count
  std::uint32_t retries = 3;   // consecutive failures that make a healthy replica unhealthy
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

struct HttpRoute {
  std::string host;        // empty: any host
  std::string path = "/";  // prefix
  friend auto operator<=>(const HttpRoute&, const HttpRoute&) = default;
};

struct PublishedPort {
  std::uint16_t port = 0;  // on the door's address
  bool http = false;       // app_protocol: http; otherwise bytes are passed as they are
  friend auto operator<=>(const PublishedPort&, const PublishedPort&) = default;
};

struct Constraint {
  std::string label;  // node.labels.KEY, node.hostname or node.id, as Compose writes them
  std::string value;
  bool equal = true;  // false: !=
  friend auto operator<=>(const Constraint&, const Constraint&) = default;
};

struct Resources {
  std::uint32_t cpu_millicores = 0;  // 0: nothing reserved
  std::uint64_t memory_bytes = 0;
  friend bool operator==(const Resources&, const Resources&) = default;
};

// What the number of a service's replicas follows.
enum class ScaleTarget : std::uint8_t {
  kAutomatic = 0,  // response time near its unloaded value; capacity is learned
  kInFlight = 1,   // `value`: requests inside one replica
  kCpu = 2,        // `value`: share of what the replica reserves, or of one core
  kMetric = 3,     // `value`: of the app's own metric, for each replica
};

// x-scale. Without it a service has a fixed number of replicas.
struct ScaleSpec {
  std::uint32_t min = 1;  // at least 1
  std::uint32_t max = 1;  // hard: never above, at least min
  bool strict =
      false;  // in a part of a cut cluster: never above what its boxes are allotted, not even for min
  ScaleTarget target = ScaleTarget::kAutomatic;
  double value = 0;                      // above 0 unless automatic
  std::string metric;                    // kMetric: its name in Prometheus' text format
  std::string metric_path = "/metrics";  // kMetric: where the app shows it
  friend bool operator==(const ScaleSpec&, const ScaleSpec&) = default;
};

// x-singleton: what a service of one replica does when the cluster is cut.
enum class Singleton : std::uint8_t {
  kNone = 0,     // nothing was said: the same as kRunBoth
  kRunBoth = 1,  // each part runs one; one of them goes on when the cut has healed
  kPause = 2,    // only a part with more than half of the boxes runs it
};

inline constexpr std::uint32_t kPriorityMax = 1000;
inline constexpr std::uint32_t kPriorityDefault = 500;

struct ServiceSpec {
  std::string name;  // unique in the cluster
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> environment;  // sorted by name
  std::string working_dir;                                       // empty: the replica's own directory
  std::string user;                                              // empty: the agent's
  Digest bundle;                                                 // zero: none
  std::vector<PublishedPort> ports;
  std::optional<HttpRoute> http;
  HealthCheck health;
  std::string stop_signal = "SIGTERM";
  Duration stop_grace = 10s;
  std::uint32_t replicas = 1;
  Resources reserve;
  std::vector<Constraint> constraints;
  std::optional<ScaleSpec> scale;             // none: `replicas` of them
  std::uint32_t priority = kPriorityDefault;  // 0 to kPriorityMax; in a shortage the greater one stays
  bool movable = true;                        // false: a healthy replica is never moved for balance
  Singleton singleton = Singleton::kNone;     // else `replicas` is 1 and there is no `scale`
  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

// What a replica runs: the spec without the number of replicas, its scaling, priority and place in a cut, and
// without routes, which change no process.
SpecHash HashOf(const ServiceSpec& spec);

struct StackSpec {
  std::string name;
  std::vector<ServiceSpec> services;  // sorted by name
  friend bool operator==(const StackSpec&, const StackSpec&) = default;
};

// ---------------------------------------------------------------------------------------------------- intent

// Hybrid logical clock (Kulkarni et al. 2014): calendar milliseconds, a counter among equals, and the writer
// so that no two stamps are ever equal. Greatest wins.
struct Stamp {
  WallMs wall_ms = 0;
  std::uint32_t logical = 0;
  NodeId node;
  friend auto operator<=>(const Stamp&, const Stamp&) = default;
};

// `homeostat scale web=3`
struct ScaleOverride {
  std::string service;
  std::uint32_t replicas = 0;
  friend bool operator==(const ScaleOverride&, const ScaleOverride&) = default;
};

// `homeostat drain NODE`
struct DrainOrder {
  NodeId node;
  friend bool operator==(const DrainOrder&, const DrainOrder&) = default;
};

// `homeostat quota set`: a hard limit over a class of work or one service. 0: no limit.
struct QuotaDoc {
  std::string subject;  // "services", "batch", or "service.NAME"
  std::uint32_t replicas_max = 0;
  std::uint64_t cpu_millicores_max = 0;  // reserved, in the cluster
  std::uint64_t memory_bytes_max = 0;    // reserved, in the cluster
  friend bool operator==(const QuotaDoc&, const QuotaDoc&) = default;
};

// A join token's secret, kept as a digest. Deleting the document revokes it.
struct TokenDoc {
  std::string id;
  Digest secret_digest;
  WallMs expires_ms = 0;  // 0: never
  bool admin = false;     // an API token for people instead of one for joining
  friend bool operator==(const TokenDoc&, const TokenDoc&) = default;
};

// A node's public key, written when it joins: trust is the CA's signature plus this document.
struct NodeDoc {
  NodeId node;
  std::string name;
  Digest public_key;  // SHA-256 of the SubjectPublicKeyInfo
  friend bool operator==(const NodeDoc&, const NodeDoc&) = default;
};

// monostate: a tombstone.
using DocumentBody =
    std::variant<std::monostate, StackSpec, ScaleOverride, DrainOrder, TokenDoc, NodeDoc, QuotaDoc>;

// Keys: stack/NAME/REVISION, scale/SERVICE, drain/NODEHEX, token/ID, node/NODEHEX, quota/SUBJECT. A stack's
// present revision is the live one with the greatest stamp.
struct Document {
  std::string key;
  Stamp stamp;
  DocumentBody body;
  Stamp seen;  // of the document its writer knew under this key; zero: none. One between `seen` and `stamp`
               // lost unread
  bool IsTombstone() const { return std::holds_alternative<std::monostate>(body); }
  friend bool operator==(const Document&, const Document&) = default;
};

// What intent asks of one service now: the newest live revision of its stack with the overrides applied.
struct DesiredService {
  ServiceSpec spec;
  SpecHash hash;
  std::string stack;
  Stamp revision;              // of the stack document
  std::uint32_t replicas = 0;  // the scale override if there is one, else spec.replicas; the controller puts
                               // the level it grants in its place
  bool fixed = true;           // no x-scale, or overridden: `replicas` is what is wanted
  friend bool operator==(const DesiredService&, const DesiredService&) = default;
};

// ----------------------------------------------------------------------------------------------------
// replicas

enum class ReplicaState : std::uint8_t {
  kPreparing = 0,  // waiting for its bundle or a port
  kStarting = 1,   // process runs, has never been healthy
  kRunning = 2,    // has been healthy since its last start
  kBackoff = 3,    // exited; will be started again
  kDraining = 4,   // out of the doors, not yet asked to stop
  kStopping = 5,   // asked to stop
};

enum class Health : std::uint8_t { kUnknown = 0, kHealthy = 1, kUnhealthy = 2 };

struct ReplicaStatus {
  ReplicaId id;
  std::string service;
  SpecHash spec;
  ReplicaState state = ReplicaState::kPreparing;
  Health health = Health::kUnknown;
  Endpoint address;  // where it listens, as its own node reaches it; port 0 before it has one
  std::uint32_t pid = 0;
  std::uint32_t restarts = 0;
  WallMs since_ms = 0;     // of the present state
  std::string last_error;  // why it is not healthy, in words; empty when it is
  friend bool operator==(const ReplicaStatus&, const ReplicaStatus&) = default;
};

// web-3fa9c1: how people name a replica.
std::string ReplicaName(const std::string& service, ReplicaId id);

// ---------------------------------------------------------------------------------------------------- plans

struct PlanStamp {
  Term term = 0;
  NodeId controller;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const PlanStamp&, const PlanStamp&) = default;
};

struct Assignment {
  ReplicaId replica;
  std::string service;
  SpecHash spec;
  // Zero: run it. Otherwise stop it, as soon as this keeper is seen healthy by the stopping node itself. A
  // stop that needs no keeper (scaled down, service removed, node drained with nothing to replace) names the
  // replica itself.
  ReplicaId stop_keeper;
  std::string cause;  // why this node, or why it stops
  // A move: the replica that stops once this one is healthy. Zero: it takes nobody's place.
  ReplicaId replaces{};
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

// A node's part of a hard maximum; the parts of all nodes add up to it (control/allotments.h).
struct Allotment {
  std::string subject;
  std::uint64_t amount = 0;  // in the subject's unit: replicas, millicores, MiB
  friend bool operator==(const Allotment&, const Allotment&) = default;
};

// What one node should run, by the controller of its region. Absence of a replica never stops it.
struct PlanSlice {
  RegionId region = 0;
  PlanStamp stamp;  // sequence: of the last change of this slice
  std::uint64_t members_digest = 0;
  NodeId node;
  std::vector<Assignment> assignments;  // sorted by replica
  std::vector<Allotment> allotments;    // what the node holds from now on; sorted by subject
  friend bool operator==(const PlanSlice&, const PlanSlice&) = default;
};

// What there is too little of.
enum class ShortOf : std::uint8_t {
  kRoom = 0,      // room on the boxes that may take it
  kFitting = 1,   // boxes that meet its placement constraints
  kMaximum = 2,   // its own quota or maximum
  kQuota = 3,     // the quota of all services
  kVersion = 4,   // nothing: the new version does not get healthy, and its rollout stopped
  kMajority = 5,  // x-singleton: pause, in the smaller part of a cut cluster
};
const char* ToString(ShortOf of);  // room, fitting-boxes, maximum, quota, version, majority

// Something asked for that cannot be placed now.
struct Shortage {
  std::string service;
  std::uint32_t missing = 0;
  std::string reason;
  ShortOf of = ShortOf::kRoom;
  friend bool operator==(const Shortage&, const Shortage&) = default;
};

// How many replicas of a service the controller found to be needed, and how many of them it grants.
struct ServiceLevel {
  std::string service;
  std::uint32_t wanted = 0;
  std::uint32_t granted = 0;  // less than wanted in a shortage or at a quota
  double per_replica_s = 0;   // requests a second one replica is known to carry; 0: not learned yet
  std::string cause;          // the numbers that led here
  friend bool operator==(const ServiceLevel&, const ServiceLevel&) = default;
};

// A role that a node has, since when, and why it and not another.
struct RoleHeld {
  Role role = Role::kWorker;
  WallMs since_ms = 0;
  std::string cause;
  friend bool operator==(const RoleHeld&, const RoleHeld&) = default;
};

// What one node says about itself.
struct NodeReport {
  std::vector<ReplicaStatus> replicas;  // sorted by id
  PlanStamp plan;                       // last slice applied
  std::vector<Digest> bundles;          // held complete; sorted
  std::string door_error;               // empty: the door is as it should be
  std::string containment;              // empty: cgroups hold whole process trees; else what does instead
  std::vector<Allotment> allotments;    // held now; sorted by subject
  std::vector<std::string> troubles;    // what it was told and cannot do, in words; sorted
  std::vector<RoleHeld> roles;          // sorted by role
  friend bool operator==(const NodeReport&, const NodeReport&) = default;
};

// A decision with its cause, for events and why.
struct Event {
  WallMs at_ms = 0;
  NodeId node;          // who decided or saw it
  std::string kind;     // member.agent-down, replica.started, plan.start, rollout.stopped, ...
  std::string subject;  // the service, replica or node it is about
  std::string cause;    // one sentence with the numbers read and the rule applied
  friend bool operator==(const Event&, const Event&) = default;
};

// ---------------------------------------------------------------------------------------------------- routes

// A peer that its teller and the peer do not reach directly both ways, though a relay does.
struct ReachException {
  NodeId peer;
  bool heard = false;               // yet what the peer sends arrives directly: only the way to it is cut
  std::vector<NodeId> relays;       // the way round: one, or two
  std::uint32_t round_trip_us = 0;  // over them, when this was told
  friend bool operator==(const ReachException&, const ReachException&) = default;
};

// Whom a node does not reach directly. Reaching everybody is the normal case and is told by no record at all.
struct ReachReport {
  std::vector<ReachException> exceptions;  // sorted by peer
  // A cut between large groups: the peers are those that this other node lists, and none is listed here.
  NodeId same_as;
  std::uint64_t peers_hash = 0;  // of those peers: while it differs from the other's, nothing is known
  friend bool operator==(const ReachReport&, const ReachReport&) = default;
};

// ---------------------------------------------------------------------------------------------------- door

enum class ServerState : std::uint8_t { kReady = 0, kDrain = 1, kDown = 2 };

// One place a door can send a request to: a replica on this node, or the inbound listener of another node.
struct DoorServer {
  std::string name;  // stable: the replica's or the node's id
  Endpoint address;
  bool tls = false;  // true for another node's inbound listener
  std::uint16_t tcp_port =
      0;  // with tls: that node's inbound_tcp (address.port is its inbound_http); 0 when none
  std::uint32_t weight = 1;  // replicas behind it
  ServerState state = ServerState::kReady;
  friend bool operator==(const DoorServer&, const DoorServer&) = default;
};

struct DoorService {
  std::string name;
  std::optional<HttpRoute> http;
  std::vector<PublishedPort> ports;
  std::vector<DoorServer> local;    // replicas on this node: what the inbound listener offers
  std::vector<DoorServer> servers;  // what the door offers: local replicas and other nodes
  friend bool operator==(const DoorService&, const DoorService&) = default;
};

struct DoorTable {
  std::vector<DoorService> services;  // sorted by name
  std::vector<NodeId> refused;        // sorted; removed nodes: the inbound listener turns them away
  friend bool operator==(const DoorTable&, const DoorTable&) = default;
};

// ---------------------------------------------------------------------------------------------------- words

const char* ToString(MemberState state);
const char* ToString(Role role);
const char* ToString(DiskFault fault);      // well, full, read-only, failing
const char* ToString(ScaleTarget target);   // automatic, in-flight, cpu, metric
const char* ToString(Singleton singleton);  // none, run-both, pause
const char* ToString(ReplicaState state);
const char* ToString(Health health);
const char* ToString(ServerState state);

}  // namespace hs
