// The world of scale.h: nodes, wires and one queue of events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "core/membership/membership.h"

namespace hs::sim {

class ScaleWorld {
 public:
  ScaleWorld(std::size_t nodes, const Tunables& tunables, std::uint64_t seed);

  // Starts within `span`, each at a time of its own, knowing `hints` addresses.
  void StartAll(Duration span, std::size_t hints);
  void Kill(std::uint32_t node);      // the agent; the machine's kernel answers
  void PowerOff(std::uint32_t node);  // silence
  // Nothing passes between nodes of different sides from now on. All zero: healed.
  void Cut(std::vector<std::uint8_t> sides);
  void set_loss(double share) { loss_ = share; }

  void RunFor(Duration span);
  // Looks every 100 ms; nothing when it did not come true.
  std::optional<Duration> RunUntil(const std::function<bool()>& done, Duration limit);

  // Every node that is up sees exactly the nodes that are up on its side.
  bool AllAgree() const;
  std::vector<std::uint32_t> Up() const;

  Prng& prng() { return prng_; }
  Time now() const { return now_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t digest() const { return digest_; }

  // Counts, while switched on, what is sent, as the wire has it.
  void Count(bool on) { counting_ = on; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t messages() const { return messages_; }
  // How often anybody called somebody gone who could be reached.
  std::uint64_t accused() const { return accused_; }

 private:
  enum class Life : std::uint8_t { kNotYet, kUp, kKilled, kOff };
  struct NodeState {
    std::unique_ptr<Membership> membership;
    Life life = Life::kNotYet;
    Time armed = kNever;
    std::vector<std::uint32_t> held;   // by this node
    std::vector<std::uint32_t> links;  // open, held by either end
  };
  struct Table {
    NodeId from;
    PushPull message;
  };
  struct Start {};
  using What = std::variant<Tick, DatagramReceived, Table, LinkUp, LinkDown, ConnectOutcome, Start>;
  struct Event {
    Time at;
    std::uint64_t number;
    std::uint32_t node;
    std::uint32_t slot;  // in whats_; kTick: a Tick
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;  // std::priority_queue: least on top
    }
  };
  static constexpr std::uint32_t kTick = ~std::uint32_t{0};

  static NodeId IdOf(std::uint32_t node);
  static std::uint32_t IndexOf(NodeId id);
  static Endpoint AddressOf(std::uint32_t node);
  std::optional<std::uint32_t> IndexAt(const Endpoint& address) const;

  void Later(Duration delay, std::uint32_t node, What what);
  void Happen(std::uint32_t node, What& what);
  void Boot(std::uint32_t node);
  void Take(std::uint32_t node, std::vector<Membership::Output> outputs);
  void Carry(std::uint32_t node, Membership::Output& output);
  void Hold(std::uint32_t node, const HoldLinks& hold);
  void Unlink(std::uint32_t a, std::uint32_t b);
  bool Reaches(std::uint32_t from, std::uint32_t to) const;
  ConnectResult Knock(std::uint32_t from, std::uint32_t to) const;
  void Fold(std::uint64_t value) { digest_ = Mix64(digest_ ^ value); }

  const Tunables tunables_;
  Prng prng_;
  Time now_{1h};
  std::vector<NodeState> nodes_;
  std::vector<std::uint8_t> sides_;
  std::size_t hints_ = 0;
  double loss_ = 0;
  std::priority_queue<Event> queue_;
  std::vector<What> whats_;
  std::vector<std::uint32_t> free_whats_;
  std::uint64_t next_event_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t digest_ = 1;
  bool counting_ = false;
  std::uint64_t bytes_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t accused_ = 0;
};

}  // namespace hs::sim
