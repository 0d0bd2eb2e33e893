#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>

#include "app/own_verbs.h"
#include "app/rehearse.h"
#include "sim/scenario.h"
#include "sim/scenario_words.h"
#include "sim/swarm.h"

namespace hs {
namespace {

struct SimWords {
  std::string scenario;
  std::uint64_t seed = 1;
  std::uint64_t seeds = 10;
  std::size_t nodes_min = 5;
  std::size_t nodes_max = 9;
  std::string span = "60s";
  std::string fault_gap = "3s";
  bool once = false;
  bool verbose = false;
  bool events = false;
  std::vector<std::size_t> scale;
};

int RunText(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    fmt::print(stderr, "homeostat: cannot read {}\n", path);
    return 1;
  }
  std::stringstream text;
  text << file.rdbuf();
  const auto result = sim::RunScenario(text.str());
  if (!result) {
    fmt::print(stderr, "homeostat: {}: {}\n", path, result.error().message);
    return 1;
  }
  fmt::print("{}", result->transcript);
  return result->passed ? 0 : 1;
}

void Print(const sim::SwarmResult& result, double seconds, bool verbose) {
  fmt::print("{:>6} {:>5} {:>9} {:>6} {:>7.1f} s {:>6.2f} s  {:016x}  {}\n", result.seed, result.hosts,
             result.steps, result.acknowledged, ToSeconds(result.converged_after), seconds, result.digest,
             result.Passed() ? "ok" : "FAILED");
  for (const auto& line : result.events) fmt::print("       {}\n", line);
  if (result.Passed() && !verbose) return;
  for (const auto& line : result.violations) fmt::print("       violation: {}\n", line);
  for (const auto& line : result.not_converged) fmt::print("       not converged: {}\n", line);
  for (const auto& line : result.faults) fmt::print("       fault: {}\n", line);
}

int RunSeeds(const SimWords& words) {
  sim::SwarmOptions options;
  const auto span = sim::ParseNanoseconds(words.span);
  const auto gap = sim::ParseNanoseconds(words.fault_gap);
  if (!span || !gap) {
    fmt::print(stderr, "homeostat: {}\n", (!span ? span : gap).error().message);
    return 1;
  }
  options.faults_for = Duration(*span);
  options.fault_gap = Duration(*gap);
  options.keep_events = words.events;
  options.hosts_min = words.nodes_min;
  options.hosts_max = std::max(words.nodes_min, words.nodes_max);
  fmt::print("  seed nodes     steps writes converged     took  digest            result\n");
  std::uint64_t failed = 0;
  for (std::uint64_t seed = words.seed; seed < words.seed + words.seeds; ++seed) {
    const auto start = std::chrono::steady_clock::now();
    const sim::SwarmResult result = sim::RunSeed(seed, options);
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    Print(result, took, words.verbose);
    const bool same = words.once || sim::RunSeed(seed, options).digest == result.digest;
    if (!same) fmt::print("       violation: the second run of seed {} took another course\n", seed);
    if (!same || !result.Passed()) ++failed;
  }
  fmt::print("{} passed, {} failed\n", words.seeds - failed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

void AddSimVerb(CLI::App& app, int& exit_code) {
  auto words = std::make_shared<SimWords>();
  auto* sim = app.add_subcommand(
      "sim", "run the real decision code on simulated boxes, in virtual time, with faults");
  sim->add_option("--scenario", words->scenario, "a text that says what happens; prints the transcript");
  sim->add_option("--seed", words->seed, "first seed (default 1)");
  sim->add_option("--seeds", words->seeds, "how many seeds, one after the other (default 10)");
  sim->add_option("--nodes", words->nodes_min, "fewest nodes (default 5)")->check(CLI::Range(2, 10000));
  sim->add_option("--nodes-max", words->nodes_max, "most nodes (default 9)");
  sim->add_option("--for", words->span, "virtual time with faults (default 60s)");
  sim->add_option("--fault-gap", words->fault_gap, "mean virtual time between faults (default 3s)");
  sim->add_flag("--once", words->once, "do not run each seed a second time to compare digests");
  sim->add_flag("-v,--verbose", words->verbose, "print the faults of seeds that passed, too");
  sim->add_flag("--events", words->events, "print every event of every node");
  sim->add_option("--scale", words->scale,
                  "membership alone with so many nodes (10,100,1000): joins, losses, cuts; prints a table")
      ->delimiter(',')
      ->check(CLI::Range(2, 1 << 24));
  auto rehearse = std::make_shared<RehearseWords>();
  sim->add_option("--compose", rehearse->compose, "rehearse this compose file against --trace");
  sim->add_option("--trace", rehearse->trace, "CSV of second,requests_per_second");
  sim->add_option("--service", rehearse->service, "which service takes the load");
  sim->add_option("--kill", rehearse->kills, "power a node off: n2@10m; may be given again");
  sim->add_option("--return", rehearse->returns, "power it on again: n2@20m");
  sim->add_option("--csv", rehearse->csv, "write the whole course, second by second, to this file");
  sim->add_option("--startup", rehearse->start_up, "from start to first answer of a replica (default 2s)");
  sim->add_option("--per-replica", rehearse->per_replica,
                  "requests a second one replica answers (default 100)")
      ->check(CLI::PositiveNumber);
  sim->add_option("--peak", rehearse->scale_peak,
                  "scale the trace so that its peak is this many requests a second")
      ->check(CLI::PositiveNumber);
  sim->add_flag("--fill-gaps", rehearse->fill_gaps, "interpolate rows that the trace lacks");
  sim->callback([words, rehearse, &exit_code] {
    if (rehearse->compose.empty() != rehearse->trace.empty())
      throw CLI::ValidationError("sim", "--compose and --trace belong together");
    if (!rehearse->compose.empty()) {
      rehearse->nodes = words->nodes_min;
      rehearse->seed = words->seed;
      exit_code = Rehearse(*rehearse);
      return;
    }
    if (!words->scale.empty()) {
      exit_code = RunScaleTable(words->scale, words->seed, words->verbose);
      return;
    }
    exit_code = words->scenario.empty() ? RunSeeds(*words) : RunText(words->scenario);
  });
}

}  // namespace hs
