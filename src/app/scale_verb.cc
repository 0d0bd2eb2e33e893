#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <string>
#include <thread>

#include "app/crew/crew.h"
#include "app/own_verbs.h"
#include "sim/scale.h"

namespace hs {
namespace {

constexpr unsigned kThreadsMax = 16;
// Of fewer so little happens at a time that threads would only wait for each other.
constexpr std::size_t kNodesForThreads = 500;

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double PeakMib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::string Took(const std::optional<Duration>& took) {
  return took ? fmt::format("{:.1f} s", ToSeconds(*took)) : std::string("never");
}

}  // namespace

int RunScaleTable(const std::vector<std::size_t>& sizes, std::uint64_t seed, bool verbose) {
  fmt::print("{:>6} {:>8} {:>9} {:>9} {:>9} {:>10} {:>7} {:>9} {:>8} {:>8} {:>9}  {}\n", "nodes", "joined",
             "30% dead", "in halves", "healed", "B/s/node", "msg/s", "CPU us/s", "accused", "CPU", "peak MiB",
             "digest");
  bool passed = true;
  for (const std::size_t nodes : sizes) {
    sim::ScaleOptions options;
    options.nodes = nodes;
    options.seed = seed;
    options.cpu_seconds = CpuSeconds;
    Crew crew(nodes < kNodesForThreads ? 1
                                       : std::clamp(std::thread::hardware_concurrency(), 1u, kThreadsMax));
    options.parts = crew.size();
    options.together = [&crew](const Crew::Work& work) { crew.Do(work); };
    const double began = CpuSeconds();
    if (verbose) {
      options.say = [began](const std::string& words) {
        fmt::print("       {:.1f} s, {:.0f} MiB: {}\n", CpuSeconds() - began, PeakMib(), words);
        std::fflush(stdout);
      };
    }
    const sim::ScaleResult result = sim::RunScale(options);
    fmt::print(
        "{:>6} {:>8} {:>9} {:>9} {:>9} {:>10.0f} {:>7.1f} {:>9.0f} {:>8} {:>6.1f} s {:>9.0f}  {:016x}\n",
        result.nodes, Took(result.joined), Took(result.killed), Took(result.parted), Took(result.healed),
        result.steady_bytes, result.steady_messages, result.steady_cpu_us, result.accused,
        CpuSeconds() - began, PeakMib(), result.digest);
    std::fflush(stdout);
    passed = passed && result.Converged() && result.accused == 0;
  }
  return passed ? 0 : 1;
}

}  // namespace hs
