#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <thread>

#include "app/cli/verbs.h"
#include "app/cli/words.h"

namespace hs {
namespace {

void PrintNote(CliContext& context, const std::string& body) {
  PrintLine(context.options.json ? body : Word(ParseBody(body), "note"));
}

struct Wish {
  std::string service;
  std::uint32_t replicas = 0;
};

Wish ParseWish(const std::string& text) {
  const auto equals = text.find('=');
  Wish wish{text.substr(0, equals), 0};
  const char* end = text.data() + text.size();
  const auto [last, code] = equals == std::string::npos
                                ? std::from_chars_result{nullptr, std::errc::invalid_argument}
                                : std::from_chars(text.data() + equals + 1, end, wish.replicas);
  if (code != std::errc{} || last != end || wish.service.empty()) {
    throw CliError(fmt::format("'{}' is no wish; write SERVICE=NUMBER, such as web=3", text));
  }
  return wish;
}

// Whether the cluster says within a moment that this cannot be placed; the reason, or empty.
std::string ShortageOf(CliContext& context, const std::string& service, std::uint32_t replicas) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto status = ParseBody(context.Get("/v1/status"));
    for (const auto& item : status.at("short").as_array()) {
      if (Word(item, "service") == service)
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

void Scale(CliContext& context, const std::vector<std::string>& texts) {
  std::vector<Wish> wishes;
  for (const auto& text : texts) wishes.push_back(ParseWish(text));
  for (const auto& wish : wishes) {
    PrintNote(context, context.Call("PUT", "/v1/services/" + PercentEncode(wish.service) + "/scale",
                                    fmt::format("{{\"replicas\":{}}}", wish.replicas)));
  }
  for (const auto& wish : wishes) {
    const std::string reason = ShortageOf(context, wish.service, wish.replicas);
    if (reason.empty()) continue;
    fmt::print(stderr, "homeostat: accepted, but cannot be placed now: {}\n", reason);
    context.exit_code = 2;
  }
}

void AddToken(CLI::App& app, CliContext& context) {
  auto* token = app.add_subcommand("token", "Tokens for joining and for the API");
  token->require_subcommand(1);
  token->add_subcommand("show", "Print the join token and nothing else")->callback([&context] {
    const std::string body = context.Get("/v1/tokens/join");
    PrintLine(context.options.json ? body : Word(ParseBody(body), "token"));
  });
  auto* create = token->add_subcommand("create", "Make a token; it is shown only now");
  auto api = std::make_shared<bool>(false);
  auto ttl = std::make_shared<std::string>();
  create->add_flag("--api", *api, "for people and programs that use the API, instead of for joining");
  create->add_option("--ttl", *ttl, "ends after this: 90s, 15m, 2h, 3d; without it, never");
  create->callback([&context, api, ttl] {
    const auto span = ttl->empty() ? Result<std::int64_t>(0) : ParseSpan(*ttl);
    if (!span) throw CliError("--ttl: " + span.error().message);
    const std::string body = context.Call(
        "POST", "/v1/tokens", fmt::format("{{\"use\":\"{}\",\"ttl_s\":{}}}", *api ? "api" : "join", *span));
    PrintLine(context.options.json ? body : Word(ParseBody(body), "token"));
  });
  token->add_subcommand("ls", "Tokens, without their secrets")->callback([&context] {
    const std::string body = context.Get("/v1/tokens");
    if (context.options.json) return PrintLine(body);
    std::vector<std::vector<std::string>> rows;
    const auto list = ParseBody(body);
    for (const auto& item : list.as_array()) {
      rows.push_back({Word(item, "id"), Word(item, "use"),
                      Word(item, "expires_ms") == "0" ? "never" : Word(item, "expires_ms")});
    }
    PrintLine(FormatTable({"ID", "USE", "EXPIRES_MS"}, rows));
  });
  auto* revoke = token->add_subcommand("revoke", "Make a token worthless");
  auto id = std::make_shared<std::string>();
  revoke->add_option("ID", *id, "as 'token ls' shows it")->required();
  revoke->callback(
      [&context, id] { PrintNote(context, context.Call("DELETE", "/v1/tokens/" + PercentEncode(*id), "")); });
}

}  // namespace

void AddChangeVerbs(CLI::App& app, CliContext& context) {
  auto* scale = app.add_subcommand("scale", "Set how many replicas of a service run: scale web=3");
  auto wishes = std::make_shared<std::vector<std::string>>();
  scale->add_option("SERVICE=N", *wishes, "one or more")->required();
  scale->callback([&context, wishes] { Scale(context, *wishes); });

  auto* rm = app.add_subcommand("rm", "Remove stacks; their replicas drain and stop");
  auto stacks = std::make_shared<std::vector<std::string>>();
  rm->add_option("STACK", *stacks, "one or more")->required();
  rm->callback([&context, stacks] {
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
  AddToken(app, context);
}

}  // namespace hs
