#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "api/json.h"
#include "app/cli/verbs.h"
#include "app/cli/words.h"

namespace hs {
namespace {

struct Column {
  const char* title;
  const char* key;
  bool only_if_any = false;  // left out when no row has it
};

void ShowList(CliContext& context, const std::string& body, std::initializer_list<Column> columns) {
  if (context.options.json) return PrintLine(body);
  std::vector<std::string> header;
  const auto list = ParseBody(body);
  std::vector<std::vector<std::string>> rows(list.as_array().size());
  for (const auto& column : columns) {
    const bool any = std::ranges::any_of(
        list.as_array(), [&](const json::value& item) { return !Word(item, column.key).empty(); });
    if (column.only_if_any && !any) continue;
    header.emplace_back(column.title);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(Word(list.as_array()[i], column.key));
  }
  PrintLine(FormatTable(header, rows));
}

void ShowTable(CliContext& context, const std::string& target, std::initializer_list<Column> columns) {
  ShowList(context, context.Get(target), columns);
}

void ShowNodes(CliContext& context) {
  const std::string body = context.Get("/v1/nodes");
  const std::string told = context.options.json ? body : json::serialize(NodesForPeople(ParseBody(body)));
  ShowList(context, told,
           {{"NAME", "name"},
            {"ADDRESS", "address"},
            {"STATE", "state"},
            {"ROLES", "roles"},
            {"SINCE", "since", true},
            {"LABELS", "labels"},
            {"TROUBLE", "trouble", true}});
}

// Each node is asked for what it measured itself.
void ShowLinks(CliContext& context) {
  json::array links;
  const auto nodes = ParseBody(context.Get("/v1/nodes"));
  for (const auto& node : nodes.as_array()) {
    const std::string state = Word(node, "state");
    if (state != "alive" && state != "suspect") continue;
    const auto rows = ParseBody(context.Get("/v1/links?node=" + PercentEncode(Word(node, "id"))));
    for (json::value row : rows.as_array()) {
      auto* ms = row.as_object().if_contains("round_trip_ms");
      if (ms != nullptr && !context.options.json)
        *ms = JsonText(fmt::format("{:.2f}", ms->to_number<double>()));
      links.push_back(std::move(row));
    }
  }
  ShowList(context, json::serialize(links),
           {{"FROM", "from"},
            {"TO", "to"},
            {"WAY", "way"},
            {"MS", "round_trip_ms"},
            {"ONE-WAY", "one_way", true}});
}

void ShowStatus(CliContext& context) {
  const std::string body = context.Get("/v1/status");
  if (context.options.json) return PrintLine(body);
  const auto status = ParseBody(body);
  const bool steady = status.at("steady").as_bool();
  const std::string drained = Word(status, "drained");
  std::string out = fmt::format(
      "cluster   {}\nnode      {}\ndoor      {}\nnodes     {}{}\nservices  {}\n", Word(status, "cluster"),
      Word(status, "node"), Word(status, "door").empty() ? "none" : Word(status, "door"),
      Word(status, "nodes"), drained.empty() ? "" : ", drained: " + drained, Word(status, "services"));
  out += fmt::format("control   {}\n",
                     Word(status, "controller").empty() ? "no controller known" : Word(status, "controller"));
  std::vector<std::string> roles;
  for (const auto& item : status.at("roles").as_array()) {
    const std::string role = Word(item, "role");
    // Everyone who can is a worker and a door.
    const bool counted = role != "worker" && role != "door";
    roles.push_back(Word(item, "have") + (counted ? " of " + Word(item, "need") + " " : " ") + role);
  }
  out += fmt::format("roles     {}\n", fmt::join(roles, ", "));
  out += steady ? fmt::format("steady    yes, for {:.0f} s\n", status.at("steady_s").to_number<double>())
                : std::string("steady    no\n");
  for (const auto& reason : status.at("pending").as_array())
    out += fmt::format("pending   {}\n", TextOf(reason));
  for (const auto& item : status.at("short").as_array()) {
    out += fmt::format("short     {} of {}: {}\n", Word(item, "missing"), Word(item, "service"),
                       Word(item, "reason"));
  }
  for (const char* kind : {"trouble", "notes"}) {
    for (const auto& item : status.at(kind).as_array())
      out += fmt::format("{:<8}  {}: {}\n", kind, Word(item, "nodes"), Word(item, "what"));
  }
  PrintLine(out);
}

void ShowWhy(CliContext& context, const std::string& subject) {
  const std::string body = context.Get(subject.empty() ? "/v1/why" : "/v1/why/" + PercentEncode(subject));
  if (context.options.json) return PrintLine(body);
  const auto why = ParseBody(body);
  std::string out = Word(why, "cause") + "\n";
  for (const auto& advice : why.at("advice").as_array()) out += "  " + TextOf(advice) + "\n";
  const auto& events = why.at("events").as_array();
  if (!events.empty()) out += "events, newest first:\n";
  for (const auto& event : events) out += "  " + EventLine(event) + "\n";
  PrintLine(out);
}

}  // namespace

void AddShowVerbs(CLI::App& app, CliContext& context) {
  app.add_subcommand("ls", "Services with the level asked for and the level reached")->callback([&context] {
    ShowTable(
        context, "/v1/services",
        {{"SERVICE", "service"}, {"DESIRED", "desired"}, {"RUNNING", "running"}, {"HEALTHY", "healthy"}});
  });
  auto* ps = app.add_subcommand("ps", "Replicas of the whole cluster");
  auto service = std::make_shared<std::string>();
  ps->add_option("SERVICE", *service, "only this service");
  ps->callback([&context, service] {
    ShowTable(context, service->empty() ? "/v1/replicas" : "/v1/replicas?service=" + PercentEncode(*service),
              {{"REPLICA", "replica"},
               {"NODE", "node"},
               {"STATE", "state"},
               {"HEALTH", "health"},
               {"ADDRESS", "address"},
               {"PID", "pid"},
               {"RESTARTS", "restarts"},
               {"ERROR", "error", true}});
  });
  auto* nodes = app.add_subcommand("nodes", "Members of the cluster; 'nodes rm' removes one");
  AddNodeVerbs(*nodes, context);
  auto links = std::make_shared<bool>(false);
  nodes->add_flag("--links", *links, "who reaches whom, how (direct, or through whom), and the round trip");
  nodes->callback([&context, nodes, links] {
    if (!nodes->get_subcommands().empty()) return;
    if (*links) return ShowLinks(context);
    ShowNodes(context);
  });
  app.add_subcommand("status", "The cluster in short: is it steady, and if not, why")->callback([&context] {
    ShowStatus(context);
  });
  auto* why = app.add_subcommand("why", "Why a service, replica, node or stack is as it is");
  auto subject = std::make_shared<std::string>();
  why->add_option("SUBJECT", *subject, "its name; without one, the cluster as a whole");
  why->callback([&context, subject] { ShowWhy(context, *subject); });
  auto* inspect =
      app.add_subcommand("inspect", "All that is known of one service, replica, node or stack, as JSON");
  auto thing = std::make_shared<std::string>();
  inspect->add_option("NAME", *thing, "its name")->required();
  inspect->callback([&context, thing] { PrintLine(context.Get("/v1/inspect/" + PercentEncode(*thing))); });
  app.add_subcommand("version", "The version of this program")->callback([&context] {
    PrintLine(context.options.json ? std::string("{\"version\":\"" HS_VERSION "\"}")
                                   : std::string("homeostat " HS_VERSION));
  });
}

}  // namespace hs
