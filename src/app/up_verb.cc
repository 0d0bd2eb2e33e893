#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <filesystem>
#include <memory>
#include <vector>

#include "app/cli/context.h"
#include "app/cli/words.h"
#include "app/own_verbs.h"
#include "runtime/agent/agent.h"
#include "runtime/process/file_limit.h"
#include "wire/names.h"

namespace hs {
namespace {

struct UpWords {
  std::string data;
  std::string listen;
  std::string advertise;
  std::string door;
  std::string name;
  std::string join;
  bool dial_out = false;
  bool no_discovery = false;
  std::vector<std::string> labels;
  std::vector<std::string> tunables;
};

// Every problem at once: nobody likes to fix one flag after the other.
class Checker {
 public:
  template <typename T>
  std::optional<T> Take(const std::string& flag, Result<T> result) {
    if (result) return *result;
    problems_.push_back(flag + ": " + result.error().message);
    return std::nullopt;
  }
  void Complain(std::string problem) { problems_.push_back(std::move(problem)); }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

// What other nodes take (wire/convert_member.cc): they would not hear a word from a node that says more.
constexpr std::size_t kNameMax = 253;
constexpr std::size_t kLabelsMax = 64;
// News about this node, its name and labels with it, has to fit into one datagram.
constexpr std::size_t kLabelBytesMax = 512;

void TakeLabels(const UpWords& words, AgentOptions& options, Checker& checker) {
  for (const std::string& label : words.labels) {
    const std::size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      checker.Complain("--label: '" + label + "' is not KEY=VALUE");
      continue;
    }
    const std::string key = label.substr(0, equals), value = label.substr(equals + 1);
    if (!IsWord(key, "._-/", kNameMax) || !IsLine(value, kNameMax)) {
      checker.Complain("--label: '" + label +
                       "': a key is letters, digits and ._-/, a value one line of text");
      continue;
    }
    options.labels[key] = value;
  }
  std::size_t bytes = 0;
  for (const auto& [key, value] : options.labels) bytes += key.size() + value.size() + 6;
  if (options.labels.size() > kLabelsMax || bytes > kLabelBytesMax) {
    checker.Complain("--label: at most " + std::to_string(kLabelsMax) + " labels of together about " +
                     std::to_string(kLabelBytesMax) + " bytes");
  }
}

void TakeTunables(const UpWords& words, AgentOptions& options, Checker& checker) {
  for (const std::string& setting : words.tunables) {
    const std::size_t equals = setting.find('=');
    const auto set = SetTunable(options.tunables, setting.substr(0, equals),
                                equals == std::string::npos ? "" : setting.substr(equals + 1));
    if (!set) checker.Complain("--set: " + set.error().message);
  }
  for (const std::string& broken : CheckTunables(options.tunables)) checker.Complain("--set: " + broken);
}

AgentOptions Check(const UpWords& words, Checker& checker) {
  AgentOptions options;
  options.data_dir = std::filesystem::absolute(
      words.data.empty() ? DefaultDataDir(ProcessEnvironment(), ::geteuid() == 0) : words.data);
  if (!words.listen.empty()) {
    if (const auto listen = checker.Take("--listen", Endpoint::Parse(words.listen, kDefaultPort)))
      options.listen = *listen;
  }
  if (!words.advertise.empty()) {
    options.advertise = checker.Take("--advertise", Endpoint::Parse(words.advertise, options.listen.port));
    if (options.advertise && options.advertise->ip.IsUnspecified()) {
      checker.Complain("--advertise: others cannot reach " + words.advertise +
                       "; name an address of this box");
    }
  }
  if (words.door == "none") {
    options.door = Endpoint{};
  } else if (!words.door.empty()) {
    options.door = checker.Take("--door", Endpoint::Parse(words.door, kDefaultDoorPort));
  }
  const bool same_ip =
      options.door && (options.door->ip == options.listen.ip || options.door->ip.IsUnspecified() ||
                       options.listen.ip.IsUnspecified());
  if (same_ip && options.door->port == options.listen.port)
    checker.Complain("--door: port " + std::to_string(options.door->port) +
                     " is what --listen has; choose another");
  options.name = words.name;
  if (!words.name.empty() && !IsWord(words.name, "._-:", kNameMax))
    checker.Complain("--name: '" + words.name + "' is not a name of letters, digits and ._-:");
  options.join = words.join;
  options.dial_out = words.dial_out;
  options.discovery = !words.no_discovery;
  options.program_dir = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  TakeLabels(words, options, checker);
  TakeTunables(words, options, checker);
  return options;
}

std::string TunablesHelp() {
  std::string help =
      "Tunables, for --set NAME=VALUE: default, bounds, scope (cluster: equal on all nodes), meaning:\n";
  for (const TunableRow& row : TunableTable()) {
    const char* scope = row.scope == TunableScope::kCluster ? "cluster" : "node";
    help += fmt::format("  {:<24} {:>10} {:<3} {}..{}, {}: {}\n", row.name, row.Get(Tunables{}), row.unit,
                        row.min, row.max, scope, row.meaning);
  }
  return help;
}

}  // namespace

void AddUpVerb(CLI::App& app, int& exit_code) {
  auto words = std::make_shared<UpWords>();
  auto* up = app.add_subcommand("up", "run a node on this box, in the foreground");
  up->add_option("--data", words->data, "directory for all that must survive (default /var/lib/homeostat)");
  up->add_option("--listen", words->listen,
                 "IP:PORT for everything between nodes and for the API (default 0.0.0.0:7700)");
  up->add_option("--advertise", words->advertise,
                 "IP:PORT that others use to reach this box (default: found out)");
  up->add_option("--door", words->door,
                 "IP:PORT where people's requests enter (default: the listen address, port 8080), or none");
  up->add_option("--name", words->name, "the node's name (default: the advertised address)");
  up->add_option("--label", words->labels,
                 "KEY=VALUE, for placement; zone, rack and host spread replicas (repeatable)")
      ->allow_extra_args(false);
  auto* join = up->add_option("--join", words->join,
                              "join token; or IP:PORT of any member, for a box that was a member before");
  up->add_flag(
      "--dial-out", words->dial_out,
      "others cannot connect to this box (NAT, a firewall): it is reached over connections that it keeps "
      "open to up to three of them");
  up->add_flag("--no-discovery", words->no_discovery,
               "neither ask the local network for members nor answer there (UDP multicast, port 7701)");
  up->add_option("--set", words->tunables, "NAME=VALUE of a tunable (repeatable)")->allow_extra_args(false);
  up->footer(TunablesHelp());
  up->callback([words, join, &exit_code] {
    Checker checker;
    AgentOptions options = Check(*words, checker);
    if (join->count() > 0 && words->join.empty())
      checker.Complain("--join: it is empty; leave it out to form a new cluster");
    if (!checker.problems().empty()) {
      for (const std::string& problem : checker.problems())
        PrintError(fmt::format("homeostat: {}\n", problem));
      exit_code = 1;
      return;
    }
    options.replica_files = RaiseFileLimit();
    if (const auto outcome = RunAgent(options); !outcome) {
      PrintError(fmt::format("homeostat: {}\n", outcome.error().message));
      exit_code = 1;
    }
  });
}

}  // namespace hs
