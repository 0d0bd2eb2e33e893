// What the cluster knows about itself: records, each owned and written by one node, copied to all.
//
// Like a notice board in every village: each household pins its own notices and replaces them; boys run
// between the boards with copies; nobody writes on another's notice.
//
// Invariants:
//  1. Per key the greatest version wins, in whatever order and however often records come.
//  2. Only the owner makes versions. What others claim in our name from a life not later than this one is
//     ignored.
//  3. Events are bounded to `events_kept` (event_book.h), and count in the digest by the last of each owner
//     alone, so that boards which dropped different old events still agree. An offer names only the last
//     event of each life of an owner, and is answered with those after it.
//  4. Bodies are shared, never copied or changed.
//  5. News is flooded to at least three links, where there are as many, and out of a region of many to one by
//     each of its members; further ones are left out once both ends agreed that they only bring what is known
//     (as Plumtree's, but with several ways in, so that one silent box holds up nothing). A lost link brings
//     others back.
//  6. A board that has just started, or comes back from the other side of a cut, compares notes over its
//     first link to somebody newly present. Waiting for a quiet moment, as with a difference that news on its
//     way would mend, could leave it ignorant for as long as there is other news.
// What changed goes out in one message per link, at once after a quiet time and in a burst at a pace; events,
// which nobody waits for, wait a moment for others to go with. Nothing here is durable: it is rebuilt from
// the living.
//
// Source: Leitao, Pereira, Rodrigues, "Epidemic broadcast trees", SRDS 2007.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "base/difference_watch.h"
#include "base/flat_map.h"
#include "base/tunables.h"
#include "core/messages.h"
#include "core/node/contract.h"
#include "core/observation/event_book.h"

namespace hs {

// ------------------------------------------------------------------------------------------------------
// inputs

// Write an own record; the body's alternative must be that of the kind. An unchanged body is not published
// again.
struct Publish {
  RecordKind kind = RecordKind::kNodeReport;
  std::uint64_t sub = 0;
  std::shared_ptr<const RecordBody> body;
};
// Write an event of our own; its number is drawn here.
struct PublishEvent {
  Event event;
};
struct RecordsReceived {
  NodeId from;
  RecordPush push;
};
struct RecordOfferReceived {
  NodeId from;
  RecordOffer offer;
};
struct BoardPeers {
  std::vector<std::pair<NodeId, Endpoint>> present;
};
// One of them: present at this address, or not present any more.
struct BoardPeer {
  NodeId id;
  std::optional<Endpoint> address;
};
// What a peer's gossip said its observation digest is; 0: not said.
struct BoardDigestHeard {
  NodeId peer;
  std::uint64_t digest = 0;
  std::uint64_t region = 0;  // of what only its region has
};
// While there are several regions: of reports and slices a board has those about its own region alone. The
// rest is everywhere.
struct BoardRegion {
  std::vector<NodeId> members;  // of this node's region, present or not; sorted; empty: there is one region
  std::vector<NodeId> kept;     // others that no region speaks for yet: what is known of them stays; sorted
  bool another = false;         // than before: its members may not have our report
};
// Dead or left: what it said of itself is void. Its events stay.
struct OwnerGone {
  NodeId node;
  std::uint32_t boot = 0;  // of the life that ended: records of it and earlier ones are refused from then on
};
// A member lives its second life or a later one. What it planned before for boxes of a region that it is in
// no more is void; where it is, its report says so.
struct LaterLife {
  NodeId node;
  std::uint32_t boot = 0;
};

// This node learned that it must count its lives from here: its disk is older than what others know of it.
struct NewLife {
  std::uint32_t boot = 0;
};

using BoardInput =
    std::variant<Tick, NewLife, Publish, PublishEvent, RecordsReceived, RecordOfferReceived, LinkUp, LinkDown,
                 BoardPeers, BoardPeer, BoardRegion, BoardDigestHeard, OwnerGone, LaterLife>;

// ------------------------------------------------------------------------------------------------------
// outputs

struct RecordChanged {
  Record record;
};
using BoardOutput = std::variant<SendLink, RecordChanged>;
using BoardOutputs = std::vector<BoardOutput>;

// A digest of nothing must not be 0, which means "not said".
inline constexpr std::uint64_t kEmptyDigest = 0x5e1f27c3a9b4d681ULL;

class Board {
 public:
  // `boot`: this life's counter, greater than that of all earlier lives.
  Board(const Tunables& tunables, NodeId self, std::uint32_t boot);

  BoardOutputs Step(Time now, const BoardInput& input);
  // The same for what comes most often and is large: without a copy.
  BoardOutputs Hear(Time now, NodeId from, const RecordPush& push);
  BoardOutputs Hear(Time now, NodeId from, const RecordOffer& offer);
  Time NextDeadline() const;

  // Null when unknown. Bodies hold the alternative of their kind.
  std::shared_ptr<const RecordBody> Report(NodeId node) const;
  std::map<NodeId, std::shared_ptr<const RecordBody>> Reports() const;
  // Slices published by this controller, by the node they are for.
  std::map<NodeId, std::shared_ptr<const RecordBody>> Slices(NodeId controller) const;
  // The one for `node` alone.
  std::shared_ptr<const RecordBody> Slice(NodeId controller, NodeId node) const;
  std::shared_ptr<const RecordBody> Region(NodeId controller) const;
  std::vector<std::shared_ptr<const RecordBody>> Events() const;  // oldest first
  // All but the events.
  const FlatMap<RecordKey, Record>& records() const { return records_; }
  std::uint64_t digest() const { return digest_ ^ events_.digest(); }  // never 0
  // Of what only this node's region has; 0 while there is one.
  std::uint64_t region_digest() const { return region_.members.empty() ? 0 : region_digest_; }
  // Another one whenever a region report is.
  std::uint64_t regions_version() const { return regions_version_; }
  std::uint64_t refused() const { return refused_; }

 private:
  // Who told a piece of news need not be told. Mostly they are few, and room for them is at hand.
  class Tellers {
   public:
    void Add(NodeId id) {
      if (count_ < few_.size()) {
        few_[count_++] = id;
      } else {
        more_.push_back(id);
      }
    }
    bool Contains(NodeId id) const {
      return std::any_of(few_.begin(), few_.begin() + static_cast<std::ptrdiff_t>(count_),
                         [&](const NodeId& known) { return known == id; }) ||
             std::ranges::find(more_, id) != more_.end();
    }

   private:
    std::array<NodeId, 4> few_;
    std::size_t count_ = 0;
    std::vector<NodeId> more_;
  };
  struct Change {
    Record record;
    Tellers from;  // nobody: our own
  };
  struct Link {
    bool lazy = false;  // left out
    Time asked{};       // when to leave us out; zero: not
  };

  void On(const Tick&);
  void On(const NewLife& life);
  void On(const Publish& publish);
  void On(const PublishEvent& publish);
  void On(const RecordsReceived& received) { Take(received.from, received.push); }
  void On(const RecordOfferReceived& received) { Answer(received.from, received.offer); }
  void On(const LinkUp& link);
  void On(const LinkDown& link);
  void On(const BoardPeers& peers);
  void On(const BoardPeer& peer);
  void On(const BoardRegion& region);
  void On(const BoardDigestHeard& heard);
  void On(const OwnerGone& gone);
  void On(const LaterLife& later);
  bool IsVoidPlan(const Record& record) const;

  BoardOutputs Finish();
  void Take(NodeId from, const RecordPush& push);
  void Answer(NodeId from, const RecordOffer& offer);
  bool Accept(const Record& record) const;
  bool Put(const Record& record);
  bool PutStatement(const Record& record);
  void Tell(const Record& record);
  bool IsUrgent(const Record& record);
  // Waits to be flooded with this very version; null: does not.
  Change* WaitingWith(const Record& record);
  void DropEarlierLives(const Record& record);
  void EraseStatements(NodeId owner, std::uint32_t boot);  // up to this life
  void Send(NodeId to, std::vector<Record> records, bool flood);
  void SendOffer(NodeId to, bool reply_wanted);
  std::vector<std::pair<RecordKey, RecordVersion>> HeldFor(NodeId peer) const;
  void Flush();
  // A flood told nothing new: its sender might leave us out.
  void OnNothingNew(NodeId from);
  void OnKnown(NodeId from);
  void SetLazy(NodeId peer, bool lazy);
  void BringBack();
  // Notes are compared at once with who is newly met.
  void Meet(NodeId peer);
  // ---- board_region.cc
  bool IsRegional(const RecordKey& key) const;
  bool ConcernsUs(const Record& record) const;
  bool IsInside(NodeId node) const;
  bool Tells(bool peer_inside, const Record& record) const;
  std::vector<std::pair<RecordKey, RecordVersion>> ConcerningUs(const RecordOffer& offer) const;
  // Of the links inside the region, or outside, as this peer is: those not left out, and as few as must be.
  std::size_t EagerLinks(NodeId like) const;
  std::size_t EagerMin(NodeId like) const;
  bool HasFewWays(NodeId like) const { return EagerLinks(like) <= EagerMin(like); }
  void Count(const Record& record);  // into the digests, or out of them
  std::shared_ptr<const RecordBody> Find(const RecordKey& key) const;
  Endpoint AddressOf(NodeId peer) const;

  const Tunables tunables_;
  const NodeId self_;
  std::uint32_t boot_;
  DifferenceWatch differences_;
  DifferenceWatch region_differences_;
  Time now_{};  // of the present Step
  BoardOutputs out_;
  // To be flooded, in the order in which they came. An event knows its place here; of statements, whose keys
  // come again and again, the place is kept beside.
  std::vector<Change> changed_;
  FlatMap<RecordKey, std::size_t> changed_statements_;
  NodeId step_from_;     // of what this Step brought
  bool urgent_ = false;  // not only what can wait for others to go with
  Time reach_told_at_{};
  Time flush_at_ = kNever;
  Time flush_next_{};  // not before

  FlatMap<RecordKey, Record> records_;             // statements
  FlatMap<NodeId, std::uint32_t> lives_;           // latest boot heard of, per owner
  FlatMap<NodeId, std::uint32_t> planning_lives_;  // as membership knows them, where not the first
  FlatMap<NodeId, std::uint32_t> gone_;            // last boot known to be over
  std::uint64_t digest_;                           // of the statements that are everywhere
  std::uint64_t region_digest_;                    // of the others
  std::uint64_t regions_version_ = 0;
  BoardRegion region_;
  std::vector<std::uint64_t> region_prefixes_;  // of its members' ids, as slices are keyed; sorted
  EventBook events_;
  std::uint64_t sequence_ = 0;
  std::uint64_t event_number_ = 0;
  std::uint64_t refused_ = 0;
  FlatMap<NodeId, Endpoint> peers_;  // present members
  FlatMap<NodeId, Link> links_;
  // Inside the region and outside, as counted, until links, peers or members change.
  mutable std::array<std::optional<std::size_t>, 2> eager_links_;
  mutable std::optional<std::size_t> present_inside_;  // other members of the region, until the same change
  std::set<NodeId> met_;  // of the peers, those offered to since they are present
  Time meet_next_{};      // not before
  Time asking_until_{};   // one is asked at a time
};

}  // namespace hs
