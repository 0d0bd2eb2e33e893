// elasticity: our control law beside the published ones, on the same simulated service and the same load.
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>

#include "bench/elasticity/cost.h"
#include "bench/elasticity/trace.h"
#include "bench/elasticity/world.h"

namespace hs::elasticity {
namespace {

struct Words {
  std::vector<std::string> traces;
  std::vector<double> startups = {0.2, 2, 20};
  std::vector<std::string> policies = {"homeostat", "hpa", "kpa", "optimum"};
  std::string demand = "rate";
  std::uint64_t seed = 1;
  bool json = false, fill_gaps = false, held_out = false, cost = false;
};

constexpr const char* kDefinitions = R"(
A replica serves one request at a time, 100 a second; service times as spread as those measured on the API of
examples/shop; the 99th percentile of the response time should stay within 250 ms. A request that would wait more than
1 s is refused, whatever the policy. Each policy sees ten minutes of the trace's beginning, backwards, before it is judged.
  d          demand: the fewest replicas that meet the objective at that second's rate
  s          supply: replicas that are ready
  theta_u    100/T x sum of max(d-s,0)/d: how much is missing, percent (SPEC RG cloud)
  theta_o    100/T x sum of max(s-d,0)/d: how much is too much, percent
  tau_u/o    share of the time in which s is below / above d, percent
  instab     share of the seconds in which s and d move in different directions, percent (one standing while the
             other moves counts)
  cost       replica-seconds, those of starting replicas included, over those of the optimum
  optimum    knows the future: never below d, and keeps a replica over a gap when a new start would cost more
  p99        99th percentile of the response time of what was accepted, ms
  changes    how often the number of replicas changed
)";

// The directory of real traces: ../shared/traces beside the repository, seen from the program or from here.
std::filesystem::path TraceDirectory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  for (auto at : {program.parent_path() / "../../..", std::filesystem::path(".")}) {
    const auto directory = at / "../shared/traces";
    if (std::filesystem::is_directory(directory, error)) return directory.lexically_normal();
  }
  return {};
}

Result<std::vector<Trace>> LoadTraces(const Words& words) {
  std::vector<std::string> paths = words.traces;
  const bool all = paths.empty();
  if (all) {
    const auto directory = TraceDirectory();
    if (directory.empty()) {
      fmt::print(stderr, "elasticity: no ../shared/traces beside the repository: synthetic loads only\n");
    } else {
      for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        if (entry.path().extension() == ".csv") paths.push_back(entry.path().string());
      }
      std::sort(paths.begin(), paths.end());
    }
  }
  std::vector<Trace> traces;
  for (const std::string& path : paths) {
    auto trace = ReadTrace(path, words.fill_gaps);
    if (!trace) return std::unexpected(trace.error());
    traces.push_back(std::move(*trace));
  }
  if (words.held_out) return HeldOutTraces(words.seed, traces);
  if (all) {
    for (Trace& trace : SyntheticTraces()) traces.push_back(std::move(trace));
  }
  return traces;
}

Score RunPolicy(const std::string& policy, const Arrivals& arrivals, const ServiceTime& service,
                double startup_s) {
  const int level = arrivals.demand.front();
  Plan plan = Optimum(arrivals.demand, startup_s);
  const double optimum = plan.replica_seconds;
  Score score;
  if (policy == "optimum") {
    // Its starts were made in time, so here they take none.
    auto follower = MakeFollower(std::move(plan));
    score = Run(arrivals, service, 0, *follower, level);
    score.replica_seconds = optimum;
  } else {
    auto made = policy == "hpa" ? MakeHpa() : policy == "kpa" ? MakeKpa() : MakeHomeostat(startup_s, level);
    score = Run(arrivals, service, startup_s, *made, level);
  }
  score.optimum_replica_seconds = optimum;
  return score;
}

void PrintJson(const std::string& trace, double startup_s, const std::string& policy, const Score& score) {
  fmt::print(
      "{{\"trace\":\"{}\",\"startup_s\":{},\"policy\":\"{}\",\"theta_u\":{:.4f},\"theta_o\":{:.4f},\"tau_u\":"
      "{:.4f},"
      "\"tau_o\":{:.4f},\"instability\":{:.4f},\"replica_seconds\":{:.1f},\"optimum_replica_seconds\":{:.1f},"
      "\"refused\":{:.0f},\"p99_ms\":{:.0f}}}\n",
      trace, startup_s, policy, score.theta_u, score.theta_o, score.tau_u, score.tau_o, score.instability,
      score.replica_seconds, score.optimum_replica_seconds, score.refused, score.p99_ms);
}

void PrintRow(const std::string& trace, double startup_s, const std::string& policy, const Score& score) {
  fmt::print(
      "{:<29} {:>5} {:<10} {:>8.3f} {:>8.2f} {:>7.2f} {:>7.2f} {:>7.2f} {:>6.3f} {:>9.0f} {:>7.3f} {:>6.0f} "
      "{:>7}\n",
      trace, startup_s, policy, score.theta_u, score.theta_o, score.tau_u, score.tau_o, score.instability,
      score.replica_seconds / score.optimum_replica_seconds, score.refused,
      score.requests > 0 ? 100 * score.refused / score.requests : 0.0, score.p99_ms, score.changes);
}

// Names that are safe inside JSON.
std::string Plain(std::string name) {
  for (char& c : name) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) c = '_';
  }
  return name;
}

int Main(const Words& words) {
  if (words.cost) return PrintCost();
  auto traces = LoadTraces(words);
  if (!traces) {
    fmt::print(stderr, "elasticity: {}\n", traces.error().message);
    return 1;
  }
  const ServiceTime service;
  const DemandTable table(service);
  if (!words.json) {
    fmt::print("{}\n{:<29} {:>5} {:<10} {:>8} {:>8} {:>7} {:>7} {:>7} {:>6} {:>9} {:>7} {:>6} {:>7}\n",
               kDefinitions + 1, "trace", "start", "policy", "theta_u", "theta_o", "tau_u", "tau_o", "instab",
               "cost", "refused", "%", "p99", "changes");
  }
  for (Trace& trace : *traces) {
    ScalePeak(trace, table.RateMax(kPeakReplicas));
    const auto of = words.demand == "rate" ? DemandOf::kRate : DemandOf::kCount;
    const Arrivals arrivals = DrawArrivals(trace, service, table, of, words.seed);
    for (const double startup_s : words.startups) {
      for (const std::string& policy : words.policies) {
        const Score score = RunPolicy(policy, arrivals, service, startup_s);
        (words.json ? PrintJson : PrintRow)(Plain(trace.name), startup_s, policy, score);
        std::fflush(stdout);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace hs::elasticity

int main(int argc, char** argv) {
  hs::elasticity::Words words;
  CLI::App app{"Compares control laws on simulated services; see docs/CONTROL.md"};
  app.add_option("--trace", words.traces,
                 "CSV second,requests_per_second; default: ../shared/traces and synthetic ones");
  app.add_option("--startup", words.startups, "seconds a replica takes to start; default 0.2, 2 and 20")
      ->check(CLI::Range(0.0, 600.0));
  app.add_option("--policy", words.policies, "homeostat, hpa, kpa, optimum; default all")
      ->check(CLI::IsMember({"homeostat", "hpa", "kpa", "optimum"}));
  app.add_option(
         "--demand", words.demand,
         "what demand is computed from: the trace's rate, or the count of arrivals drawn for the second")
      ->check(CLI::IsMember({"rate", "count"}));
  app.add_option("--seed", words.seed, "of arrivals and service times");
  app.add_flag("--fill-gaps", words.fill_gaps, "interpolate rows that a trace lacks");
  app.add_flag("--held-out", words.held_out,
               "loads made from the seed instead: other days, bursts, mirrored traces");
  app.add_flag("--cost", words.cost, "print what a decision costs: 64 nodes, 200 services, 5,000 replicas");
  app.add_flag("--json", words.json, "one object a line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  return hs::elasticity::Main(words);
}
