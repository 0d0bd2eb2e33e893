#include "core/routing/routing.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace hs {
namespace {

constexpr int kDetourMisses = 2;
constexpr int kHealed = 3;
constexpr int kHealedMax = 24;
// So many a single miss takes back, and two in a row all: a path that loses some answers enough all the same,
// and a cable that comes and goes does not.
constexpr int kAnswersPerMiss = 2;
constexpr Duration kFlapMemory = 60s;
// How often a cut direct path is tried, and how soon again once it answered.
constexpr Duration kDirectPause = 1s;
constexpr Duration kDirectAgain = 200ms;
// How often a way round is checked; as often as the direct path where people's requests go.
constexpr Duration kDetourPause = 1s;
constexpr std::int64_t kDetourChecksPerSecond = 16;
constexpr Duration kWatchPause = 250ms;
// Of all watched peers together: what it costs does not grow with the cluster.
constexpr std::int64_t kWatchPerSecond = 8;
// Questions that are due within so long are asked together, so that this node wakes once for them.
constexpr Duration kWatchTogether = 500ms;
// Likewise of all cut paths together.
constexpr std::int64_t kChecksPerSecond = 16;
constexpr Duration kImprovePause = 5s;
constexpr std::size_t kRivals = 3;
constexpr std::int64_t kRivalsPerSecond = 6;
constexpr int kRivalWins = 3;
// What a peer sent straight counts for so long.
constexpr Duration kHeardLife = 3s;
constexpr std::size_t kRoundTripsKept = 128;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

// Clearly, so that two ways about as quick are not changed for one another.
bool IsClearlyQuicker(Duration a, Duration b) { return a * 3 / 2 + 1ms < b; }

std::string InMs(Duration span) {
  const auto tenths = span / 100us;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " ms";
}

}  // namespace

Routing::Routing(const Tunables& tunables, NodeId self, Prng prng)
    : tunables_(tunables), self_(self), prng_(prng) {}

std::vector<RoutingOutput> Routing::Step(Time now, const MemberTable& members, const RoutingInput& input) {
  now_ = now;
  members_ = &members;
  if (deadline_ != kNever && now > deadline_ + tunables_.late_wake) {
    // This node slept: answers may lie unread, and nobody is to blame.
    for (auto& [sequence, probe] : probes_) probe.deadline = now + Patience(probe.relays);
  }
  std::visit([this](const auto& what) { On(what); }, input);
  // Most inputs by far are answers of peers that nothing is wrong with, or signs of life: they move no timer
  // forward.
  const auto* answered = std::get_if<AnsweredDirectly>(&input);
  const bool well = answered != nullptr && !troubles_.contains(answered->peer);
  if (deadline_ > now && (well || std::holds_alternative<HeardDirectly>(input)))
    return std::exchange(out_, {});
  // What one timer makes due at once (a detour is dropped, so another is sought) is done at once.
  for (int round = 0; round < 4; ++round) {
    RunTimers();
    SetDeadline();
    if (deadline_ > now_) break;
  }
  return std::exchange(out_, {});
}

// ------------------------------------------------------------------------------------------------ inputs

void Routing::On(const HeardDirectly& heard) {
  const auto found = troubles_.find(heard.peer);
  if (found == troubles_.end() || found->second.declared) return;
  found->second.heard_at = now_;
  if (!found->second.heard) {
    found->second.heard = true;
    ++version_;
  }
}

void Routing::On(const AnsweredDirectly& answered) {
  NoteRoundTrip(answered.peer, answered.round_trip);
  if (const auto watched = watched_.find(answered.peer); watched != watched_.end()) {
    watched->second = now_ + WatchPause();
  }
  const auto found = troubles_.find(answered.peer);
  const bool doubted = found != troubles_.end() && !found->second.cut;
  losses_.Answered(now_, answered.peer, doubted ? found->second.lost.value_or(0) : 0);
  if (doubted) EndTrouble(answered.peer, "");
}

void Routing::On(const DirectSilence& silence) {
  if (!troubles_.contains(silence.peer)) Doubt(silence.peer, 1);
}

void Routing::On(const PathAnswered& answered) {
  const auto asked = probes_.find(answered.sequence);
  if (asked == probes_.end() || asked->second.peer != answered.peer) return;
  const Probe probe = std::move(asked->second);
  probes_.erase(asked);
  const Duration round_trip = now_ - probe.sent;
  const auto found = troubles_.find(probe.peer);
  if (probe.relays.empty()) {
    NoteRoundTrip(probe.peer, round_trip);
    if (const auto watched = watched_.find(probe.peer); watched != watched_.end()) {
      watched->second = now_ + WatchPause();
    }
    losses_.Answered(now_, probe.peer,
                     found == troubles_.end() ? 0 : std::exchange(found->second.lost, 0).value_or(0));
    if (found != troubles_.end()) OnStraightAnswer(probe.peer, found->second);
  } else {
    if (probe.search) asks_.GiveBack(1);
    out_.emplace_back(AnsweredByDetour{probe.peer});
    if (found != troubles_.end()) OnDetourAnswer(probe.peer, found->second, probe.relays, round_trip);
  }
}

void Routing::On(const ReachSaid& said) {
  if (said.owner == self_) return;
  if (said.body == nullptr) {
    said_.erase(said.owner);
    return;
  }
  said_[said.owner] = said.body;
  // It does not reach us: then we may not reach it either, and find out before anything hangs.
  if (Present(said.owner) && !troubles_.contains(said.owner) && SaidCut(said.owner, self_)) {
    Doubt(said.owner, 0);
  }
}

void Routing::On(const WatchPaths& watch) {
  FlatMap<NodeId, Time> watched;
  for (const NodeId& peer : watch.peers) {
    const auto known = watched_.find(peer);
    watched.try_emplace(peer,
                        known != watched_.end() ? known->second : now_ + prng_.Between(0ms, kWatchPause));
  }
  watched_ = std::move(watched);
}

void Routing::On(const RoutingMembersChanged&) {
  std::vector<NodeId> gone;
  for (const auto& [peer, trouble] : troubles_) {
    if (!Present(peer)) gone.push_back(peer);
  }
  for (const NodeId& peer : gone) EndTrouble(peer, "it is no member any more");
  for (auto& [peer, trouble] : troubles_) {
    if (!trouble.detour) continue;
    const bool whole = std::ranges::all_of(*trouble.detour, [this](const NodeId& id) { return Present(id); });
    if (!whole) DropDetour(peer, trouble, Words(*trouble.detour) + " is gone");
  }
  auto member = members_->begin();  // both are sorted by id
  for (auto known = round_trips_.begin(); known != round_trips_.end();) {
    while (member != members_->end() && member->first < known->first) ++member;
    const bool here =
        member != members_->end() && member->first == known->first && IsPresent(member->second.state);
    known = here ? std::next(known) : round_trips_.erase(known);
  }
  losses_.KeepPresent(*members_);
  std::erase_if(flaps_, [this](const auto& entry) { return now_ - entry.second.healed_at > kFlapMemory; });
}

// ------------------------------------------------------------------------------------------------ probes

bool Routing::Present(NodeId id) const {
  const auto member = members_->find(id);
  return member != members_->end() && IsPresent(member->second.state);
}

void Routing::On(const DialersChanged&) {
  std::vector<NodeId> lines;
  std::vector<NodeId> reached;  // of those who were declared
  for (const auto& [peer, trouble] : troubles_) {
    if (trouble.declared) reached.push_back(peer);
  }
  dialers_ = 0;
  for (const auto& [id, member] : *members_) {
    if (!member.meta->dials_out || !IsPresent(member.state)) continue;
    ++dialers_;
    if (id == self_) continue;
    if (std::ranges::binary_search(member.meta->relays, self_)) {
      lines.push_back(id);
      continue;
    }
    std::erase(reached, id);
    Declare(id, member);
  }
  for (const NodeId& peer : reached) EndTrouble(peer, "it can be reached without");
  if (lines == lines_) return;
  lines_ = std::move(lines);
  ++version_;
}

void Routing::Declare(NodeId peer, const Member& member) {
  if (const auto found = troubles_.find(peer); found != troubles_.end() && !found->second.declared) {
    EndTrouble(peer, "it dials out");
  }
  Trouble& trouble = troubles_[peer];
  if (!trouble.declared) {
    trouble = {.since = now_, .cut = true, .declared = true, .direct_next = kNever};
  }
  const auto keeps_line = [&](NodeId relay) {
    return std::ranges::binary_search(member.meta->relays, relay);
  };
  if (trouble.detour && !keeps_line(trouble.detour->back())) {
    DropDetour(peer, trouble, "it keeps no line to " + NameOf(trouble.detour->back()) + " any more");
  }
  if (trouble.detour) return;
  trouble.rounds = 0;
  trouble.tried.clear();
  trouble.search_next = now_;
}

void Routing::NoteRoundTrip(NodeId peer, Duration round_trip) {
  const auto [known, fresh] = round_trips_.try_emplace(peer, round_trip);
  if (!fresh) known->second += (round_trip - known->second) / 8;
  if (fresh && round_trips_.size() > kRoundTripsKept) {
    auto other = round_trips_.begin();
    std::advance(other, prng_.Below(round_trips_.size()));
    round_trips_.erase(other);
  }
}

void Routing::Doubt(NodeId peer, int lost) {
  if (peer == self_ || !Present(peer)) return;
  Trouble& trouble = troubles_[peer];
  trouble.since = now_;
  trouble.misses = 1;
  trouble.lost = lost;
  trouble.direct_next = kNever;
  if (!Asking(peer, {})) Ask(peer, {}, false);
}

// Whoever answers and this node have to wake, and each relay twice.
Duration Routing::Patience(const Relays& relays) const {
  return tunables_.probe_timeout + late_ * static_cast<std::int64_t>(2 + 2 * relays.size());
}

void Routing::Ask(NodeId peer, Relays relays, bool search) {
  const std::uint32_t sequence = next_sequence_++;
  const Time deadline = now_ + Patience(relays);
  out_.emplace_back(SendPathPing{peer, relays, sequence});
  probes_[sequence] = {peer, std::move(relays), now_, deadline, search};
}

bool Routing::Asking(NodeId peer, const Relays& relays) const {
  return std::ranges::any_of(
      probes_, [&](const auto& entry) { return entry.second.peer == peer && entry.second.relays == relays; });
}

void Routing::OnMiss(const Probe& probe) {
  auto found = troubles_.find(probe.peer);
  if (found == troubles_.end()) {
    if (probe.relays.empty()) Doubt(probe.peer, 1);  // a watched peer missed one
    return;
  }
  Trouble& trouble = found->second;
  if (!probe.relays.empty()) {
    if (trouble.detour != probe.relays) return;
    if (++trouble.detour_misses >= kDetourMisses) {
      DropDetour(probe.peer, trouble, Words(probe.relays) + " does not get through any more");
    } else {
      Ask(probe.peer, probe.relays, false);
    }
    return;
  }
  if (trouble.declared) return;
  ++trouble.misses;
  if (trouble.lost) ++*trouble.lost;
  const bool again = trouble.lost.value_or(2) > 1;  // two in a row
  trouble.straight_answers = again ? 0 : std::max(0, trouble.straight_answers - kAnswersPerMiss);
  trouble.direct_next = now_ + CheckPause(probe.peer);
  if (trouble.cut || trouble.misses < losses_.MissesOfACut(now_, probe.peer)) return;
  trouble.cut = true;
  trouble.lost.reset();
  trouble.search_next = now_;
}

void Routing::OnStraightAnswer(NodeId peer, Trouble& trouble) {
  if (trouble.declared) return;
  if (!trouble.cut) return EndTrouble(peer, "");
  const auto flap = flaps_.find(peer);
  const int needed = flap == flaps_.end() ? kHealed : flap->second.answers_needed;
  if (++trouble.straight_answers < needed && trouble.detour) {
    trouble.direct_next = now_ + kDirectAgain;
    return;
  }
  // What is behind a healed cut is mostly reached again as well.
  for (auto& [other, its] : troubles_) {
    if (its.cut && !its.declared && its.direct_next > now_ + kDirectPause) {
      its.direct_next = now_ + prng_.Between(0ms, kDirectPause);
    }
  }
  if (trouble.detour) {
    const bool again = flap != flaps_.end() && trouble.since - flap->second.healed_at < kFlapMemory;
    flaps_[peer] = {now_, again ? std::min(needed * 2, kHealedMax) : kHealed};
  }
  EndTrouble(peer, "answers directly again: " + std::to_string(trouble.straight_answers) + " answers");
}

void Routing::OnDetourAnswer(NodeId peer, Trouble& trouble, const Relays& relays, Duration round_trip) {
  const bool stale_heard = trouble.heard && now_ - trouble.heard_at > kHeardLife;
  if (stale_heard) {
    trouble.heard = false;
    ++version_;
  }
  if (!trouble.cut) return;
  if (!trouble.detour) {
    const std::string why =
        trouble.declared ? "it dials out, and answers through " : "it does not answer directly, but through ";
    return TakeDetour(peer, trouble, relays, round_trip, why + Words(relays) + " in " + InMs(round_trip));
  }
  if (*trouble.detour == relays) {
    trouble.detour_misses = 0;
    trouble.detour_round_trip += (round_trip - trouble.detour_round_trip) / 4;
    return;
  }
  if (!IsClearlyQuicker(round_trip, trouble.detour_round_trip)) {
    if (trouble.rival == relays) trouble.rival.reset();
    return;
  }
  if (trouble.rival != relays) {
    trouble.rival = relays;
    trouble.rival_wins = 0;
  }
  if (++trouble.rival_wins < kRivalWins) return;
  TakeDetour(peer, trouble, relays, round_trip,
             "through " + Words(relays) + " it is " + InMs(round_trip) + " instead of " +
                 InMs(trouble.detour_round_trip));
}

// ------------------------------------------------------------------------------------------------ routes

void Routing::TakeDetour(NodeId peer, Trouble& trouble, Relays relays, Duration round_trip,
                         const std::string& cause) {
  Relays before = trouble.detour.value_or(Relays{});
  if (!trouble.detour) ++detours_;
  trouble.detour = std::move(relays);
  trouble.detour_round_trip = round_trip;
  trouble.detour_misses = 0;
  trouble.rival.reset();
  trouble.rounds = 0;
  trouble.tried.clear();
  trouble.search_next = kNever;
  trouble.detour_next = now_ + DetourPause(peer);
  trouble.improve_next = now_ + ImprovePause();
  ++version_;
  out_.emplace_back(RouteChanged{peer, std::move(before), *trouble.detour, cause});
}

void Routing::DropDetour(NodeId peer, Trouble& trouble, const std::string& cause) {
  if (!trouble.detour) return;
  --detours_;
  Relays before = *std::exchange(trouble.detour, std::nullopt);
  trouble.rival.reset();
  trouble.rounds = 0;
  trouble.tried = {before};
  trouble.detour_next = trouble.improve_next = kNever;
  trouble.search_next = now_;
  ++version_;
  out_.emplace_back(RouteChanged{peer, std::move(before), {}, cause});
}

void Routing::EndTrouble(NodeId peer, const std::string& cause) {
  const auto found = troubles_.find(peer);
  const std::optional<Relays> before = found->second.detour;
  troubles_.erase(found);
  std::erase_if(probes_, [&](const auto& entry) { return entry.second.peer == peer; });
  if (!before) return;
  --detours_;
  ++version_;
  out_.emplace_back(RouteChanged{peer, *before, {}, cause});
}

const Relays& Routing::ForLinks(NodeId peer) const {
  static const Relays kDirectly;
  const auto found = troubles_.find(peer);
  return found == troubles_.end() || !found->second.detour ? kDirectly : *found->second.detour;
}

const Relays& Routing::ForDatagrams(NodeId peer) const {
  static const Relays kDirectly;
  const Relays& relays = ForLinks(peer);
  if (relays.empty()) return relays;
  // It says that it hears us: only its own way to us is cut.
  const auto said = said_.find(peer);
  if (said == said_.end()) return relays;
  const auto& exceptions = std::get<ReachReport>(*said->second).exceptions;
  const auto own = std::ranges::lower_bound(exceptions, self_, {}, &ReachException::peer);
  return own != exceptions.end() && own->peer == self_ && own->heard ? kDirectly : relays;
}

std::vector<std::pair<NodeId, Relays>> Routing::Detours() const {
  std::vector<std::pair<NodeId, Relays>> detours;
  for (const auto& [peer, trouble] : troubles_) {
    if (trouble.detour) detours.emplace_back(peer, *trouble.detour);
  }
  return detours;
}

// ------------------------------------------------------------------------------------------------ time

Duration Routing::WatchPause() const {
  const auto share = Duration(1s) * static_cast<std::int64_t>(watched_.size()) / kWatchPerSecond;
  return std::max<Duration>(kWatchPause, share);
}

Duration Routing::DetourPause(NodeId peer) const {
  if (watched_.contains(peer)) return WatchPause();
  return std::max<Duration>(kDetourPause,
                            Duration(1s) * static_cast<std::int64_t>(detours_) / kDetourChecksPerSecond);
}

Duration Routing::ImprovePause() const {
  return std::max<Duration>(kImprovePause,
                            Duration(1s) * static_cast<std::int64_t>(detours_ * kRivals) / kRivalsPerSecond);
}

Duration Routing::CheckPause(NodeId peer) const {
  const Trouble& trouble = troubles_.at(peer);
  if (!trouble.cut && trouble.misses < losses_.MissesOfACut(now_, peer)) return 0ms;
  const auto share = Duration(1s) * static_cast<std::int64_t>(troubles_.size()) / kChecksPerSecond;
  return std::max<Duration>(kDirectPause, share);
}

void Routing::RunTimers() {
  std::vector<Probe> missed;
  for (auto it = probes_.begin(); it != probes_.end();) {
    if (it->second.deadline > now_) {
      ++it;
      continue;
    }
    missed.push_back(std::move(it->second));
    it = probes_.erase(it);
  }
  for (const Probe& probe : missed) OnMiss(probe);
  for (auto& [peer, trouble] : troubles_) RunTrouble(peer, trouble);
  if (std::ranges::none_of(watched_, [this](const auto& entry) { return entry.second <= now_; })) return;
  const Duration pause = WatchPause();
  const Time soon = now_ + std::min(pause / 4, kWatchTogether);
  for (auto& [peer, next] : watched_) {
    if (next > soon) continue;
    next = now_ + pause;
    if (!troubles_.contains(peer) && Present(peer) && !Asking(peer, {})) Ask(peer, {}, false);
  }
}

void Routing::RunTrouble(NodeId peer, Trouble& trouble) {
  if (trouble.direct_next <= now_) {
    trouble.direct_next = kNever;  // set again when it is answered or missed
    if (!Asking(peer, {})) Ask(peer, {}, false);
  }
  if (trouble.detour && trouble.detour_next <= now_) {
    trouble.detour_next = now_ + DetourPause(peer);
    if (!Asking(peer, *trouble.detour)) Ask(peer, *trouble.detour, false);
  }
  if (trouble.cut && trouble.search_next <= now_) Search(peer, trouble);
  if (trouble.detour && trouble.improve_next <= now_) {
    trouble.improve_next = now_ + (trouble.rival ? DetourPause(peer) : ImprovePause());
    trouble.tried = {*trouble.detour};
    trouble.rounds = 0;
    std::vector<Relays> rivals = Candidates(peer, trouble, kRivals);
    if (trouble.rival) rivals = {*trouble.rival};
    for (const Relays& relays : rivals) {
      if (!Asking(peer, relays)) Ask(peer, relays, false);
    }
  }
}

void Routing::SetDeadline() {
  deadline_ = kNever;
  for (const auto& [sequence, probe] : probes_) deadline_ = std::min(deadline_, probe.deadline);
  for (const auto& [peer, next] : watched_) deadline_ = std::min(deadline_, next);
  for (const auto& [peer, trouble] : troubles_) {
    deadline_ = std::min(deadline_, trouble.direct_next);
    if (trouble.cut) deadline_ = std::min(deadline_, trouble.search_next);
    if (trouble.detour) deadline_ = std::min({deadline_, trouble.detour_next, trouble.improve_next});
  }
}

}  // namespace hs
