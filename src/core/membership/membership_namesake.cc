// When a data directory was copied, two live with one id. The newcomer takes another; the original stays as
// it is (docs/decisions/the-newcomer-yields.md).
//
// Nobody yields on hearsay: a former life of this node, which others still believe in, looks just the same.
// So whoever may be the newcomer asks where the other is said to live, and only an answer from there, under
// its own id and another boot, makes it yield. Whoever has lived here for longer tells the other of itself,
// so that it asks, and goes above it meanwhile, so that everybody has the original back.
#include <algorithm>
#include <tuple>

#include "core/membership/membership.h"

namespace hs {
namespace {

// Until then a node takes itself for the newcomer, whatever the counters say: those of an old copy are lower.
constexpr Duration kYoung = 10s;
// Between two questions to the same one, and between two words to it.
constexpr Duration kAskAgain = 250ms;
// Who does not answer for so long is not there: it was this node itself, in a former life.
constexpr Duration kAnswerWait = 1s;
// Not more often does a node go above the same other.
constexpr Duration kGoAbovePause = 1s;
// Where neither hears the other's answers, one yields after it went above the other so often.
constexpr int kRaisesMax = 5;

// What one tells the other itself: with the counter of its start, so that both compare the same.
MemberUpdate WordOfStart(MemberUpdate word, std::uint32_t boot_counter) {
  word.incarnation = {boot_counter, 0};
  return word;
}

}  // namespace

bool Membership::IsYoung() const { return now_.mono - started_ < kYoung; }

void Membership::OnOtherLife(const MemberUpdate& update, NodeId from) {
  const Member& me = self();
  const bool below = update.incarnation.boot < me.incarnation.boot;
  if (update.state == MemberState::kAlive) {
    const Endpoint& there = update.meta->address;
    const bool elsewhere = there != me.meta->address;
    if (!namesake_ || namesake_->boot_id != update.boot_id) {
      namesake_ = Namesake{
          .boot_id = update.boot_id, .question = namesake_ ? namesake_->question : 0, .met_young = IsYoung()};
    }
    namesake_->address = there;
    // Which of the two starts came first; the incarnations go up as each goes above the other.
    const bool older = std::tie(update.incarnation.boot, update.boot_id) < std::tie(boot_counter_, boot_id_);
    if (elsewhere) older || IsYoung() ? AskNamesake() : TellNamesake();
    if (!below) return GoAboveLater(update.incarnation);
  }
  if (below) return Correct(from, me);
  // A former life with a higher counter: the disk was restored from an old copy. Go above it.
  RaiseIncarnation({update.incarnation.boot + 1, 0}, "went above a former life");
}

// Two with one id are known to others as one of them. The other may never hear of it, since news of its id is
// not sent to it: so it is told where it speaks from. That may also be one box with several addresses.
void Membership::TellWhereItIsKnown(const Member& member, Endpoint address) {
  if (member.meta->dials_out || now_.mono < tell_where_next_) return;
  tell_where_next_ = now_.mono + kAskAgain;
  Send(member.id, address, News{}, {UpdateOf(member)});
}

// From our own id, but not from us: what this start sends and gets back is dropped before. What comes along
// with a question is no news: the newcomer that asks must not make the original ask back, and yield as well.
// Only where both have just started the counters decide, and whoever is the newer asks instead of answering.
void Membership::OnNamesake(const DatagramReceived& datagram) {
  const GossipMessage& message = datagram.message;
  const auto word = std::ranges::find(message.updates, self_, &MemberUpdate::id);
  const bool has_word = word != message.updates.end() && word->boot_id != boot_id_ && word->meta &&
                        word->incarnation.boot <= kIncarnationMax;
  if (const auto* ping = std::get_if<Ping>(&message.body)) {
    if (ping->target != self_) return;
    const bool newer =
        has_word && std::tie(word->incarnation.boot, word->boot_id) < std::tie(boot_counter_, boot_id_);
    if (IsYoung() && newer) return OnOtherLife(*word, self_);
    Send(self_, datagram.address, Ack{ping->sequence});
    GoAbove();  // it yields: there is nothing to wait for
  } else if (const auto* ack = std::get_if<Ack>(&message.body)) {
    const bool asked = namesake_ && namesake_->question != 0;
    if (asked && ack->sequence == namesake_->question) Yield(datagram.address);
  } else if (std::holds_alternative<News>(message.body) && has_word) {
    OnOtherLife(*word, self_);
  }
}

// Drawn, so that no recorded answer of a former life fits; whoever answers it, another lives.
void Membership::AskNamesake() {
  if (namesake_->asked_at != Time{} && now_.mono - namesake_->asked_at < kAskAgain) return;
  namesake_->asked_at = now_.mono;
  if (namesake_->question == 0) namesake_->question = static_cast<std::uint32_t>(prng_.Next()) | 1;
  Send(self_, namesake_->address, Ping{namesake_->question, self_},
       {WordOfStart(UpdateOf(self()), boot_counter_)});
}

void Membership::TellNamesake() {
  if (namesake_->told_at != Time{} && now_.mono - namesake_->told_at < kAskAgain) return;
  namesake_->told_at = now_.mono;
  Send(self_, namesake_->address, News{}, {WordOfStart(UpdateOf(self()), boot_counter_)});
}

void Membership::GoAboveLater(Incarnation life) {
  Namesake& other = *namesake_;
  other.above = std::max(other.above, life);
  if (std::exchange(other.armed, true)) return;
  const bool asked = other.address != self().meta->address && IsYoung();
  Time at = asked ? now_.mono + kAnswerWait : now_.mono;
  if (other.raised > 0) at = std::max(at, other.raised_at + kGoAbovePause);
  Arm(at, TimerKind::kGoAbove);
}

// A former life is gone above once; whoever needs more of it lives.
void Membership::GoAbove() {
  if (!namesake_) return;
  Namesake& other = *namesake_;
  other.armed = false;
  if (yielded_ || other.above.boot < self().incarnation.boot) return;
  // Never at the same time, and first whoever was new when they met.
  const int patience = other.met_young ? 1 : other.boot_id < boot_id_ ? 2 : 3;
  if (other.raised >= kRaisesMax * patience) return Yield(other.address);
  ++other.raised;
  other.raised_at = now_.mono;
  RaiseIncarnation({other.above.boot + 1, 0}, "went above another life with its id");
}

void Membership::Yield(Endpoint to) {
  namesake_->question = 0;
  if (std::exchange(yielded_, true)) return;
  out_.emplace_back(IdentityConflict{namesake_->boot_id, to});
}

}  // namespace hs
