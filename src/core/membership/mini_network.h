// Test only: many Memberships in virtual time, joined by a network with latency, loss, cuts, stops and kills.
//
// Datagrams to a stopped node wait in its socket buffer and are read in a burst when it goes on; its TCP port
// still accepts (the kernel does). A killed node resets its links and refuses connections. A powered-off node
// is silent.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/membership/membership.h"

namespace hs {

class MiniNetwork {
 public:
  explicit MiniNetwork(std::uint64_t seed, Tunables tunables = {})
      : tunables_(tunables), prng_(seed), seed_(seed) {}

  // Starts node `i`, which knows the addresses of `seeds`.
  void Start(int i, const std::vector<int>& seeds, bool by_hint = false);
  // Starts node `i` on a copy of the disk of `original`: with its id, at an address of its own. It may also
  // be that one at another address, where it does not run any more.
  void StartCopy(int i, int original, std::uint32_t boot_counter, const std::vector<int>& seeds);
  // A cluster of `n` nodes, all joined through node 0 and settled.
  void Grow(int n);

  void Kill(int i);      // -9: links reset, port refuses
  void PowerOff(int i);  // silence
  void Stop(int i);      // SIGSTOP
  void Go(int i);        // SIGCONT
  void Hand(int i, const Membership::Input& input);
  // Messages from a to b are lost where this says so.
  void Cut(std::function<bool(int, int)> cut) { cut_ = std::move(cut); }
  // A firewall refuses connections of a to b, though datagrams flow; links that they have end.
  void Reject(int a, int b);
  void Loss(double share) { loss_ = share; }
  // Every node runs only now and then, up to so long after it had to; then it does all that waits at once.
  void Starve(Duration longest) { starved_ = longest; }

  void Run(Duration length);
  // Runs until the condition holds; how long that took, or `limit` when it never did.
  Duration RunUntil(const std::function<bool()>& condition, Duration limit);

  Membership& node(int i) { return *nodes_.at(i).membership; }
  bool Exists(int i) const { return nodes_.contains(i); }
  bool Up(int i) const { return nodes_.at(i).life == Life::kUp; }
  bool Sees(int i, int j, MemberState state);
  // All that are up see j so.
  bool AllSee(int j, MemberState state);
  bool AllAgree();  // the nodes that are up see exactly each other

  Time now() const { return now_; }
  static NodeId IdOf(int i);

  struct Change {
    Time at;
    int observer = 0;
    int subject = 0;
    MemberState from = MemberState::kAlive;
    MemberState to = MemberState::kAlive;
    std::string cause;
  };
  std::vector<Change> changes;
  std::vector<std::pair<int, Membership::Output>> noted;  // IdentityConflict, LeaveDone, ClockSample
  std::uint64_t datagrams = 0;
  std::uint64_t bytes = 0;  // sealing and IP/UDP headers included
  std::uint64_t link_bytes = 0;
  std::uint64_t digest = 0;  // of everything that was sent, in order
  std::size_t largest_datagram = 0;

 private:
  enum class Life { kUp, kStopped, kKilled, kOff };
  struct NodeState {
    std::unique_ptr<Membership> membership;
    Life life = Life::kUp;
    NodeId id;
    std::uint32_t boot = 0;
    std::uint32_t salt = 0;                  // of its boot ids, once it ran on a copied disk
    std::vector<Membership::Input> waiting;  // the socket buffer of a stopped node
    std::set<int> links;
    std::map<NodeId, int> latest;  // of the links with this id
    Time armed = kNever;
    Time runs_at{};  // while starved
  };
  struct Event {
    int node = 0;
    Membership::Input input;
  };

  void Boot(int i, const std::vector<int>& seeds, bool by_hint);
  static int IndexOf(NodeId id);
  static Endpoint AddressOf(int i);
  static int IndexAt(Endpoint address) { return address.ip.bytes[14] << 8 | address.ip.bytes[15]; }
  Now NowOf(int i) const;
  void StepNode(int i, const Membership::Input& input);
  void Carry(int i, Membership::Output& output);
  void Link(int a, int b);
  void Later(Duration delay, int node, Membership::Input input);
  bool Silent(int i) const { return !nodes_.contains(i) || nodes_.at(i).life == Life::kOff; }

  Tunables tunables_;
  Prng prng_;
  std::uint64_t seed_;
  Time now_{1h};
  std::map<int, NodeState> nodes_;
  std::multimap<Time, Event> events_;
  std::function<bool(int, int)> cut_ = [](int, int) { return false; };
  std::set<std::pair<int, int>> rejected_;
  double loss_ = 0;
  Duration starved_{};
};

}  // namespace hs
