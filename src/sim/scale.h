// How membership costs grow with the number of nodes: thousands of Memberships in one virtual-time world.
//
// Intuition: a city's telephone exchange instead of a model railway. There are no disks, processes or plans
// here, only the code that decides who is here (core/membership, the same object files), so that thousands of
// nodes fit where World (world.h) holds some hundreds. One run is: everybody is powered on within a second,
// knowing three addresses; a quiet minute with loss; three in ten die at once; the network is cut in halves
// and heals.
//
// Invariants: same options, same course, which ScaleResult::digest proves; nothing is kept per pair of nodes
// beyond what each node keeps itself. Datagrams are lost by `loss`; links (TCP) are not. Of those that die
// every other one is killed (its kernel resets links and refuses connections), the rest is silent.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/time.h"
#include "base/tunables.h"

namespace hs::sim {

// Does the work of each part, 0 and up; returns when all is done.
using Together = std::function<void(const std::function<void(std::size_t)>& work)>;

struct ScaleOptions {
  std::size_t nodes = 100;
  std::uint64_t seed = 1;
  double loss = 0.01;
  Duration steady_for = 60s;
  Duration converge_within = 600s;  // each time
  // So many parts of the nodes may be worked at at the same time, by what `together` calls for each of them;
  // none: one after the other. The course is the same for any number.
  std::size_t parts = 1;
  Together together;
  Tunables tunables;
  // Processor time used so far, in seconds, for the costs; none: not measured.
  std::function<double()> cpu_seconds;
  // Told after each phase, since a large run takes a while.
  std::function<void(const std::string&)> say;
};

struct ScaleResult {
  std::size_t nodes = 0;
  // Until every node that is up sees exactly those it should; nothing: not within converge_within.
  std::optional<Duration> joined;  // after the last one started
  std::optional<Duration> killed;
  std::optional<Duration> parted;  // each half sees itself alone
  std::optional<Duration> healed;
  // While nothing happens but loss, for each node and second. Bytes are as encoded and sealed, with headers.
  double steady_bytes = 0;
  double steady_messages = 0;
  double steady_cpu_us = 0;
  std::uint64_t accused = 0;  // healthy members called gone by anybody during the quiet time
  std::uint64_t steps = 0;
  std::uint64_t digest = 0;
  bool Converged() const { return joined && killed && parted && healed; }
};

ScaleResult RunScale(const ScaleOptions& options);

}  // namespace hs::sim
