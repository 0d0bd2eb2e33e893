// The replicated documents of one node: everything people asked for.
//
// Like minute books kept in every town: each new page is copied at once to the neighbours' books, who copy it
// on; whoever took it down answers "recorded" when enough books hold it on paper; and now and then two towns
// compare their tables of contents, so that a rider lost on the road costs time but never a page.
//
// Invariants:
//  1. A document is acknowledged only after its own Persisted, and visible (documents(), DocumentChanged)
//     only then or when the disk has refused it: what others keep governs here as well, and is tried again
//     until it is kept.
//  2. Per key the greatest stamp wins, in whatever order and however often documents come. Equal sets of
//     visible documents have equal digests.
//  3. A write is answered with success only when durable here and on every present member, or, after
//     `write_wait`, on at least min(write_copies, members present).
//  4. A document stamped too far ahead of the members' median clock is kept aside until its time comes,
//     unless what it replaces carries that time as well. Whoever wrote such a document alone takes it back
//     when the others show that they keep it aside, and writes it anew with the time of theirs (`seen` then
//     names the stamp that is taken back).
//  5. A tombstone older than `tombstone_keep` is forgotten and raises the floor. A peer whose floor is
//     lower and which was last in step below ours cannot bring back what was deleted.
// A write of a client is told to others only once it is durable here, so that a full disk is an error with no
// trace anywhere. Does not read clocks or disks, does not know what documents mean (desired.h does).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/difference_watch.h"
#include "base/flat_map.h"
#include "base/tunables.h"
#include "core/intent/clock.h"
#include "core/intent/desired.h"
#include "core/messages.h"
#include "core/node/contract.h"

namespace hs {

// ------------------------------------------------------------------------------------------------------
// inputs Tick, ClientWrite, Persisted, PersistFailed, LinkUp and LinkDown are the node's own (contract.h).

struct DocumentsReceived {
  NodeId from;
  DocumentPush push;
};
struct DocumentOfferReceived {
  NodeId from;
  DocumentOffer offer;
};
struct DocumentAcked {
  NodeId from;
  Stamp stamp;
};
// The present other members: those whose copies count.
struct IntentPeers {
  std::vector<std::pair<NodeId, Endpoint>> present;
};
// One of them: present at this address, or not present any more.
struct IntentPeer {
  NodeId id;
  std::optional<Endpoint> address;
};
// What a peer's gossip said its intent digest is; 0: not said.
struct IntentDigestHeard {
  NodeId peer;
  std::uint64_t digest = 0;
};
// The peer's wall clock minus ours.
struct ClockSample {
  NodeId peer;
  std::int64_t offset_ms = 0;
};

using IntentInput =
    std::variant<Tick, ClientWrite, DocumentsReceived, DocumentOfferReceived, Persisted, PersistFailed,
                 DocumentAcked, IntentPeers, IntentPeer, LinkUp, LinkDown, IntentDigestHeard, ClockSample>;

// ------------------------------------------------------------------------------------------------------
// outputs Persist, SendLink and Reply are the node's own.

// To be sent as a DocumentAck datagram. The address has port 0 when `to` is not a present member.
struct AckDocument {
  NodeId to;
  Endpoint address;
  Stamp stamp;
};
struct DocumentChanged {
  std::string key;
  std::optional<Document> before;
  Document after;  // a tombstone with a zero stamp: it is no longer there, deleted long ago
};
struct DocumentHeldBack {
  std::string key;
  Stamp stamp;
};
// This node wrote it alone with a calendar far ahead: it now carries the members' time instead.
struct DocumentRestamped {
  std::string key;
  Stamp before;
  Stamp after;
};
// Two writers wrote one key without knowing of each other.
struct DocumentConflict {
  Document loser;
  Stamp winner;  // zero: the loser was older than what the cluster remembers having deleted
};

using IntentOutput = std::variant<Persist, SendLink, AckDocument, Reply, DocumentChanged, DocumentHeldBack,
                                  DocumentRestamped, DocumentConflict>;
using IntentOutputs = std::vector<IntentOutput>;

class IntentStore {
 public:
  // `loaded`: every document on this node's disk. Malformed ones are counted and left out.
  IntentStore(const Tunables& tunables, NodeId self, std::vector<Document> loaded, Now now);

  IntentOutputs Step(Now now, const IntentInput& input);
  Time NextDeadline() const;

  const Documents& documents() const { return documents_; }  // by key; tombstones included
  // Of (key, stamp) of all documents, in no order. Never 0.
  std::uint64_t digest() const { return digest_; }
  const std::deque<Document>& conflicts() const { return conflicts_; }  // newest first, bounded
  std::vector<Document> held_back() const;
  std::uint64_t refused() const { return refused_; }  // malformed documents received or loaded
  Stamp floor() const { return floor_; }
  WallMs MedianNow(WallMs own_ms) const { return clock_.Median(own_ms); }
  // Writes not yet answered.
  std::size_t writes_open() const { return writes_.size(); }

 private:
  // Documents on their way to the disk, and who waits for them.
  struct Job {
    std::vector<Document> documents;
    std::vector<std::pair<NodeId, Stamp>> acks;
    std::optional<RequestId> write;
    bool flood = false;  // once durable here
  };
  struct Write {
    std::vector<Document> documents;
    std::map<NodeId, std::set<Stamp>> acked;
    bool durable = false;  // here
    bool waited = false;   // write_wait is over
    Time started;
    Time resend_at = kNever;
  };
  struct Peer {  // present members
    Endpoint address;
    std::optional<Stamp> floor;  // as last offered
  };
  enum class Verdict {
    kNew,
    kKnown,      // we have it, or it lost: safe to acknowledge once what we have is durable
    kNewlyHeld,  // kept aside
    kIgnored,
  };

  void On(Now now, const Tick&);
  void On(Now now, const ClientWrite& write);
  void On(Now now, const DocumentsReceived& received);
  void On(Now now, const DocumentOfferReceived& received);
  void On(Now now, const Persisted& persisted);
  void On(Now now, const PersistFailed& failed);
  void On(Now now, const DocumentAcked& acked);
  void On(Now now, const IntentPeers& peers);
  void On(Now now, const IntentPeer& peer);
  void On(Now now, const LinkUp& link);
  void On(Now now, const LinkDown& link);
  void On(Now now, const IntentDigestHeard& heard);
  void On(Now now, const ClockSample& sample);

  // store.cc: documents
  static std::uint64_t HashOfVersion(const std::string& key, const Stamp& stamp);
  Verdict Judge(Now now, NodeId from, const Document& document);
  void Save(Job job);
  void KeepUnsaved(Now now, Job job);
  void SaveAgain(Now now);
  void Apply(Now now, const Document& document);
  void Forget(Now now, const std::string& key);
  void ReleaseHeld(Now now);
  void DropTombstones(Now now);
  void KeepConflict(const Document& loser, const Stamp& winner);
  bool IsDurable(const Document& document) const;
  // A writer's own word that replaces its word from the future, by its lesser stamp.
  static bool MayTakeBack(const Document& document, const Stamp& stamp);
  static bool TakesBack(const Document& document, const Document& current);
  void Restamp(Now now);
  Stamp KnownStamp(const std::string& key) const;
  Stamp SeenNow(const std::string& key, const Stamp& stamp) const;
  // The greatest known of what is ordered against this key: all revisions of a stack, else the key alone.
  Stamp RivalStamp(const std::string& key) const;
  PersistId NextPersist() { return PersistId{++last_persist_}; }

  // store_write.cc: writes of clients
  bool ClockIsKnown() const;
  void BeginWaiting(Now now);
  void Begin(Now now, const ClientWrite& request);
  Result<void> CheckWrite(const ClientWrite& write) const;
  void Settle(Now now, RequestId request);
  void SettleAll(Now now);
  void Resend(Now now, Write& write);
  std::size_t Copies(const Write& write) const;
  bool HasAcked(const Write& write, NodeId peer) const;

  // store_sync.cc: between nodes
  void Flood(const std::vector<Document>& documents, NodeId except, NodeId ack_to);
  void Acknowledge(NodeId to, const Stamp& stamp);
  void SendOffer(NodeId to, bool reply_wanted);
  void SendDocuments(NodeId to, const std::vector<Document>& documents, bool flood, NodeId ack_to);
  void CompareNotes(Now now);
  void YieldToFloor(Now now, const DocumentOffer& offer);
  void RaiseFloor(const Stamp& floor, std::vector<Document> dropped = {});
  Document Erased(Now now, Documents::const_iterator document);
  void PersistAside(std::vector<Document> documents);
  Endpoint AddressOf(NodeId peer) const;

  const Tunables tunables_;
  const NodeId self_;
  HybridClock clock_;
  DifferenceWatch differences_;
  IntentOutputs out_;

  Documents documents_;
  std::uint64_t digest_;
  Stamp floor_;
  WallMs in_step_ms_ = 0;  // this node surely knew all of the cluster's documents then
  Time in_step_again_{};   // next look at it
  WallMs horizon_ms_ = 0;  // tombstones below are dropped
  std::map<std::pair<std::string, Stamp>, Document> held_;
  Time held_due_ = kNever;
  std::map<std::string, Stamp> lacked_;  // this node's own documents that a peer was found not to hold
  std::deque<Document> conflicts_;
  std::uint64_t refused_ = 0;

  std::uint64_t last_persist_ = 0;
  std::map<PersistId, Job> jobs_;
  std::map<std::string, std::pair<Stamp, PersistId>> persisting_;  // greatest on its way, per key
  std::vector<Job> unsaved_;  // visible, and refused by the disk; oldest first
  Time save_again_ = kNever;
  std::map<RequestId, Write> writes_;
  std::deque<std::pair<Time, ClientWrite>> waiting_;  // for the others' clocks; until when
  FlatMap<NodeId, Peer> peers_;
  std::set<NodeId> links_;
  std::deque<std::pair<NodeId, Stamp>> acknowledged_;  // the last ones, and to whom
  Time sweep_at_{};
};

}  // namespace hs
