// How a node goes, by its own wish or by others', and what it is called while it is here.
#include <algorithm>
#include <utility>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// Nothing ran here for this long, since the drain is known: no order to start something is still on its way.
constexpr Duration kQuietBeforeGoing = 500ms;
// A newcomer that took a name gives it up by itself; whoever was here before waits this long for that.
constexpr Duration kNamePatience = 3s;

// Of the writes that a leaving node makes for itself. Nobody waits for their answers.
constexpr RequestId kDrainRequest{~std::uint64_t{0}};
constexpr RequestId kUndrainRequest{~std::uint64_t{0} - 1};

}  // namespace

void Node::Impl::Apply(const LeaveRequested& input) {
  if (parting_ >= Parting::kStopping || (parting_ == Parting::kDraining && !input.at_once)) return;
  if (input.at_once) {
    parting_ = Parting::kStopping;
    Emit("member.leaving", meta_.name, "asked to leave at once: it stops what it runs");
  } else {
    parting_ = Parting::kDraining;
    Emit("member.leaving", meta_.name, "asked to leave: it gives its work away first");
    Intend(ClientWrite{kDrainRequest, {{DrainKey(self_), DrainOrder{self_}}}});
  }
}

// Nodes whose key is no longer trusted: their documents are tombstones.
void Node::Impl::SettleRemoved() {
  std::set<NodeId> removed;
  for (const auto& [key, document] : DocumentsUnder(intent_.documents(), "node/")) {
    if (document.IsTombstone()) removed.insert(ParseKey(key)->node);
  }
  if (std::exchange(removed_, removed) == removed) return;
  dirty_.members = true;
  AsMember(Membership::Removed{std::move(removed)});
}

void Node::Impl::SettleParting() {
  if (removed_.contains(self_) && parting_ < Parting::kStopping) parting_ = Parting::kStopping;
  const bool idle = supervisor_.statuses().empty();
  switch (parting_) {
    case Parting::kNone:
    case Parting::kGone:
      return;
    case Parting::kDraining: {
      const bool drained = drained_.contains(self_);
      if (std::exchange(drain_seen_, drained) && !drained) {
        parting_ = Parting::kNone;
        parting_at_ = kNever;
        return Emit("member.staying", meta_.name, "the drain was taken back: it does not leave");
      }
      const bool quiet = idle && drained;
      if (!quiet) {
        parting_at_ = kNever;
      } else if (parting_at_ == kNever) {
        parting_at_ = now_.mono + kQuietBeforeGoing;
      } else if (parting_at_ <= now_.mono) {
        SayGoodbye();
      }
      return;
    }
    case Parting::kStopping:
      if (!idle)
        return StopAll(removed_.contains(self_) ? "this node was removed from the cluster"
                                                : "this node leaves at once");
      return SayGoodbye();
  }
}

void Node::Impl::StopAll(const std::string& cause) {
  SliceReceived order;
  order.slice.node = self_;
  for (const ReplicaStatus& status : supervisor_.statuses()) {
    order.slice.assignments.push_back({status.id, status.service, status.spec, status.id, cause});
  }
  Supervise(order);
  // What the order makes due now is not left for a deadline that has passed.
  if (supervisor_.NextDeadline() <= now_.mono) Supervise(Tick{});
}

void Node::Impl::SayGoodbye() {
  parting_ = Parting::kGone;
  parting_at_ = kNever;
  if (removed_.contains(self_)) {
    // Nobody listens to it any more.
    const std::string cause =
        "this node was removed from cluster " + cluster_.Short() + ", which no longer trusts its key";
    Note("member.removed", meta_.name, cause);
    outputs_.emplace_back(Gone{cause});
    return;
  }
  // A box that comes back takes work again.
  if (drained_.contains(self_)) Intend(ClientWrite{kUndrainRequest, {{DrainKey(self_), std::monostate{}}}});
  AsMember(Membership::Leave{});
}

// People tell nodes by their names. Of two with the same one the newcomer takes another; where neither is
// new, as after a cut, the one with the greater id.
void Node::Impl::SettleName() {
  if (!table_known_ || parting_ != Parting::kNone) return;
  const Member* other = nullptr;
  for (const auto& [id, member] : membership_.members()) {
    if (id != self_ && IsPresent(member.state) && member.meta->name == meta_.name) other = &member;
  }
  const bool newcomer = !std::exchange(name_checked_, true);
  if (other == nullptr || (!newcomer && self_ < other->id)) {
    rename_at_ = kNever;
    return;
  }
  if (!newcomer && rename_at_ == kNever) rename_at_ = now_.mono + kNamePatience;
  if (!newcomer && now_.mono < rename_at_) return;
  rename_at_ = kNever;
  const std::string taken = std::exchange(meta_.name, meta_.name + "-" + self_.Short());
  AsMember(Membership::SetMeta{meta_});
  Emit("member.renamed", meta_.name,
       "the name " + taken + " belongs to the node at " + other->meta->address.ToString() +
           ": this one, at " + meta_.address.ToString() + ", has another; choose one with --name");
}

}  // namespace hs
