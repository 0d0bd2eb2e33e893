// The world of scale.h: nodes and wires, and events for each node in the order of time.
//
// Intuition: two halves of a city, each with a post office of its own, and a letter to the other half takes
// at least half a millisecond: for so long each may work without looking at the other. Invariants: the course
// is the same whatever the number of parts, since each node's events are in the order of (time, sender, the
// sender's count), its chance is its own, and what changes others at once waits for the end of a round.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "core/membership/membership.h"
#include "sim/scale.h"

namespace hs::sim {

class ScaleWorld {
 public:
  ScaleWorld(std::size_t nodes, const Tunables& tunables, std::uint64_t seed, std::size_t parts,
             Together together);

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
  std::uint64_t digest() const;

  struct Counts {
    std::uint64_t steps = 0;
    std::uint64_t bytes = 0;  // these two only while they are counted, as the wire has it
    std::uint64_t messages = 0;
    std::uint64_t accused = 0;  // how often anybody called somebody gone who could be reached
  };
  Counts counts() const;
  void Count(bool on) { counting_ = on; }
  // One part after the other from now on, or together: who waits for others uses processor time too.
  void Alone(bool alone) { alone_ = alone; }

 private:
  enum class Life : std::uint8_t { kNotYet, kUp, kKilled, kOff };
  struct NodeState {
    std::unique_ptr<Membership> membership;
    Life life = Life::kNotYet;
    Time armed = kNever;
    std::vector<std::uint32_t> held;   // by this node
    std::vector<std::uint32_t> links;  // open, held by either end
    Prng wires{0};                     // how long what it sends takes, and what is lost
    std::uint64_t caused = 0;          // events
    std::uint64_t digest = 1;
  };
  struct Table {
    NodeId from;
    PushPull message;
  };
  using What = std::variant<Tick, DatagramReceived, Table, LinkUp, LinkDown, ConnectOutcome>;
  struct Event {
    Time at;
    std::uint64_t number;  // the sender's
    std::uint32_t from;
    std::uint32_t node;
    std::uint32_t slot = kTick;                 // in the shard's whats; kTick: a Tick
    bool operator<(const Event& other) const {  // std::priority_queue: least on top
      if (at != other.at) return at > other.at;
      return from != other.from ? from > other.from : number > other.number;
    }
  };
  static constexpr std::uint32_t kTick = ~std::uint32_t{0};
  struct Letter {
    Event event;
    What what;
  };
  // Neighbours of a node that it wants to have, from the end of the round on.
  struct Holding {
    Time at;
    std::uint32_t node;
    HoldLinks links;
  };
  // A part of the nodes, and all that one thread touches in a round.
  struct Shard {
    Time now{};
    std::priority_queue<Event> queue;
    std::deque<What> whats;  // a storm's are many, and a vector would hold them twice while it grows
    std::vector<std::uint32_t> free_whats;
    // To each shard, of this round and of the one before.
    std::array<std::vector<std::vector<Letter>>, 2> letters;
    Time first_letter = kNever;  // of this round's
    std::vector<Holding> holdings;
    Counts counts;

    void Put(Event event, What what);
  };

  static NodeId IdOf(std::uint32_t node);
  static std::uint32_t IndexOf(NodeId id);
  static Endpoint AddressOf(std::uint32_t node);
  std::optional<std::uint32_t> IndexAt(const Endpoint& address) const;
  std::size_t ShardOf(std::uint32_t node) const { return node * shards_.size() / nodes_.size(); }
  Shard& Of(std::uint32_t node) { return shards_[ShardOf(node)]; }

  // `by`: what caused it, in its own shard's time.
  void Later(std::uint32_t by, Duration delay, std::uint32_t node, What what);
  Time NextEvent() const;
  void Round(Time until);
  void Work(std::size_t shard, Time until);
  void Happen(Shard& shard, std::uint32_t node, What& what);
  void Boot(std::uint32_t node);
  void Take(std::uint32_t node, std::vector<Membership::Output> outputs);
  void Carry(std::uint32_t node, Membership::Output& output);
  void Hold(std::uint32_t node, const HoldLinks& hold);
  void Unlink(std::uint32_t a, std::uint32_t b);
  bool Reaches(std::uint32_t from, std::uint32_t to) const;
  ConnectResult Knock(std::uint32_t from, std::uint32_t to) const;
  Now NowOf(const Shard& shard) const;

  const Tunables tunables_;
  Prng prng_;
  Time now_{1h};
  std::vector<NodeState> nodes_;
  std::vector<std::uint8_t> sides_;
  std::vector<std::pair<Time, std::uint32_t>> starts_;  // the next one last
  std::size_t hints_ = 0;
  double loss_ = 0;
  bool counting_ = false;
  bool alone_ = false;
  std::vector<Shard> shards_;
  std::size_t writing_ = 0;  // which of the letters are of this round
  const Together together_;
};

}  // namespace hs::sim
