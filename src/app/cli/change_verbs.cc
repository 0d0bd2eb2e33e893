#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <thread>

#include "api/find.h"
#include "app/cli/verbs.h"
#include "app/cli/words.h"
#include "wire/compose/scalars.h"

namespace hs {
namespace {

void PrintNote(CliContext& context, const std::string& body) {
  PrintLine(context.options.json ? body : Word(ParseBody(body), "note"));
}

// `web=auto` gives the number back to x-scale or to the stack.
struct Wish {
  std::string service;
  std::optional<std::uint32_t> replicas;
};

Wish ParseWish(const std::string& text) {
  const auto equals = text.find('=');
  Wish wish{text.substr(0, equals), std::nullopt};
  if (equals != std::string::npos && equals > 0 && text.substr(equals + 1) == "auto") return wish;
  std::uint32_t replicas = 0;
  const char* end = text.data() + text.size();
  const auto [last, code] = equals == std::string::npos
                                ? std::from_chars_result{nullptr, std::errc::invalid_argument}
                                : std::from_chars(text.data() + equals + 1, end, replicas);
  constexpr std::uint32_t kMost = 100'000;  // what the API takes
  if (code == std::errc::result_out_of_range || (code == std::errc{} && last == end && replicas > kMost))
    throw CliError(fmt::format("'{}': at most {} replicas", text, kMost));
  if (code != std::errc{} || last != end || wish.service.empty()) {
    throw CliError(fmt::format("'{}' is no wish; write SERVICE=NUMBER or SERVICE=auto, such as web=3", text));
  }
  wish.replicas = replicas;
  return wish;
}

// Whether the cluster says within a moment that this cannot be placed; the reason, or empty.
std::string ShortageOf(CliContext& context, const std::string& service, std::uint32_t replicas) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto status = ParseBody(context.Get("/v1/status"));
    for (const auto& item : status.at("short").as_array()) {
      // An earlier version serves on where a rollout stopped.
      if (Word(item, "service") == service && Word(item, "of") != "version")
        return fmt::format("{} of {}: {}", Word(item, "missing"), service, Word(item, "reason"));
    }
    const auto services = ParseBody(context.Get("/v1/services"));
    for (const auto& item : services.as_array()) {
      if (Word(item, "service") == service && Word(item, "healthy") == std::to_string(replicas)) return "";
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return "";
}

// Of several wishes all are carried out or none: one that cannot be is found before the first is.
void RequireAll(CliContext& context, const std::vector<std::string>& wanted, const std::string& list,
                const char* what) {
  if (wanted.size() < 2) return;  // the API's own answer will do
  std::vector<std::string> there;
  const auto listed = ParseBody(context.Get(list));
  for (const auto& item : listed.as_array()) there.push_back(Word(item, what));
  for (const auto& name : wanted) {
    if (std::ranges::find(there, name) != there.end()) continue;
    throw CliError(
        fmt::format("no {} '{}'; there are: {}; nothing was changed", what, name, fmt::join(there, ", ")));
  }
}

void Scale(CliContext& context, const std::vector<std::string>& texts) {
  std::vector<Wish> wishes;
  std::vector<std::string> names;
  for (const auto& text : texts) {
    wishes.push_back(ParseWish(text));
    names.push_back(wishes.back().service);
  }
  RequireAll(context, names, "/v1/services", "service");
  for (const auto& wish : wishes) {
    const std::string path = "/v1/services/" + PercentEncode(wish.service) + "/scale";
    PrintNote(context, wish.replicas
                           ? context.Call("PUT", path, fmt::format("{{\"replicas\":{}}}", *wish.replicas))
                           : context.Call("DELETE", path, ""));
  }
  for (const auto& wish : wishes) {
    if (!wish.replicas) continue;
    const std::string reason = ShortageOf(context, wish.service, *wish.replicas);
    if (reason.empty()) continue;
    PrintError(fmt::format("homeostat: accepted, but cannot be placed now: {}\n", reason));
    context.exit_code = 2;
  }
}

// 8, 2.5: cores; 4g, 512m: bytes.
std::uint64_t Millicores(const std::string& text) {
  const auto value = compose::ParseMillicores(text);
  if (!value) throw CliError("--cores: " + value.error().message);
  return *value;
}
std::uint64_t Bytes(const std::string& text) {
  const auto value = compose::ParseBytes(text);
  if (!value) throw CliError("--memory: " + value.error().message);
  return *value;
}

void PrintQuotas(CliContext& context) {
  const std::string body = context.Get("/v1/quotas");
  if (context.options.json) return PrintLine(body);
  std::vector<std::vector<std::string>> rows;
  const auto list = ParseBody(body);
  const auto limit = [](const std::string& number) { return number == "0" ? "-" : number; };
  for (const auto& item : list.as_array()) {
    const double cores = std::stod(Word(item, "cpu_millicores")) / 1000;
    const auto mebibytes = std::stoull(Word(item, "memory_bytes")) >> 20;
    rows.push_back({Word(item, "subject"), limit(Word(item, "replicas")), limit(fmt::format("{:g}", cores)),
                    limit(std::to_string(mebibytes))});
  }
  PrintLine(FormatTable({"SUBJECT", "REPLICAS", "CORES", "MEMORY_MIB"}, rows));
}

void AddQuota(CLI::App& app, CliContext& context) {
  auto* quota = app.add_subcommand("quota", "Hard limits over services, batch work or one service");
  quota->require_subcommand(1);
  quota->add_subcommand("ls", "Limits in force")->callback([&context] { PrintQuotas(context); });
  auto* set = quota->add_subcommand("set", "Set a limit: quota set services --cores 8 --memory 4g");
  auto subject = std::make_shared<std::string>();
  auto replicas = std::make_shared<std::uint32_t>(0);
  auto cores = std::make_shared<std::string>();
  auto memory = std::make_shared<std::string>();
  set->add_option("SUBJECT", *subject, "services, batch or service.NAME")->required();
  set->add_option("--replicas", *replicas, "at most so many");
  set->add_option("--cores", *cores, "at most so much reserved CPU, such as 8 or 2.5");
  set->add_option("--memory", *memory, "at most so much reserved memory, such as 4g");
  set->callback([&context, subject, replicas, cores, memory] {
    const std::string body =
        fmt::format("{{\"replicas\":{},\"cpu_millicores\":{},\"memory_bytes\":{}}}", *replicas,
                    cores->empty() ? 0 : Millicores(*cores), memory->empty() ? 0 : Bytes(*memory));
    PrintNote(context, context.Call("PUT", "/v1/quotas/" + PercentEncode(*subject), body));
  });
  auto* rm = quota->add_subcommand("rm", "Lift a limit");
  auto lifted = std::make_shared<std::string>();
  rm->add_option("SUBJECT", *lifted, "as 'quota ls' shows it")->required();
  rm->callback([&context, lifted] {
    PrintNote(context, context.Call("DELETE", "/v1/quotas/" + PercentEncode(*lifted), ""));
  });
}

constexpr auto kLook = std::chrono::milliseconds(200);
constexpr int kLooksUndrained = 25;

// What keeps a node that was asked to leave; nothing once its agent has ended, or answers nobody for a
// second.
struct Leaving {
  bool drained = false;
  std::string runs;     // replicas
  std::string pending;  // what cannot go elsewhere, and why
};

std::optional<Leaving> AskLeaving(CliContext& context, const std::string& node) {
  for (int tries = 0; tries < 5; ++tries) {
    if (tries > 0) std::this_thread::sleep_for(kLook);
    try {
      Leaving leaving;
      leaving.drained =
          Word(ParseBody(context.Get("/v1/inspect/" + PercentEncode(node))), "drained") == "true";
      const auto replicas = ParseBody(context.Get("/v1/replicas"));
      for (const auto& item : replicas.as_array()) {
        if (Word(item, "node") == node)
          leaving.runs += (leaving.runs.empty() ? "" : ", ") + Word(item, "replica");
      }
      const auto status = ParseBody(context.Get("/v1/status"));
      for (const auto& item : status.at("short").as_array()) {
        if (Word(item, "of") == "version") continue;
        leaving.pending += fmt::format("; {} of {} cannot go elsewhere: {}", Word(item, "missing"),
                                       Word(item, "service"), Word(item, "reason"));
      }
      return leaving;
    } catch (const CliError&) {
    }
  }
  return std::nullopt;
}

// Waits until the node that was asked is gone, saying what keeps it.
void Leave(CliContext& context, bool now) {
  const std::string node = Word(ParseBody(context.Get("/v1/status")), "node");
  PrintNote(context, context.Call("POST", now ? "/v1/leave?now=1" : "/v1/leave", ""));
  Leaving last;
  int undrained = 0;
  while (const auto leaving = AskLeaving(context, node)) {
    // The last thing that it does itself is to take the drain back.
    undrained = leaving->drained ? 0 : undrained + 1;
    if (undrained == kLooksUndrained && !now) throw CliError(node + " stays: its drain was taken back");
    if (!leaving->runs.empty() && (leaving->runs != last.runs || leaving->pending != last.pending) &&
        !context.options.json) {
      PrintError(fmt::format("{} still runs {}{}{}\n", node, leaving->runs, leaving->pending,
                             leaving->pending.empty() ? "" : "; 'homeostat leave --now' stops it"));
    }
    last = *leaving;
    std::this_thread::sleep_for(kLook);
  }
  if (!last.runs.empty() && !now) {
    throw CliError(node + " ended, or answers no more, while it still ran " + last.runs +
                   ": it said no goodbye; start it and ask again, or 'homeostat nodes rm' it elsewhere");
  }
  if (!context.options.json) PrintLine(node + " has left the cluster");
}

void AddLeave(CLI::App& app, CliContext& context) {
  auto* leave = app.add_subcommand(
      "leave", "The node that is asked gives its work away, says goodbye and ends; Ctrl-C leaves it drained");
  auto now = std::make_shared<bool>(false);
  leave->add_flag("--now", *now, "do not wait until others took its work: stop what it runs");
  leave->callback([&context, now] { Leave(context, *now); });
}

void AddToken(CLI::App& app, CliContext& context) {
  auto* token = app.add_subcommand("token", "Tokens for joining and for the API");
  token->require_subcommand(1);
  token->add_subcommand("show", "Print the join token and nothing else")->callback([&context] {
    // A box that joined a moment ago does not know the cluster's tokens yet.
    const std::string body = context.GetPatiently("/v1/tokens/join", 5s);
    PrintLine(context.options.json ? body : Word(ParseBody(body), "token"));
  });
  auto* create = token->add_subcommand("create", "Make a token; it is shown only now");
  auto api = std::make_shared<bool>(false);
  auto ttl = std::make_shared<std::string>();
  create->add_flag("--api", *api, "for people and programs that use the API, instead of for joining");
  auto* until = create->add_option("--ttl", *ttl, "ends after this: 90s, 15m, 2h, 3d; without it, never");
  create->callback([&context, api, ttl, until] {
    // An empty one comes from a variable that is not set, and must not mean "never".
    const bool ending = until->count() > 0;
    const auto span = ending ? ParseSpan(*ttl) : Result<std::int64_t>(0);
    if (!span) throw CliError("--ttl: " + span.error().message);
    if (ending && *span == 0) throw CliError("--ttl: a token that ends at once is of no use");
    const std::string ends = ending ? fmt::format(",\"ttl_s\":{}", *span) : "";
    const std::string body =
        context.Call("POST", "/v1/tokens", fmt::format("{{\"use\":\"{}\"{}}}", *api ? "api" : "join", ends));
    PrintLine(context.options.json ? body : Word(ParseBody(body), "token"));
  });
  token->add_subcommand("ls", "Tokens, without their secrets")->callback([&context] {
    const std::string body = context.Get("/v1/tokens");
    if (context.options.json) return PrintLine(body);
    std::vector<std::vector<std::string>> rows;
    const auto list = ParseBody(body);
    const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    for (const auto& item : list.as_array()) {
      const std::int64_t expires_ms = item.at("expires_ms").to_number<std::int64_t>();
      const bool over = expires_ms != 0 && expires_ms <= now_ms;
      rows.push_back({Word(item, "id"), Word(item, "use"),
                      expires_ms == 0 ? "never" : WhenText(expires_ms) + (over ? ", expired" : "")});
    }
    PrintLine(FormatTable({"ID", "USE", "EXPIRES"}, rows));
  });
  auto* revoke = token->add_subcommand("revoke", "Make a token worthless");
  auto id = std::make_shared<std::string>();
  revoke->add_option("ID", *id, "as 'token ls' shows it")->required();
  revoke->callback(
      [&context, id] { PrintNote(context, context.Call("DELETE", "/v1/tokens/" + PercentEncode(*id), "")); });
}

}  // namespace

void AddChangeVerbs(CLI::App& app, CliContext& context) {
  auto* scale =
      app.add_subcommand("scale", "Set how many replicas of a service run: scale web=3, or web=auto");
  auto wishes = std::make_shared<std::vector<std::string>>();
  scale->add_option("SERVICE=N", *wishes, "one or more; SERVICE=auto gives the number back to the stack")
      ->required();
  scale->callback([&context, wishes] { Scale(context, *wishes); });

  auto* rm = app.add_subcommand("rm", "Remove stacks; their replicas drain and stop");
  auto stacks = std::make_shared<std::vector<std::string>>();
  rm->add_option("STACK", *stacks, "one or more")->required();
  rm->callback([&context, stacks] {
    RequireAll(context, *stacks, "/v1/stacks", "stack");
    for (const auto& stack : *stacks)
      PrintNote(context, context.Call("DELETE", "/v1/stacks/" + PercentEncode(stack), ""));
  });

  auto* drain = app.add_subcommand("drain", "Move all work away from a node");
  auto node = std::make_shared<std::string>();
  auto undo = std::make_shared<bool>(false);
  drain->add_option("NODE", *node, "name, id or address")->required();
  drain->add_flag("--undo", *undo, "give it work again");
  drain->callback([&context, node, undo] {
    PrintNote(context,
              context.Call(*undo ? "DELETE" : "PUT", "/v1/nodes/" + PercentEncode(*node) + "/drain", ""));
  });
  AddQuota(app, context);
  AddLeave(app, context);
  AddToken(app, context);
}

void AddNodeVerbs(CLI::App& nodes, CliContext& context) {
  auto* rm = nodes.add_subcommand("rm", "Remove a node for good: its key is trusted no more");
  auto names = std::make_shared<std::vector<std::string>>();
  auto force = std::make_shared<bool>(false);
  rm->add_option("NODE", *names, "name, id or address")->required();
  rm->add_flag("--force", *force, "also while it is here and runs work, which is then replaced elsewhere");
  rm->callback([&context, names, force] {
    for (const auto& name : *names) {
      PrintNote(context,
                context.Call("DELETE", "/v1/nodes/" + PercentEncode(name) + (*force ? "?force=1" : ""), ""));
    }
  });
}

}  // namespace hs
