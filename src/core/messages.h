// What nodes say to each other. wire/ turns these into bytes and back and is the only place that validates
// bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/load.h"
#include "core/region_report.h"
#include "core/types.h"

namespace hs {

// ------------------------------------------------------------------------------------------- gossip (UDP,
// sealed)

// News about one member. `meta` is present exactly when the state is kAlive (a node speaks of itself; others
// pass its word on unchanged).
struct MemberUpdate {
  NodeId id;
  BootId boot_id;
  Incarnation incarnation;
  MemberState state = MemberState::kAlive;
  SharedValue<MemberMeta> meta;
  // Who suspects (kSuspect, kUnreachable) or was refused (kAgentDown, kDead); sorted, at most 8.
  SharedValue<std::vector<NodeId>> witnesses;
  friend bool operator==(const MemberUpdate&, const MemberUpdate&) = default;
};

struct Ping {
  std::uint32_t sequence = 0;
  NodeId target;  // who is meant: a box that took over the address answers nothing
  friend bool operator==(const Ping&, const Ping&) = default;
};
// "Please ping `target` for me": answered by Ack when it answered, by Nack when it did not within the time
// given.
struct PingRequest {
  std::uint32_t sequence = 0;
  NodeId target;
  Endpoint address;
  friend bool operator==(const PingRequest&, const PingRequest&) = default;
};
struct Ack {
  std::uint32_t sequence = 0;
  friend bool operator==(const Ack&, const Ack&) = default;
};
struct Nack {
  std::uint32_t sequence = 0;
  friend bool operator==(const Nack&, const Nack&) = default;
};
// News only.
struct News {
  friend bool operator==(const News&, const News&) = default;
};
// "I connected afresh to `target` and was refused." Two of these from different witnesses make agent-down.
struct RefusalClaim {
  NodeId target;
  Incarnation incarnation;
  friend bool operator==(const RefusalClaim&, const RefusalClaim&) = default;
};
// "The document with this stamp is durable here": to the node that took the write.
struct DocumentAck {
  Stamp stamp;
  friend bool operator==(const DocumentAck&, const DocumentAck&) = default;
};

// "Answer by the way this came": asks whether a path works and how long it takes. The pong goes back over the
// same relays.
struct PathPing {
  std::uint32_t sequence = 0;
  friend bool operator==(const PathPing&, const PathPing&) = default;
};
struct PathPong {
  std::uint32_t sequence = 0;
  friend bool operator==(const PathPong&, const PathPong&) = default;
};

struct GossipMessage;

// A message that others carry, since its source cannot reach its target directly. The source names the whole
// way; a relay only moves itself from `ahead` to `behind`, so nothing can go round in a circle.
struct Relayed {
  NodeId source;
  std::vector<NodeId> ahead;                   // after the receiver, in order; empty at the target
  std::vector<NodeId> behind;                  // relays it has passed, in order
  std::shared_ptr<const GossipMessage> inner;  // never null, never itself relayed
  friend bool operator==(const Relayed& a, const Relayed& b);
};

using GossipBody =
    std::variant<Ping, PingRequest, Ack, Nack, News, RefusalClaim, DocumentAck, PathPing, PathPong, Relayed>;

struct GossipMessage {
  GossipBody body;
  // Of the sender's whole state: a lasting difference starts anti-entropy. 0: not said.
  std::uint64_t intent_digest = 0;
  std::uint64_t observation_digest = 0;
  // Of what only the sender's region keeps, while there are several; compared within it.
  std::uint64_t region_digest = 0;
  // Of the members the sender counts as present; a lasting difference starts a PushPull. 0: not said.
  std::uint32_t members_digest = 0;
  WallMs wall_ms = 0;  // the sender's calendar clock when sending
  std::vector<MemberUpdate> updates;
  friend bool operator==(const GossipMessage&, const GossipMessage&) = default;
};

inline bool operator==(const Relayed& a, const Relayed& b) {
  return a.source == b.source && a.ahead == b.ahead && a.behind == b.behind && *a.inner == *b.inner;
}

// ------------------------------------------------------------------------------------------- links (TCP,
// mutual TLS)

// A full exchange of the member table.
struct PushPull {
  bool reply_wanted = false;
  std::vector<MemberUpdate> members;
  friend bool operator==(const PushPull&, const PushPull&) = default;
};

// Documents, new to the sender when `flood`: the receiver passes on what was new to it. `ack_to` is the node
// that took the write and waits to hear from everyone who made it durable; zero when nobody waits.
struct DocumentPush {
  std::vector<Document> documents;
  bool flood = false;
  NodeId ack_to;
  friend bool operator==(const DocumentPush&, const DocumentPush&) = default;
};

// Anti-entropy of intent: "this is what I hold". The answer is a DocumentPush of what is newer or missing,
// and, where the receiver lacks something, an offer of its own with reply_wanted false.
struct DocumentOffer {
  bool reply_wanted = false;
  Stamp floor;                                      // tombstones below it are forgotten
  std::vector<std::pair<std::string, Stamp>> held;  // sorted by key
  friend bool operator==(const DocumentOffer&, const DocumentOffer&) = default;
};

enum class RecordKind : std::uint8_t {
  kNodeReport = 0,
  kPlanSlice = 1,
  kRegionReport = 2,
  kEvent = 3,
  kReach = 4
};

struct RecordKey {
  RecordKind kind = RecordKind::kNodeReport;
  NodeId owner;           // only the owner writes it
  std::uint64_t sub = 0;  // kPlanSlice: node prefix; kEvent: number
  friend auto operator<=>(const RecordKey&, const RecordKey&) = default;
};
struct RecordVersion {
  std::uint32_t boot = 0;  // the owner's boot counter
  std::uint64_t sequence = 0;
  friend auto operator<=>(const RecordVersion&, const RecordVersion&) = default;
};
using RecordBody =
    std::variant<NodeReport, PlanSlice, RegionReport, Event, ReachReport>;  // in the order of RecordKind

// One piece of observation, owned by the node that made it. Greatest version wins. Bodies are shared, never
// changed.
struct Record {
  RecordKey key;
  RecordVersion version;
  std::shared_ptr<const RecordBody> body;  // never null
};

struct RecordPush {
  std::vector<Record> records;
  bool flood = false;  // the receiver passes on what was new to it
  // "What you flood reaches me by other ways: leave me out, if you have enough others to flood to." Answered
  // by the same word by whoever does so.
  bool known = false;
};
struct RecordOffer {
  bool reply_wanted = false;
  std::vector<std::pair<RecordKey, RecordVersion>> held;  // sorted by key
  friend bool operator==(const RecordOffer&, const RecordOffer&) = default;
};

// What nodes measured in the last second: of one node, to its monitor; of a monitor's whole subgraph, to the
// controller and its stand-by. Sent, not flooded, and not repeated when lost: the next one is a second away.
struct LoadReport {
  std::vector<NodeLoad> nodes;        // whose seconds are in it; sorted by node
  std::vector<ServiceLoad> services;  // their sums; sorted by service
  friend bool operator==(const LoadReport&, const LoadReport&) = default;
};

using LinkMessage = std::variant<PushPull, DocumentPush, DocumentOffer, RecordPush, RecordOffer, LoadReport>;

}  // namespace hs
