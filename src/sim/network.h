// The network between the simulated boxes: who can reach whom, how long a packet takes, and whether it
// arrives.
//
// Every direction of every pair is its own wire. A cut drops packets; a clog holds them until it opens. Links
// (TCP) see the same wires: what they carry is held while a direction is cut, and the link breaks when that
// lasts.
#pragma once

#include <cstddef>
#include <vector>

#include "base/prng.h"
#include "base/time.h"

namespace hs::sim {

struct NetworkOptions {
  Duration latency_min = 100us;
  Duration latency_max = 1ms;
  double loss = 0.0;       // share of datagrams dropped
  double duplicate = 0.0;  // share of datagrams delivered twice
  double straggle = 0.0;   // share of datagrams that take up to `straggle_max`, and so arrive out of order
  Duration straggle_max = 200ms;
};

class Network {
 public:
  Network(const NetworkOptions& options, std::size_t hosts, Prng prng);

  NetworkOptions& options() { return options_; }
  // No datagram is lost, doubled or late any more.
  void Clear() { options_.loss = options_.duplicate = options_.straggle = 0.0; }

  bool Open(std::size_t from, std::size_t to) const { return cuts_[from * hosts_ + to] == 0; }
  bool OpenBothWays(std::size_t a, std::size_t b) const { return Open(a, b) && Open(b, a); }
  // Cuts nest: two faults may hold the same direction, and it opens when both are healed.
  void Cut(std::size_t from, std::size_t to) { ++cuts_[from * hosts_ + to]; }
  void Mend(std::size_t from, std::size_t to);  // nothing to do where MendAll() came first
  void MendAll();
  void Clog(std::size_t from, std::size_t to, Time until) { clogged_until_[from * hosts_ + to] = until; }

  struct Copies {
    Time at[2];
    int count = 0;
    const Time* begin() const { return at; }
    const Time* end() const { return at + count; }
  };
  // When each copy of a datagram sent now arrives: nothing when it is lost.
  Copies Deliveries(Time now, std::size_t from, std::size_t to);
  // When a segment on a link sent now arrives, in the absence of cuts.
  Time LinkDelivery(Time now, std::size_t from, std::size_t to);

 private:
  Time Arrival(Time now, std::size_t from, std::size_t to);

  NetworkOptions options_;
  std::size_t hosts_;
  std::vector<unsigned> cuts_;
  std::vector<Time> clogged_until_;
  Prng prng_;
};

}  // namespace hs::sim
