#include "sim/network.h"

#include <algorithm>

namespace hs::sim {

Network::Network(const NetworkOptions& options, std::size_t hosts, Prng prng)
    : options_(options), hosts_(hosts), cuts_(hosts * hosts, 0), clogged_until_(hosts * hosts), prng_(prng) {}

void Network::Mend(std::size_t from, std::size_t to) {
  unsigned& cuts = cuts_[from * hosts_ + to];
  if (cuts > 0) --cuts;
}

void Network::MendAll() {
  std::fill(cuts_.begin(), cuts_.end(), 0u);
  std::fill(clogged_until_.begin(), clogged_until_.end(), Time{});
}

Time Network::Arrival(Time now, std::size_t from, std::size_t to) {
  const Time sent = std::max(now, clogged_until_[from * hosts_ + to]);
  return sent + prng_.Between(options_.latency_min, options_.latency_max);
}

Network::Copies Network::Deliveries(Time now, std::size_t from, std::size_t to) {
  Copies copies;
  if (!Open(from, to) || prng_.Chance(options_.loss)) return copies;
  copies.at[copies.count++] = Arrival(now, from, to);
  if (prng_.Chance(options_.straggle)) copies.at[0] += prng_.Between(0ms, options_.straggle_max);
  if (prng_.Chance(options_.duplicate))
    copies.at[copies.count++] = Arrival(now, from, to) + prng_.Between(0ms, 50ms);
  return copies;
}

Time Network::LinkDelivery(Time now, std::size_t from, std::size_t to) { return Arrival(now, from, to); }

}  // namespace hs::sim
