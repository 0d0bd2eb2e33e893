// News to pass on with messages that are sent anyway: one piece per member, the least-sent first.
//
// Intuition: a rumour one tells a handful of people and then drops; a newer rumour about the same person
// replaces it. Invariants: at most one update per member; an update leaves after it was taken `limit` times.
// It does not judge news, and it does not decide whom to tell.
// Source: Das, Gupta, Motivala, "SWIM", 2002, section 4.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "core/messages.h"

namespace hs {

// Bytes an update takes on the wire, estimated from above.
std::size_t EncodedBytes(const MemberUpdate& update);

class GossipQueue {
 public:
  // Replaces what is queued about the same member.
  void Put(MemberUpdate update);
  void Erase(NodeId id);

  // Moves up to `bytes` of updates into `into`, skipping members already told there. `limit`: how often one
  // update is taken before it is dropped.
  void Take(std::size_t bytes, int limit, std::vector<MemberUpdate>& into);

  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    MemberUpdate update;
    int sent = 0;
    std::uint64_t order = 0;  // smaller is newer
    std::size_t bytes = 0;
  };
  using Key = std::tuple<int, std::uint64_t, NodeId>;  // times sent, then newest first

  std::map<NodeId, Entry> entries_;
  std::set<Key> by_need_;
  std::uint64_t next_order_ = UINT64_MAX;
};

}  // namespace hs
