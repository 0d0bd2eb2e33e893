// When a node asks its local network where the others are, and whom it greets that asks.
//
// Intuition: who comes back to find the village moved stands in the square and calls. Whoever hears a voice
// he knows goes and shakes hands; in a crowd a few hands are enough. Nobody calls who has company.
//
// A node is lost while at most half of those it knows are in sight, itself included. However a cluster falls
// apart, at most one part has more than half: all others ask, and everybody hears. So the parts find each
// other, and a node that has most others in sight sends nothing.
//
// Invariants:
//  1. Known addresses come first: the first question waits for them, the next wait ever longer.
//  2. Greetings are bounded: about kGreeters to a question, however many hear it, and so many a second here.
// It proves nothing: who asks, and that it is a member, was proven before (LanHeard).
#pragma once

#include <cstddef>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "base/token_bucket.h"
#include "core/node/contract.h"

namespace hs {

// Lets about kGreeters of `crowd` through for each call, and of these a bounded number a second.
class AnswerGate {
 public:
  explicit AnswerGate(Prng prng) : prng_(prng) {}
  bool Open(Time now, std::size_t crowd);

 private:
  Prng prng_;
  TokenBucket tokens_{16, 8};
};

class LanSearch {
 public:
  // Members in sight, and those that could be: present, gone without a goodbye, or known from the last life.
  struct Company {
    std::size_t present = 1;  // includes self
    std::size_t known = 1;    // includes those present
  };
  using Input = std::variant<Tick, Company, LanHeard>;

  struct Ask {
    bool first = false;  // since this node is lost
  };
  struct Greet {
    NodeId id;
    Endpoint address;
  };
  using Output = std::variant<Ask, Greet>;

  explicit LanSearch(Prng prng) : prng_(prng), gate_(prng_.Fork()) {}

  // LanHeard: only of who is not in sight at that address.
  std::vector<Output> Step(Time now, const Input& input);
  Time NextDeadline() const { return ask_at_; }
  const Company& company() const { return company_; }

 private:
  Prng prng_;
  AnswerGate gate_;
  Company company_;
  Time ask_at_ = kNever;  // kNever: not lost
  Duration wait_{};       // after the next question; zero: it is the first
};

}  // namespace hs
