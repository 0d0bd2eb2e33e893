// Finding the others again where no address that is known leads to them.
#include <algorithm>

#include "core/node/node_impl.h"

namespace hs {
namespace {

// Without a goodbye: it may be somewhere.
bool IsMissing(MemberState state) { return !IsPresent(state) && state != MemberState::kLeft; }

}  // namespace

void Node::Impl::Apply(const LanHeard& input) {
  const auto member = membership_.members().find(input.from);
  const bool in_sight = member != membership_.members().end() && IsPresent(member->second.state) &&
                        member->second.meta->address == input.address;
  if (!in_sight) Search(input);
}

void Node::Impl::NoteCompany(const Membership::MemberChanged& change) {
  unseen_.erase(change.after.id);
  if (IsMissing(change.after.state)) ++gone_;
  if (change.before && IsMissing(change.before->state) && gone_ > 0) --gone_;
}

void Node::Impl::SettleCompany() {
  if (!asks_lan_) return;
  const std::size_t present = membership_.PresentCount();
  // Those who were gone for days are forgotten without a word.
  gone_ = std::min(gone_, membership_.members().size() - present);
  const std::size_t removed = static_cast<std::size_t>(
      std::ranges::count_if(unseen_, [this](const NodeId& id) { return removed_.contains(id); }));
  guessed_ = hinted_ && !table_known_ && unseen_.empty();
  Search(LanSearch::Company{present, present + gone_ + unseen_.size() - removed + (guessed_ ? 1 : 0)});
}

void Node::Impl::On(const LanSearch::Ask& ask) {
  if (parting_ >= Parting::kStopping) return;
  outputs_.emplace_back(AskLan{});
  if (!ask.first) return;
  const LanSearch::Company& company = lan_.company();
  const std::size_t others = company.known - 1 - (guessed_ ? 1 : 0);
  const std::string why = others == 0 ? "nobody answers at the addresses it was given"
                                      : std::to_string(others + 1 - company.present) + " of the " +
                                            std::to_string(others) + " others it knows do not answer";
  Note("lan.search", meta_.name, why + ": it asks the local network for them");
}

}  // namespace hs
