// Which peers this node reaches directly, and by which relays it reaches the others.
//
// Intuition: a postman who finds a road blocked asks the neighbours who still gets through, gives his letters
// to the quickest of them, puts up a note about the block, and looks every now and then whether the road is
// open.
//
// The direct path to a peer is *cut* when two questions in a row, put straight to it, stay without a straight
// answer (more where the path is known to lose some), and a relay answers for it all the same. (Where none
// does, the peer may just be dead: membership's matter, and nothing changes here.) TCP needs both directions,
// so links go round as soon as one is cut; datagrams go round only in the direction that is.
//
// Invariants:
//  1. A way has at most two relays and names each node once. It is used only after an answer came over it.
//  2. The first of several relays asked at once that answers is the quickest: it is taken, and kept until it
//     fails twice in a row or another was clearly quicker three times in a row.
//  3. The direct path is taken again after kHealed straight answers; a miss takes some of them back, two in a
//     row all. Where it breaks again and again it takes more each time: a bad cable makes no routes flap.
//  4. Only exceptions are told to others, and only those that a way round exists for. Of nodes with the same
//     long list all but one name that one's list.
//  5. A node that slept counts nothing as unanswered that was asked before.
//  6. A member that dials out is cut by its own word: nobody asks for its direct path, it is reached
//     through the relays that it names, and it is no relay itself. To those relays it is directly there.
//  7. What it asks does not grow with the number of cuts, and searches that find nothing become rare: where
//     all boxes are short of CPU everybody seems cut off, and questions would keep it so.
// It does not decide whether a peer lives, and sends no bytes itself.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/flat_map.h"
#include "base/prng.h"
#include "base/token_bucket.h"
#include "base/tunables.h"
#include "core/messages.h"
#include "core/routing/loss_book.h"
#include "core/types.h"

namespace hs {

using Relays = std::vector<NodeId>;  // in order; none: directly

// ---- inputs
struct RoutingTick {};
// A datagram came straight from it.
struct HeardDirectly {
  NodeId peer;
};
// It answered straight to a question put straight to it.
struct AnsweredDirectly {
  NodeId peer;
  Duration round_trip{};
};
// It did not answer such a question in time, or a direct link to it broke off in silence.
struct DirectSilence {
  NodeId peer;
};
// The answer to a SendPathPing of ours.
struct PathAnswered {
  NodeId peer;
  std::uint32_t sequence = 0;
};
// What a peer says of its own paths; null: nothing any more.
struct ReachSaid {
  NodeId owner;
  std::shared_ptr<const RecordBody> body;
};
// Peers whose direct path is looked at all the time, since people's requests go there. Sorted.
struct WatchPaths {
  std::vector<NodeId> peers;
};
// Somebody came or went.
struct RoutingMembersChanged {};
// A member that dials out came or went, or says otherwise over whom it is reached; or one dials out no more.
struct DialersChanged {};
// How late this node wakes: whoever is late itself gives others more time (Membership::lateness).
struct OwnLateness {
  Duration late{};
};
using RoutingInput = std::variant<RoutingTick, HeardDirectly, AnsweredDirectly, DirectSilence, PathAnswered,
                                  ReachSaid, WatchPaths, RoutingMembersChanged, DialersChanged, OwnLateness>;

// ---- outputs
struct SendPathPing {
  NodeId to;
  Relays relays;
  std::uint32_t sequence = 0;
};
// It lives, and a relay proves it.
struct AnsweredByDetour {
  NodeId peer;
};
struct RouteChanged {
  NodeId peer;
  Relays before;  // none: directly
  Relays after;
  std::string cause;
};
using RoutingOutput = std::variant<SendPathPing, AnsweredByDetour, RouteChanged>;

// A path as people may see it.
struct PathView {
  Relays relays;  // none: directly
  bool heard = false;
  std::optional<Duration> round_trip;
};

class Routing {
 public:
  Routing(const Tunables& tunables, NodeId self, Prng prng);

  // `members`: with this node itself. The same object each time.
  std::vector<RoutingOutput> Step(Time now, const MemberTable& members, const RoutingInput& input);
  Time NextDeadline() const { return deadline_; }

  bool InTrouble(NodeId peer) const { return troubles_.contains(peer); }
  bool AnyDetour() const { return detours_ > 0; }
  bool AnyDialsOut() const { return dialers_ > 0; }
  // For datagrams: directly where only the way back is cut.
  const Relays& ForDatagrams(NodeId peer) const;
  // For what needs both directions.
  const Relays& ForLinks(NodeId peer) const;
  // Peers that links go round to; sorted.
  std::vector<std::pair<NodeId, Relays>> Detours() const;
  // Members that keep lines to this node; sorted.
  const std::vector<NodeId>& Lines() const { return lines_; }

  // What others should know; unchanged as long as version() is.
  ReachReport Report() const;
  std::uint64_t version() const { return version_; }

  // Do these two reach each other, as far as anybody said? Sees through `same_as`.
  bool SaidCut(NodeId teller, NodeId peer) const;
  PathView View(NodeId peer) const;

 private:
  // A peer whose direct path is in doubt or cut.
  struct Trouble {
    Time since{};
    int misses = 0;               // in a row
    std::optional<int> lost = 0;  // questions, if the next is answered; none: since it was cut none was
    bool cut = false;             // missed too often, or declared
    bool declared = false;        // it dials out, and keeps no line to this node
    Time heard_at{};              // last datagram straight from it; zero: none since
    bool heard = false;
    std::optional<Relays> detour;
    Duration detour_round_trip{};
    int detour_misses = 0;
    std::optional<Relays> rival;  // quicker of late
    int rival_wins = 0;
    int rounds = 0;  // of the search under way
    std::set<Relays> tried;
    int straight_answers = 0;  // since it was cut, less what misses took back
    Time direct_next{};
    Time detour_next = kNever;
    Time search_next = kNever;
    Time improve_next = kNever;
  };
  struct Probe {
    NodeId peer;
    Relays relays;
    Time sent;
    Time deadline;
    bool search = false;
  };
  struct Flap {
    Time healed_at{};
    int answers_needed = 0;
  };

  void On(const RoutingTick&) {}
  void On(const HeardDirectly& heard);
  void On(const AnsweredDirectly& answered);
  void On(const DirectSilence& silence);
  void On(const PathAnswered& answered);
  void On(const ReachSaid& said);
  void On(const WatchPaths& watch);
  void On(const RoutingMembersChanged&);
  void On(const DialersChanged&);
  void On(const OwnLateness& own) { late_ = own.late; }

  bool Present(NodeId id) const;
  void Declare(NodeId peer, const Member& member);
  void NoteRoundTrip(NodeId peer, Duration round_trip);
  void Doubt(NodeId peer, int lost);
  void Ask(NodeId peer, Relays relays, bool search);
  bool Asking(NodeId peer, const Relays& relays) const;
  void OnMiss(const Probe& probe);
  void OnStraightAnswer(NodeId peer, Trouble& trouble);
  void OnDetourAnswer(NodeId peer, Trouble& trouble, const Relays& relays, Duration round_trip);
  void TakeDetour(NodeId peer, Trouble& trouble, Relays relays, Duration round_trip,
                  const std::string& cause);
  void DropDetour(NodeId peer, Trouble& trouble, const std::string& cause);
  void EndTrouble(NodeId peer, const std::string& cause);
  void RunTimers();
  void RunTrouble(NodeId peer, Trouble& trouble);
  void Search(NodeId peer, Trouble& trouble);
  struct Ranking {
    std::vector<NodeId> relays;
    std::size_t proven = 0;  // so many of them, the first, serve somebody already
  };
  std::vector<Relays> Candidates(NodeId peer, const Trouble& trouble, std::size_t count,
                                 bool only_proven = false);
  Ranking FirstRelays(NodeId peer) const;
  bool MayRelay(NodeId relay) const;
  bool DialsOut(NodeId id) const;
  bool Reaches(NodeId relay, NodeId peer) const;
  void SetDeadline();
  Duration Patience(const Relays& relays) const;
  Duration CheckPause(NodeId peer) const;
  Duration DetourPause(NodeId peer) const;
  Duration ImprovePause() const;
  Duration WatchPause() const;
  std::string NameOf(NodeId id) const;
  std::string Words(const Relays& relays) const;

  const Tunables tunables_;
  const NodeId self_;
  Prng prng_;
  Time now_{};
  Time deadline_ = kNever;
  const MemberTable* members_ = nullptr;
  std::vector<RoutingOutput> out_;

  std::map<NodeId, Trouble> troubles_;
  std::map<std::uint32_t, Probe> probes_;
  FlatMap<NodeId, Time> watched_;  // by when to ask
  FlatMap<NodeId, Duration> round_trips_;
  std::map<NodeId, Flap> flaps_;
  LossBook losses_;  // of direct paths
  std::map<NodeId, std::shared_ptr<const RecordBody>> said_;
  std::size_t detours_ = 0;
  std::size_t dialers_ = 0;  // present members that dial out
  std::vector<NodeId> lines_;
  // Questions of all searches together. One that is answered costs nothing, so this paces those in vain.
  TokenBucket asks_{128, 16};
  Duration late_{};
  std::uint64_t version_ = 0;
  std::uint32_t next_sequence_ = 1;
};

// The same for equal sets of peers. Not 0.
std::uint64_t HashOfPeers(const std::vector<ReachException>& exceptions);

}  // namespace hs
