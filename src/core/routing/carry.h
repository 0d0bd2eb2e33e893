// What a node does with a message that is carried for others: the postman's part that carries for neighbours.
//
// Invariants: a relay carries only between members, never beyond the way the source named, never what names
// it twice, and not more than kCarriedPerSecond (in bursts kCarriedBurst): what is above is dropped and
// counted, as a full network would.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <variant>

#include "base/token_bucket.h"
#include "core/messages.h"
#include "core/types.h"

namespace hs {

struct DeliverHere {
  NodeId source;
  std::vector<NodeId> way_back;  // relays for an answer, in order
};
struct CarryOn {
  NodeId next;
  Relayed message;
};
struct NotCarried {};
using CarryDecision = std::variant<DeliverHere, CarryOn, NotCarried>;

struct CarryCounts {
  std::uint64_t carried = 0;
  std::uint64_t refused = 0;  // a way of strangers, or one that does not lead through here
  std::uint64_t dropped = 0;  // above what this node carries
};

class Carrier {
 public:
  static constexpr double kCarriedPerSecond = 2000;
  static constexpr double kCarriedBurst = 1000;

  explicit Carrier(NodeId self) : self_(self) {}
  // `from`: proven sender of the datagram.
  CarryDecision Step(Time now, const MemberTable& members, NodeId from, const Relayed& message);
  const CarryCounts& counts() const { return counts_; }

 private:
  NodeId self_;
  TokenBucket tokens_{kCarriedBurst, kCarriedPerSecond};
  CarryCounts counts_;
};

}  // namespace hs
