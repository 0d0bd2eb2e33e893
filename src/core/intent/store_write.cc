// Writes of clients: from the stamp to the answer.
#include <algorithm>
#include <string>

#include "core/intent/store.h"

namespace hs {
namespace {

// Others' clocks that make the median worth following, and how long a write waits for them.
constexpr std::size_t kClocksWanted = 3;
constexpr Duration kClockWait = 2s;
// Told directly at once: more than the copies that a write needs by default.
constexpr std::size_t kResendMax = 8;

// A box that is let in waits for no more disks than must have its key: one that was forgotten writes its key
// down itself.
bool OnlyAdmits(const std::vector<Document>& documents) {
  return std::ranges::all_of(
      documents, [](const Document& document) { return std::holds_alternative<NodeDoc>(document.body); });
}

}  // namespace

Result<void> IntentStore::CheckWrite(const ClientWrite& write) const {
  if (write.documents.empty()) return BadInput("the write names no document");
  std::set<std::string_view> keys;
  for (const auto& [key, body] : write.documents) {
    if (!KeyFits(key, body)) return BadInput("'" + key + "' is no key of a document like this one");
    if (!keys.insert(key).second) return BadInput("the write names '" + key + "' twice");
  }
  return {};
}

void IntentStore::On(Now now, const ClientWrite& request) {
  if (const auto valid = CheckWrite(request); !valid) {
    out_.push_back(Reply{request.request, std::unexpected(valid.error())});
    return;
  }
  if (!ClockIsKnown()) {
    waiting_.emplace_back(now.mono + kClockWait, request);
    return;
  }
  Begin(now, request);
}

// A box that has just come back with a wrong calendar must not stamp before it has heard the time from
// others.
bool IntentStore::ClockIsKnown() const {
  return clock_.samples() >= std::min(kClocksWanted, (peers_.size() + 1) / 2);
}

void IntentStore::BeginWaiting(Now now) {
  while (!waiting_.empty() && (ClockIsKnown() || waiting_.front().first <= now.mono)) {
    const ClientWrite request = std::move(waiting_.front().second);
    waiting_.pop_front();
    Begin(now, request);
  }
}

void IntentStore::Begin(Now now, const ClientWrite& request) {
  Write write;
  write.started = now.mono;
  for (const auto& [key, body] : request.documents) {
    const Stamp stamp = clock_.Next(RivalStamp(key), now.wall_ms);
    write.documents.push_back({key, stamp, body, SeenNow(key, stamp)});
  }
  if (!writes_.emplace(request.request, write).second) {
    out_.push_back(Reply{request.request, BadInput("a write with this request id is under way")});
    return;
  }
  Save(Job{write.documents, {}, request.request});
}

void IntentStore::On(Now now, const DocumentAcked& acked) {
  for (auto& [request, write] : writes_) {
    const bool ours = std::ranges::any_of(
        write.documents, [&](const Document& document) { return document.stamp == acked.stamp; });
    if (!ours) continue;
    write.acked[acked.from].insert(acked.stamp);
    Settle(now, request);
    return;
  }
}

// Nodes, this one included, on which every document of the write is durable.
std::size_t IntentStore::Copies(const Write& write) const {
  const auto whole = [&](const auto& entry) { return entry.second.size() == write.documents.size(); };
  return 1 + static_cast<std::size_t>(std::ranges::count_if(write.acked, whole));
}

bool IntentStore::HasAcked(const Write& write, NodeId peer) const {
  const auto it = write.acked.find(peer);
  return it != write.acked.end() && it->second.size() == write.documents.size();
}

void IntentStore::Settle(Now now, RequestId request) {
  Write& write = writes_.at(request);
  if (!write.durable) return;
  const Duration waited = now.mono - write.started;
  const std::size_t copies = Copies(write);
  const bool all = std::ranges::all_of(peers_, [&](const auto& peer) { return HasAcked(write, peer.first); });
  const std::size_t needed = std::min(static_cast<std::size_t>(tunables_.write_copies), peers_.size() + 1);
  write.waited = waited >= tunables_.write_wait;
  if (all || ((write.waited || OnlyAdmits(write.documents)) && copies >= needed)) {
    Stamp greatest;
    for (const Document& document : write.documents) greatest = std::max(greatest, document.stamp);
    out_.push_back(Reply{request, greatest});
    writes_.erase(request);
    return;
  }
  if (waited >= tunables_.write_give_up) {
    out_.push_back(
        Reply{request, Fail(Reaction::kRetryLater,
                            "stored on " + std::to_string(copies) + " of the " + std::to_string(needed) +
                                " nodes needed within " + std::to_string(ToMs(waited)) +
                                " ms; it takes effect where it is stored and spreads as nodes answer")});
    writes_.erase(request);
    return;
  }
  if (now.mono >= write.resend_at) Resend(now, write);
}

void IntentStore::SettleAll(Now now) {
  std::vector<RequestId> open;
  for (const auto& [request, write] : writes_) open.push_back(request);
  for (const RequestId request : open) Settle(now, request);
}

// A flood goes once over each link; some of those who did not answer by now are told directly. Only some: in
// a large cluster they are many exactly when everything is slow, and each may cost a handshake. Comparing
// notes finds the rest.
void IntentStore::Resend(Now now, Write& write) {
  write.resend_at = now.mono + tunables_.write_wait;
  std::vector<NodeId> linked, others;
  // Beginning with those after this node, so that not everybody asks the same ones.
  auto it = peers_.upper_bound(self_);
  for (std::size_t i = 0; i < peers_.size(); ++i, ++it) {
    if (it == peers_.end()) it = peers_.begin();
    if (!HasAcked(write, it->first)) (links_.contains(it->first) ? linked : others).push_back(it->first);
  }
  linked.insert(linked.end(), others.begin(), others.end());
  if (linked.size() > kResendMax) linked.resize(kResendMax);
  for (const NodeId& peer : linked) SendDocuments(peer, write.documents, true, self_);
}

}  // namespace hs
