// News to pass on with messages that are sent anyway: one piece per member, the least-sent first.
//
// Intuition: a rumour one tells a handful of people and then drops; a newer rumour about the same person
// replaces it. Invariants: at most one update per member; an update leaves after it was taken `limit` times.
// It does not judge news, and it does not decide whom to tell.
// Source: Das, Gupta, Motivala, "SWIM", 2002, section 4.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/messages.h"

namespace hs {

inline constexpr std::size_t kUpdateBytesMin = 48;
// Bytes an update takes on the wire, estimated from above.
std::size_t EncodedBytes(const MemberUpdate& update);

class GossipQueue {
 public:
  // Above, what was sent most often and longest ago is dropped. In a storm of news about thousands of members
  // a longer queue only repeats for minutes what all have heard: whole tables tell it where digests differ.
  static constexpr std::size_t kEntriesMax = 128;

  // Replaces what is queued about the same member.
  void Put(MemberUpdate update);
  void Erase(NodeId id);

  // Moves up to `bytes` of updates into `into`, skipping members already told there. `limit`: how often one
  // update is taken before it is dropped.
  void Take(std::size_t bytes, int limit, std::vector<MemberUpdate>& into);

  bool empty() const { return turns_.empty(); }
  std::size_t size() const { return turns_.size(); }

 private:
  struct Entry {
    MemberUpdate update;
    std::size_t bytes = 0;
    bool used = false;
  };
  struct Turn {
    int sent = 0;
    std::uint64_t order = 0;  // smaller is newer
    std::uint32_t entry = 0;
    bool operator<(const Turn& other) const {
      return sent != other.sent ? sent < other.sent : order < other.order;
    }
  };
  void Drop(std::vector<Turn>::iterator turn);

  std::vector<Entry> entries_;
  std::vector<std::uint64_t> prefixes_;  // of the ids of entries_, close together for the search
  std::vector<Turn> turns_;              // sorted: the least sent first, the newest of them first
  std::uint64_t next_order_ = UINT64_MAX;
};

}  // namespace hs
