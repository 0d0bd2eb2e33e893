#include "core/node/node.h"

#include <algorithm>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// What could not be understood is told this long after it was last met. Anti-entropy meets it again and
// again.
constexpr Duration kTroubleTold = 10min;
constexpr std::size_t kTroublesMax = 8;

std::vector<Digest> Sorted(std::vector<Digest> digests) {
  std::sort(digests.begin(), digests.end());
  return digests;
}

}  // namespace

Node::Node(const Tunables& tunables, BootState boot, Now now)
    : impl_(std::make_unique<Impl>(tunables, std::move(boot), now)) {}
Node::~Node() = default;
Outputs Node::Step(Now now, const Input& input) { return impl_->Step(now, input); }
Time Node::NextDeadline() const { return impl_->NextDeadline(); }
NodeView Node::View(Now now) const { return impl_->View(now); }
const MemberTable& Node::Members() const { return impl_->Members(); }
const std::vector<DesiredService>& Node::Services() const { return impl_->Services(); }
const SteadyState& Node::Steady() const { return impl_->Steady(); }
std::uint64_t Node::IntentDigest() const { return impl_->IntentDigest(); }
const std::vector<Allotment>& Node::Held() const { return impl_->Held(); }
const PlanSlice* Node::Slice() const { return impl_->Slice(); }
Following Node::following() const { return impl_->following(); }
LoadReport Node::Loads(Now now) const { return impl_->Loads(now); }
std::vector<MetricTarget> Node::MetricTargets() const { return impl_->MetricTargets(); }

const Document* Node::FindDocument(const std::string& key) const { return impl_->FindDocument(key); }
Endpoint Node::AddressOf(NodeId node) const { return impl_->AddressOf(node); }

Node::Impl::Impl(const Tunables& tunables, BootState boot, Now now)
    : tunables_(tunables),
      cluster_(boot.cluster),
      self_(boot.node),
      boot_counter_(boot.boot_counter),
      started_(now.mono),
      now_(now),
      prng_(boot.seed),
      meta_([&] {
        boot.meta.region = 0;  // found out here, whatever was said before
        boot.meta.relays = {};
        return boot.meta;
      }()),
      membership_(tunables, {boot.node, boot.boot_id, boot.boot_counter, boot.meta}, prng_.Fork(), now.mono),
      intent_(tunables, boot.node, std::move(boot.documents), now),
      board_(tunables, boot.node, boot.boot_counter),
      routing_(tunables, boot.node, Prng(Mix64(boot.seed + 1))),
      carrier_(boot.node),
      dialing_(boot.node),
      lan_(Prng(Mix64(boot.seed + 2))),
      leadership_(tunables, boot.node, now.mono),
      supervisor_(tunables, boot.node, std::move(boot.replicas), prng_.Fork(), now),
      plan_book_(boot.node),
      move_book_(tunables_),
      steady_view_(boot.node, boot.peers),
      asks_lan_(boot.asks_lan),
      bundles_(boot.bundles.begin(), boot.bundles.end()),
      containment_(std::move(boot.containment)) {
  steady_.since = now.mono;
  NotePlace(membership_.members().at(self_));
  for (const Digest& digest : Sorted(std::move(boot.bundles))) Supervise(BundleReady{digest});
  const auto found = supervisor_.statuses();
  box_fell_ = !found.empty() && std::ranges::none_of(found, [](const ReplicaStatus& status) {
    return status.state == ReplicaState::kRunning;
  });
  documents_lost_ = intent_.documents().empty() && !supervisor_.statuses().empty();
  if (documents_lost_)
    Emit("intent.lost", meta_.name,
         "replicas run here, but no document is left on this disk: none of them is stopped before the "
         "documents were compared with another node's, or something is deployed");
  for (const auto& [id, address] : boot.peers) {
    if (id && id != self_) unseen_.insert(id);
    hinted_ = hinted_ || !id;
  }
  if (boot.peers.empty()) {
    table_known_ = true;  // nobody to compare with
  } else {
    AsMember(Membership::Seeds{std::move(boot.peers)});
  }
}

Outputs Node::Impl::Step(Now now, const Input& input) {
  HS_CHECK(now.mono >= now_.mono);
  now_ = now;
  std::visit([this](const auto& value) { Apply(value); }, input);
  Settle();
  if (routing_.AnyDetour() || routing_.AnyDialsOut()) {
    for (Output& output : outputs_) {
      auto* datagram = std::get_if<SendDatagram>(&output);
      if (datagram == nullptr) continue;
      if (!AnswersStraight(*datagram)) Wrap(*datagram);
      Readdress(*datagram);
    }
  }
  return std::exchange(outputs_, {});
}

Time Node::Impl::NextDeadline() const {
  return std::min({membership_.NextDeadline(),
                   intent_.NextDeadline(),
                   board_.NextDeadline(),
                   leadership_.NextDeadline(),
                   supervisor_.NextDeadline(),
                   evidence_.NextDeadline(),
                   routing_.NextDeadline(),
                   lan_.NextDeadline(),
                   Leads() ? plan_at_ : kNever,
                   unsaid_ ? say_next_ : kNever,
                   reach_version_ == routing_.version() ? kNever : reach_next_,
                   door_at_,
                   lead_at_,
                   steady_at_,
                   meta_.dials_out ? dialing_.NextDeadline() : kNever,
                   early_writes_.empty() ? kNever : started_ + tunables_.start_patience,
                   bundles_at_,
                   parting_at_,
                   rename_at_,
                   troubles_at_});
}

// ------------------------------------------------------------------------------------------------ inputs

void Node::Impl::Apply(const Tick&) {
  const Time now = now_.mono;
  if (now >= started_ + tunables_.start_patience) TakeEarlyWrites();
  if (membership_.NextDeadline() <= now) AsMember(Tick{});
  if (intent_.NextDeadline() <= now) Intend(Tick{});
  if (board_.NextDeadline() <= now) Observe(Tick{});
  if (supervisor_.NextDeadline() <= now) Supervise(Tick{});
  if (routing_.NextDeadline() <= now) Reach(RoutingTick{});
  if (lan_.NextDeadline() <= now) Search(Tick{});
  if (leadership_.NextDeadline() <= now) lead_at_ = now;
}

void Node::Impl::Apply(const DatagramReceived& input) {
  if (removed_.contains(input.from)) return;
  if (input.from == self_) return AsMember(input);  // a copy of this node, or its former life
  if (routing_.AnyDialsOut()) NoteSource(input.from, input.address);
  if (const auto* relayed = std::get_if<Relayed>(&input.message.body)) return OnRelayed(input, *relayed);
  if (routing_.InTrouble(input.from)) Reach(HeardDirectly{input.from});
  if (const auto* ping = std::get_if<PathPing>(&input.message.body)) {
    return SendOver(input.from, {}, GossipMessage{.body = PathPong{ping->sequence}});
  }
  if (const auto* pong = std::get_if<PathPong>(&input.message.body)) {
    return Reach(PathAnswered{input.from, pong->sequence});
  }
  Hear(input, true);
}

void Node::Impl::Hear(const DatagramReceived& datagram, bool straight) {
  hears_straight_ = straight;
  if (const auto* ack = std::get_if<DocumentAck>(&datagram.message.body))
    Intend(DocumentAcked{datagram.from, ack->stamp});
  AsMember(datagram);
}

void Node::Impl::Apply(const LinkUp& input) {
  if (removed_.contains(input.peer)) return;
  AsMember(input);
  Intend(input);
  Observe(input);
}

void Node::Impl::Apply(const LinkDown& input) {
  if (input.end == LinkEnd::kTimeout && routing_.ForLinks(input.peer).empty())
    Reach(DirectSilence{input.peer});
  AsMember(input);
  Intend(input);
  Observe(input);
}

void Node::Impl::Apply(const LinkReceived& input) {
  if (removed_.contains(input.from)) return;
  struct Visitor {
    Impl& node;
    NodeId from;
    void operator()(const PushPull& message) {
      node.AsMember(from, message);
      if (std::exchange(node.table_known_, true)) return;
      node.dirty_.members = node.dirty_.names = true;
      node.lead_at_ = node.now_.mono;
    }
    void operator()(const DocumentPush& message) { node.Intend(DocumentsReceived{from, message}); }
    void operator()(const DocumentOffer& message) { node.Intend(DocumentOfferReceived{from, message}); }
    void operator()(const RecordPush& message) { node.Observe(from, message); }
    void operator()(const RecordOffer& message) { node.Observe(from, message); }
    void operator()(const LoadReport& message) { node.Gather(from, message); }
  };
  std::visit(Visitor{*this, input.from}, input.message);
}

void Node::Impl::Apply(const ConnectOutcome& input) {
  AsMember(input);
  Weigh(input);
}

void Node::Impl::Apply(const Persisted& input) { Intend(input); }
void Node::Impl::Apply(const PersistFailed& input) {
  Apply(DiskChecked{.fault = input.fault, .reason = "documents could not be written: " + input.reason});
  Intend(input);
}
// Before the others are found, a write could neither be stamped by their clocks nor kept in more than one
// place.
void Node::Impl::Apply(const ClientWrite& input) {
  if (!table_known_ && now_.mono < started_ + tunables_.start_patience) {
    early_writes_.push_back(input);
  } else {
    Intend(input);
  }
}
void Node::Impl::TakeEarlyWrites() {
  for (const ClientWrite& write : std::exchange(early_writes_, {})) Intend(write);
}

void Node::Impl::Apply(const ReplicaStarted& input) { Supervise(input); }
void Node::Impl::Apply(const ReplicaStartFailed& input) { Supervise(input); }
void Node::Impl::Apply(const ReplicaExited& input) { Supervise(input); }
void Node::Impl::Apply(const ProbeResult& input) { Supervise(input); }
void Node::Impl::Apply(const ReplicaIdle& input) { Supervise(input); }

void Node::Impl::Apply(const BundleReady& input) {
  if (bundles_.insert(input.digest).second) dirty_.statuses = true;
  Supervise(input);
}

void Node::Impl::Apply(const BundleFailed& input) {
  if (bundles_.erase(input.digest) > 0) {
    Emit("bundle.lost", input.digest.Short(), input.reason + "; it is fetched again");
    fetching_.erase(input.digest);
    dirty_.statuses = true;
  } else {
    Emit("bundle.failed", input.digest.Short(), "the bundle could not be fetched: " + input.reason);
  }
  Supervise(input);
}

void Node::Impl::Apply(const DoorStatus& input) {
  if (input.error == door_error_) return;
  door_error_ = input.error;
  dirty_.statuses = true;
  Emit(door_error_.empty() ? "door.ok" : "door.failed", meta_.name,
       door_error_.empty() ? "the door serves its table" : door_error_);
}

// One poisoned word must not keep others away, so it was left out where it came in; people should know of it.
void Node::Impl::Apply(const Unreadable& input) {
  const std::string words = (input.from == self_ ? "its own disk" : NameOf(input.from)) +
                            " holds what it cannot read: " + input.words;
  const bool known = troubles_.contains(words);
  if (!known && troubles_.size() >= kTroublesMax) return;
  troubles_[words] = now_.mono + kTroubleTold;
  troubles_at_ = std::min(troubles_at_, now_.mono + kTroubleTold);
  if (known) return;
  dirty_.statuses = true;
  Emit("node.trouble", meta_.name, words);
}

void Node::Impl::SettleTroubles() {
  troubles_at_ = kNever;
  const auto ended =
      std::erase_if(troubles_, [this](const auto& entry) { return entry.second <= now_.mono; });
  for (const auto& [words, until] : troubles_) troubles_at_ = std::min(troubles_at_, until);
  if (ended > 0) dirty_.statuses = true;
}

void Node::Impl::Apply(const LoadMeasured& input) {
  TellMetricProblems(input.metric_problems);
  LoadReport report = input.report;
  for (NodeLoad& node : report.nodes) node.documents = intent_.digest();
  Gather(self_, report);
}

}  // namespace hs
