#include "app/rehearse.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "app/cli/compose_file.h"
#include "core/latency.h"
#include "sim/rehearsal.h"
#include "sim/trace.h"
#include "wire/compose/scalars.h"

namespace hs {
namespace {

constexpr std::size_t kRows = 30;

// n2@10m: when which node goes or comes.
Result<sim::RehearsalOptions::Change> ParseChange(const std::string& text, std::size_t nodes, bool back) {
  const auto at = text.find('@');
  const auto node = text.substr(0, at);
  const bool named = node.size() > 1 && node.size() < 6 && node[0] == 'n' &&
                     std::all_of(node.begin() + 1, node.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (at == std::string::npos || !named)
    return BadInput(
        fmt::format("'{}': write NODE@TIME with nodes n0 to n{}, such as n2@10m", text, nodes - 1));
  const auto index = static_cast<sim::HostIndex>(std::stoul(node.substr(1)));
  if (index >= nodes) return BadInput(fmt::format("'{}': there are nodes n0 to n{}", text, nodes - 1));
  const auto when = compose::ParseDuration(text.substr(at + 1));
  if (!when) return BadInput(fmt::format("'{}': {}", text, when.error().message));
  return sim::RehearsalOptions::Change{*when, index, back};
}

Result<std::string> ChooseService(const StackSpec& stack, const std::string& wanted) {
  std::vector<std::string> scaled, routed;
  for (const ServiceSpec& service : stack.services) {
    if (service.name == wanted) return wanted;
    if (service.scale) scaled.push_back(service.name);
    if (service.http || !service.ports.empty()) routed.push_back(service.name);
  }
  if (!wanted.empty()) return BadInput(fmt::format("the compose file has no service '{}'", wanted));
  if (scaled.size() == 1) return scaled.front();
  if (routed.size() == 1) return routed.front();
  return BadInput("several services could take the load; name one with --service");
}

void PrintTable(const sim::Rehearsal& rehearsal, double per_replica) {
  const auto& seconds = rehearsal.seconds;
  const std::size_t step = std::max<std::size_t>(1, (seconds.size() + kRows - 1) / kRows);
  fmt::print("{:>8} {:>6} {:>9} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9}\n", "second", "nodes", "demand/s",
             "wanted", "ready", "capacity", "p50 ms", "p99 ms", "refused");
  for (std::size_t from = 0; from < seconds.size(); from += step) {
    const std::size_t to = std::min(seconds.size(), from + step);
    double arrivals = 0, refused = 0;
    for (std::size_t i = from; i < to; ++i) {
      arrivals += seconds[i].traffic.arrivals;
      refused += seconds[i].traffic.refused;
    }
    const auto& last = seconds[to - 1];
    std::string p50 = "-", p99 = "-";
    const LatencyCounts latency = sim::LatencyBetween(rehearsal, from, to);
    if (!latency.empty()) {
      p50 = fmt::format("{:.0f}", LatencyQuantile(latency, 0.5) * 1e3);
      p99 = fmt::format("{:.0f}", LatencyQuantile(latency, 0.99) * 1e3);
    }
    fmt::print("{:>8} {:>6} {:>9.1f} {:>7} {:>7.0f} {:>9.0f} {:>9} {:>9} {:>9.0f}\n", to, last.nodes,
               arrivals / static_cast<double>(to - from), last.wanted, last.traffic.ready,
               last.traffic.ready * per_replica, p50, p99, refused);
  }
  double arrivals = 0, refused = 0, replica_seconds = 0;
  for (const auto& second : seconds) {
    arrivals += second.traffic.arrivals;
    refused += second.traffic.refused;
    replica_seconds += second.traffic.ready;
  }
  fmt::print("{:.0f} requests, {:.0f} refused ({:.3f} %), {:.0f} replica seconds\n", arrivals, refused,
             arrivals > 0 ? 100 * refused / arrivals : 0, replica_seconds);
}

Result<void> WriteCsv(const std::string& path, const sim::Rehearsal& rehearsal, double per_replica) {
  std::ofstream file(path);
  file << "second,nodes,trace_per_s,arrivals,wanted,ready,capacity_per_s,completions,backlog,p50_ms,p99_ms,"
          "refused\n";
  for (std::size_t i = 0; i < rehearsal.seconds.size(); ++i) {
    const auto& row = rehearsal.seconds[i];
    const auto& traffic = row.traffic;
    const bool any = !traffic.latency.empty();
    file << fmt::format(
        "{},{},{:.3f},{:.0f},{},{:.0f},{:.0f},{:.1f},{:.1f},{},{},{:.0f}\n", i, row.nodes, row.rate,
        traffic.arrivals, row.wanted, traffic.ready, traffic.ready * per_replica, traffic.completions,
        traffic.backlog, any ? fmt::format("{:.2f}", LatencyQuantile(traffic.latency, 0.5) * 1e3) : "",
        any ? fmt::format("{:.2f}", LatencyQuantile(traffic.latency, 0.99) * 1e3) : "", traffic.refused);
  }
  file.flush();
  if (!file) return BadInput(path + ": cannot be written");
  return {};
}

Result<sim::RehearsalOptions> OptionsOf(const RehearseWords& words) {
  sim::RehearsalOptions options;
  const auto compose = ReadComposeFile(words.compose);
  if (!compose) return std::unexpected(compose.error());
  options.stack = compose->stack;
  const auto service = ChooseService(options.stack, words.service);
  if (!service) return std::unexpected(service.error());
  const auto trace = sim::ReadTrace(words.trace, words.fill_gaps);
  if (!trace) return std::unexpected(trace.error());
  options.traffic = {.service = *service, .rate = trace->rate, .per_replica_s = words.per_replica};
  if (words.scale_peak > 0) {
    const double peak = *std::ranges::max_element(options.traffic.rate);
    for (double& rate : options.traffic.rate) rate *= words.scale_peak / peak;
  }
  const auto start_up = compose::ParseDuration(words.start_up);
  if (!start_up) return BadInput("--startup: " + start_up.error().message);
  options.start_up = *start_up;
  options.nodes = words.nodes;
  options.seed = words.seed;
  for (const bool back : {false, true}) {
    for (const std::string& text : back ? words.returns : words.kills) {
      const auto change = ParseChange(text, words.nodes, back);
      if (!change) return std::unexpected(change.error());
      options.changes.push_back(*change);
    }
  }
  return options;
}

}  // namespace

int Rehearse(const RehearseWords& words) {
  const auto fail = [](const Error& error) {
    fmt::print(stderr, "homeostat: {}\n", error.message);
    return 1;
  };
  const auto options = OptionsOf(words);
  if (!options) return fail(options.error());
  fmt::print("{} on {} nodes, {:g} requests/s a replica, start-up {}\n", options->traffic.service,
             options->nodes, words.per_replica, words.start_up);
  const auto rehearsal = sim::Rehearse(*options);
  if (!rehearsal) return fail(rehearsal.error());
  PrintTable(*rehearsal, words.per_replica);
  for (const std::string& line : rehearsal->events) {
    if (line.find(" scale.") != std::string::npos || line.find(" plan.short") != std::string::npos)
      fmt::print("  {}\n", line);
  }
  if (words.csv.empty()) return 0;
  const auto written = WriteCsv(words.csv, *rehearsal, words.per_replica);
  return written ? 0 : fail(written.error());
}

}  // namespace hs
