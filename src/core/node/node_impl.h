// The inside of Node: the mechanisms and what flows between them.
//
// One input is routed to the mechanisms it concerns; what they say either leaves the node or changes what
// others must know, which is noted in `dirty_`. Settle() then brings everything derived up to date, in a
// fixed order, until nothing is dirty. So each mechanism sees a consistent world and none knows another.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/flat_map.h"
#include "core/control/allotments.h"
#include "core/control/asking.h"
#include "core/control/levels.h"
#include "core/control/start_times.h"
#include "core/engines/door_table.h"
#include "core/intent/quota.h"
#include "core/intent/store.h"
#include "core/leadership/disk_gauge.h"
#include "core/leadership/leadership.h"
#include "core/leadership/strain.h"
#include "core/membership/lan_search.h"
#include "core/membership/membership.h"
#include "core/node/node.h"
#include "core/observation/board.h"
#include "core/observation/load_book.h"
#include "core/placement/evidence.h"
#include "core/placement/health_watch.h"
#include "core/placement/outlook.h"
#include "core/placement/plan_book.h"
#include "core/placement/reconcile.h"
#include "core/regions/division.h"
#include "core/regions/trie.h"
#include "core/routing/carry.h"
#include "core/routing/dialing.h"
#include "core/routing/routing.h"
#include "core/supervision/supervisor.h"

namespace hs {

class Node::Impl {
 public:
  Impl(const Tunables& tunables, BootState boot, Now now);

  Outputs Step(Now now, const Input& input);
  Time NextDeadline() const;
  NodeView View(Now now) const;
  const Document* FindDocument(const std::string& key) const;
  Endpoint AddressOf(NodeId node) const;
  LoadReport Loads(Now now) const { return load_book_.Sum(now.mono); }
  std::vector<MetricTarget> MetricTargets() const;
  const MemberTable& Members() const { return membership_.members(); }
  const std::vector<DesiredService>& Services() const { return services_; }
  const SteadyState& Steady() const { return steady_; }
  std::uint64_t IntentDigest() const { return intent_.digest(); }
  const std::vector<Allotment>& Held() const { return allotments_; }
  const PlanSlice* Slice() const { return slice_ ? &std::get<PlanSlice>(*slice_) : nullptr; }
  Following following() const { return {region_.controller, slice_stamp_}; }

 private:
  // What changed since the last Settle().
  struct Dirty {
    bool members = true;    // a member's state or metadata
    bool documents = true;  // intent
    bool reports = true;    // somebody's NodeReport
    bool serving = true;    // what doors look at: replicas that serve, and whether their boxes can be reached
    bool names = true;      // of present members
    bool bundles = true;    // held by others
    bool plans = true;      // a slice or a region report
    bool statuses = true;   // our own replicas, bundles or door
    bool Any() const {
      return members || documents || reports || serving || names || bundles || plans || statuses;
    }
  };
  static constexpr Dirty kClean{false, false, false, false, false, false, false, false};

  // ---- inputs (node.cc)
  void Apply(const Tick&);
  void Apply(const DatagramReceived& input);
  void Hear(const DatagramReceived& datagram, bool straight);
  void Apply(const LinkUp& input);
  void Apply(const LinkDown& input);
  void Apply(const LinkReceived& input);
  void Apply(const ConnectOutcome& input);
  void Apply(const Persisted& input);
  void Apply(const PersistFailed& input);
  void Apply(const ClientWrite& input);
  void Apply(const ReplicaStarted& input);
  void Apply(const ReplicaStartFailed& input);
  void Apply(const ReplicaExited& input);
  void Apply(const ProbeResult& input);
  void Apply(const ReplicaIdle& input);
  void Apply(const BundleReady& input);
  void Apply(const BundleFailed& input);
  void Apply(const DoorStatus& input);
  void Apply(const LoadMeasured& input);
  void Apply(const LeaveRequested& input);
  void Apply(const Unreadable& input);
  void Apply(const LanHeard& input);
  void Apply(const DiskChecked& input);

  void TakeEarlyWrites();

  // ---- mechanisms' words (node_flow.cc)
  template <typename MechanismOutputs>
  void Carry(MechanismOutputs outputs);
  void AsMember(const Membership::Input& input);
  void AsMember(const DatagramReceived& datagram);
  void AsMember(NodeId from, const PushPull& table);
  void TellPeer(const Membership::MemberChanged& change);
  void CountLivesFrom(std::uint32_t boot);
  bool ConcernsDoor(const Membership::MemberChanged& change) const;
  void Intend(const IntentInput& input);
  void Observe(const BoardInput& input);
  void Observe(NodeId from, const RecordPush& push);
  void Observe(NodeId from, const RecordOffer& offer);
  void Supervise(const SupervisorInput& input);
  void Weigh(const EvidenceInput& input);
  void Reach(const RoutingInput& input);
  void Search(const LanSearch::Input& input);

  void On(const Membership::MemberChanged& change);
  void On(const Membership::ClockSample& sample);
  void On(const Membership::PeerDigests& digests);
  void On(const Membership::IdentityConflict& conflict);
  void On(const Membership::LeaveDone&);
  void On(const AckDocument& ack);
  void On(const DocumentChanged& change);
  void On(const DocumentHeldBack& held);
  void On(const DocumentRestamped& restamped);
  void On(const DocumentConflict& conflict);
  void On(const RecordChanged& change);
  void On(const ReplicaChanged& change);
  void On(const NeedBundle& need) { Fetch(need.digest); }
  void On(const NodeProvenDead& proof);
  void On(const VerdictChanged&);
  void On(const Membership::PingAnswered& answered);
  void On(const Membership::PingMissed& missed);
  void On(const SendPathPing& ping);
  void On(const AnsweredByDetour& answered);
  void On(const RouteChanged& change);

  // ---- derived state (node_settle.cc)
  void Settle();
  void SettleMembers();
  void SettleLeadership();
  void TellRole(RoleChange change);
  std::set<NodeId> NotForWork() const;
  void SettleServices();
  void SettleReport();
  void SettleTroubles();
  void SettleSlice(bool specs);
  void SettleKeepers(const RecordBody* standing = nullptr);
  bool KnowsWhatServes() const;
  bool KnowsWhatRuns() const;
  bool LostWhatWasAsked() const { return documents_lost_ && asked_.empty(); }
  void SettleDoor();
  void SettleDigests();
  void SettleSteady();
  SteadyState SteadyNow() const;
  void Plan();
  void PublishPlan(PlanUpdate& update);
  void TellFirstPlan(const PlanUpdate& update);
  void PlanSoon();
  std::vector<std::string> WhatIsPending() const;
  void WatchEvidence();

  // ---- what was measured (node_load.cc)
  struct LoadTold {
    Time at{};
    bool idle = false;
    std::uint64_t documents = 0;  // of all its nodes
  };
  bool IsTimeToTell(LoadTold& told, const LoadReport& report) const;
  void SendLoad(NodeId to, const LoadReport& report);
  void Gather(NodeId from, const LoadReport& report);
  std::string DiskTrouble() const;
  void NoteDocuments(const LoadReport& report);
  void TellMetricProblems(const std::vector<MetricProblem>& problems);
  struct Summed {
    Time at{};
    bool busy = false;     // somebody was
    bool overdue = false;  // though not all had spoken
  };
  bool IsTimeToSum(Summed& last, bool own_moment, const std::vector<NodeId>* senders) const;
  void PassOn(bool own_moment);
  void SumUp(const std::vector<NodeId>& watched);

  // ---- how many (node_levels.cc)
  std::map<std::string, ServiceCounts> CountReplicas();
  std::map<std::string, ServiceLevel> PublishedLevels() const;
  std::map<std::string, ServiceLevel> PresentLevels() const;
  void MoveLevels();
  void Grant(std::vector<ServiceLevel>& levels);
  bool Complete() const;
  SteadyView::Standing Standing();
  std::set<std::string> StrictServices() const;
  std::vector<std::vector<Allotment>> HeldHere() const;
  void Deal(PlanDraft& draft);
  bool ApplyLevels();
  std::vector<std::uint32_t> LeveledReplicas();

  // ---- regions of a large cluster (node_regions.cc)
  bool Regional() const { return leaves_.size() > 1; }
  // The members that this node's controller plans for.
  const MemberTable& Here() const { return Regional() ? here_ : membership_.members(); }
  // Whether it decides how many there are of each service, in all regions together.
  bool Stewards() const { return Leads() && steward_ == self_; }
  void NoteRegion(const Membership::MemberChanged& change);
  void NotePlace(const Member& member);
  Place PlaceOf(const Member& member) const { return places_[membership_.members().SlotOf(member.id)]; }
  void SettleRegion();
  void FindRegions();
  void EnterRegion(RegionId region);
  void SettleScope();
  void SettleSteward();
  NodeId FarController() const;
  bool HasLeaf(RegionId region) const;
  RegionId LeafOf(NodeId node) const;
  const std::vector<const RegionReport*>& Summaries() const;
  RegionReport Summary(const PlanDraft& draft, const NodeReports& reports) const;
  void TellRegion(RegionReport report);
  bool IsUrgent(const RegionReport& report) const;
  void SayRegion();
  std::map<std::string_view, std::vector<SummedServer>> ServingElsewhere(const DoorReports& reports) const;
  std::vector<RegionSeen> RegionsSeen() const;
  bool HoldsOurDocuments(NodeId id) const;
  std::uint64_t DocumentsHere() const;
  void TellWhetherAllAgree();
  bool AllAreSaidToHoldOurDocuments(const RegionReport& own) const;
  void WhatIsPendingElsewhere(std::vector<std::string>& pending) const;
  std::vector<Shortage> AllShortages() const;

  // ---- what each region may have (node_division.cc)
  void SettleShare();
  void FollowDivision(const RegionShare& share, PlanStamp stamp);
  bool HasShare() const { return own_share_ && own_share_->region == region_id_; }
  std::vector<DesiredService> ServicesHere(const std::map<std::string, std::uint32_t>& staying) const;
  enum class Silent : std::uint8_t { kNot, kCounts };
  std::vector<Allotment> HeldSum(Silent silent) const;
  AllotmentTotals TotalsHere(AllotmentTotals totals) const;
  void Divide(PlanDraft& draft);
  std::vector<ServiceToDivide> ToDivide(const std::map<RegionId, const RegionReport*>& words) const;
  void DealToRegions(const std::map<RegionId, const RegionReport*>& words, std::vector<RegionShare>& shares);
  std::map<std::string, ReplicaId> KeepersElsewhere() const;

  // ---- bundles (node_bundles.cc)
  void Fetch(const Digest& digest);
  void SettleBundles();
  std::set<Digest> BundlesNeeded() const;

  // ---- routes (node_routes.cc)
  void OnRelayed(const DatagramReceived& datagram, const Relayed& relayed);
  void SendOver(NodeId to, const std::vector<NodeId>& relays, GossipMessage message);
  void Wrap(SendDatagram& datagram);
  bool DialsOut(NodeId node) const;
  void NoteSource(NodeId from, const Endpoint& source);
  bool AnswersStraight(const SendDatagram& datagram) const;
  void Readdress(SendDatagram& datagram) const;
  void WatchDoorPaths();
  void WatchPathsInUse();
  void SettleRoutes();
  void SettleDialing();
  void TellReach();
  std::vector<LinkView> Links() const;

  // ---- the local network (node_lan.cc)
  void NoteCompany(const Membership::MemberChanged& change);
  void SettleCompany();
  void On(const LanSearch::Ask& ask);
  void On(const LanSearch::Greet& greet) { AsMember(Membership::Hint{greet.id, greet.address}); }

  // ---- leaving, being removed, names (node_parting.cc)
  // kStopping and later: plans are followed no more.
  enum class Parting : std::uint8_t { kNone, kDraining, kStopping, kGone };
  void SettleRemoved();
  void SettleParting();
  void StopAll(const std::string& cause);
  void SayGoodbye();
  void SettleName();

  // ---- helpers
  bool Leads() const { return region_.controller == self_; }
  void KeepLastWords(NodeId id);
  NodeReports ObservedReports() const;
  KnownSlices ObservedSlices() const;
  Event EventOf(const std::string& kind, const std::string& subject, const std::string& cause) const;
  // Logged here, and known to all.
  void Emit(const std::string& kind, const std::string& subject, const std::string& cause);
  // Logged here alone.
  void Note(const std::string& kind, const std::string& subject, const std::string& cause);
  std::string NameOf(NodeId node) const;

  const Tunables tunables_;
  const ClusterId cluster_;
  const NodeId self_;
  const std::uint32_t boot_counter_;
  const Time started_;
  Now now_;
  Prng prng_;
  MemberMeta meta_;

  Membership membership_;
  IntentStore intent_;
  Board board_;
  Routing routing_;
  Carrier carrier_;
  Dialing dialing_;
  LanSearch lan_;
  Leadership leadership_;
  StrainGauge strain_;
  DiskGauge disk_;
  Supervisor supervisor_;
  WorkEvidence evidence_;
  PlanBook plan_book_;
  MoveBook move_book_;
  SteadyView steady_view_;
  Time minority_seen_at_{};  // last, while this node controlled
  HealthWatch health_watch_;
  LoadBook load_book_;
  Levels levels_;
  StartTimes start_times_;

  Dirty dirty_;
  bool steady_dirty_ = true;   // the answer to "steady?" may have changed
  bool members_moved_ = true;  // since the steady view was last told
  Outputs outputs_;

  // Who could be in sight and is not:
  bool asks_lan_ = true;
  std::size_t gone_ = 0;     // members that went without a goodbye
  std::set<NodeId> unseen_;  // known from the last life, not met in this one
  bool hinted_ = false;      // somebody, who knows who, should be at an address given
  bool guessed_ = false;     // that one is counted among the others: no other is known

  std::vector<ClientWrite> early_writes_;  // came before the others were found

  std::map<Role, RoleHeld> roles_;  // of this node

  // Regions:
  std::vector<Place> places_;        // of members, by their slots
  std::vector<RegionId> leaves_{0};  // in order of place
  Time leaves_since_{};
  RegionId region_id_ = 0;
  Time region_since_{};               // of this node being in it; zero: from the start
  bool region_dirty_ = true;          // who is present, where, and what they claim
  bool here_dirty_ = true;            // a member of our region
  MemberTable here_;                  // while there are several
  BoardRegion scope_;                 // as the board was told
  std::vector<RegionId> spoken_for_;  // when it was
  bool scope_dirty_ = true;           // a member came into view, went, or its region is another
  std::set<NodeId> linked_;           // as membership was
  NodeId steward_;                    // zero: not known at the moment
  NodeId far_controller_;             // of the first region, while that is another; zero: nobody claims it
  bool far_dirty_ = true;
  mutable std::vector<const RegionReport*> summaries_;  // as last worked out
  mutable std::uint64_t summaries_of_ = 0;              // from this version of the board's
  mutable bool summaries_stale_ = true;                 // somebody claims otherwise than then
  bool stewards_ = false;                               // as last settled
  Division division_;
  Allotments region_dealer_;         // to regions, as `dealer_` to nodes
  std::vector<RegionShare> shares_;  // while this node is the steward
  std::uint64_t division_sequence_ = 0;
  std::optional<RegionShare> own_share_;  // of our region
  std::vector<Allotment> own_maximums_;   // of it, as they may be dealt out here
  PlanStamp follows_;                     // where they are from
  PlanStamp dealt_for_;                   // whose maximums this region's nodes hold by now
  std::optional<RegionReport> unsaid_;    // our next word on it, while it is not due
  Time say_next_{};                       // when it is

  // Derived:
  RegionView region_;
  bool table_known_ = false;     // the member table was compared with somebody's
  bool intent_known_ = false;    // the documents were found equal to somebody's, or nobody else is there
  bool box_fell_ = false;        // replicas were here, and none was alive at the start
  bool documents_lost_ = false;  // work ran here at the start, and not one document was on the disk
  std::vector<DesiredService> asked_;     // by the documents
  bool asked_changed_ = true;             // since services_ was made of it
  bool stacks_moved_ = true;              // or scale overrides, since asked_ was made of them
  std::vector<DesiredService> services_;  // the same with the levels of the controller
  std::vector<ServiceLevel> own_levels_;  // while this node controls
  Time levels_moved_at_{};                // when they were looked at last
  std::vector<Shortage> withheld_;        // of them, what there is not enough for
  std::map<SpecHash, ServiceSpec> specs_;
  std::set<NodeId> drained_;
  PlanStamp slice_stamp_;              // in force
  std::vector<Allotment> allotments_;  // held by this node
  Allotments dealer_;                  // of this node while it controls
  std::shared_ptr<const RecordBody> slice_;
  std::set<Digest> bundles_;
  std::map<Digest, Time> fetching_;    // asked for, and when to ask again
  std::map<Digest, Time> idle_since_;  // held, and needed by nothing since
  std::map<Digest, Time> dropped_at_;  // so that it is not fetched again from who drops it a little later
  std::string containment_;
  std::set<NodeId> removed_;  // by people
  Parting parting_ = Parting::kNone;
  bool drain_seen_ = false;    // of kDraining
  bool name_checked_ = false;  // against the names of those who were here before
  std::string door_error_;
  std::map<std::string, Time> troubles_;  // what could not be understood, and until when it is told
  Time troubles_at_ = kNever;             // the first of them ends
  std::shared_ptr<const DoorTable> door_ = std::make_shared<DoorTable>();
  bool door_told_ = false;
  SteadyState steady_;
  FlatMap<NodeId, std::uint64_t> intent_digests_;  // as present members last said
  // The same, as load reports bring it to monitors and controllers.
  FlatMap<NodeId, std::uint64_t> documents_told_;
  FlatMap<NodeId, std::uint64_t> serving_;         // a hash of what doors look at in each report
  FlatMap<NodeId, std::uint64_t> region_serving_;  // the same of each summary of a region
  std::vector<Decision> decisions_;                // of the last look at the region
  bool hears_straight_ = true;                     // the datagram at hand came from its sender without relays
  std::uint64_t routes_version_ = 0;               // of what the caller was told
  std::uint64_t reach_version_ = 0;                // of what was told to others
  ReachReport reach_told_;                         // the same
  Time reach_next_{};                              // they are told more
  TokenBucket member_news_{32, 1};                 // of members that came or went, to everybody
  // Words on whom this node does not reach. Where packets get lost everywhere, or boxes are short of CPU,
  // everybody's list changes all the time, and each word goes to everybody.
  TokenBucket reach_news_{5, 0.2};
  TokenBucket route_news_{4, 0.2};                  // a path may come and go with every packet that is lost
  Duration routes_late_{};                          // this node, as routing was told
  std::vector<Detour> detours_;                     // as the caller was told
  bool addresses_changed_ = false;                  // of members, since then
  std::vector<NodeId> door_paths_;                  // sorted
  std::vector<NodeId> watched_paths_;               // as routing was told; sorted
  bool dialing_due_ = true;                         // members or routes changed since relays were chosen
  std::vector<std::pair<NodeId, Endpoint>> lines_;  // as the caller was told
  struct Source {
    Endpoint address;
    Time heard_at{};
  };
  // The last reports of boxes that died, which are on the board no more.
  std::map<NodeId, Record> last_words_;
  FlatMap<NodeId, Source> sources_;  // where datagrams of members that dial out came from
  std::optional<NodeReport> published_;
  Membership::SetDigests digests_{};  // as gossip says them

  // Whether the apps' own numbers come, by service: said once, not each second.
  struct MetricWord {
    bool missing = false;         // as last said
    Time differs_since = kNever;  // from that
  };
  std::map<std::string, MetricWord> metric_words_;

  LoadTold own_load_told_;     // to our monitor
  LoadTold load_sum_told_;     // to the controller, of whom we watch
  LoadTold region_load_told_;  // to the steward, of our region
  Summed watched_summed_;
  Summed region_summed_;

  // Work that waits a moment, so that a burst of news is looked at once.
  Time plan_at_{};
  Time planned_at_{};
  Term planned_term_ = 0;  // of the last plan
  Time door_at_ = kNever;
  Time door_built_at_{};
  Time lead_at_{};
  Time steady_at_ = kNever;
  Time steady_judged_at_{};
  bool evidence_watched_ = false;
  Time bundles_at_ = kNever;  // the first idle bundle is due
  Time parting_at_ = kNever;  // nothing has been running here for long enough by then
  Time rename_at_ = kNever;
};

}  // namespace hs
