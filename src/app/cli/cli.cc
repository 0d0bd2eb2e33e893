#include "app/cli/cli.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "app/cli/verbs.h"
#include "app/cli/words.h"

namespace hs {
namespace {

void AddOptions(CLI::App& app, CliOptions& options) {
  app.add_option("--addr", options.addr,
                 "the node to ask: IP:PORT, or the path of its socket (HOMEOSTAT_ADDR)");
  app.add_option("--data", options.data, "data directory of a node on this box");
  app.add_flag("--json", options.json, "print what the API answered");
  app.add_flag("--insecure", options.insecure, "with --addr IP:PORT: do not check which cluster answers");
}

// As `docker help` and `kubectl help` do.
void AddHelp(CLI::App& app) {
  auto* help = app.add_subcommand("help", "How to use a command");
  auto words = std::make_shared<std::vector<std::string>>();
  help->add_option("COMMAND", *words, "its name; without one, all commands");
  help->callback([&app, words] {
    const CLI::App* about = &app;
    std::string name = "homeostat";
    for (const std::string& word : *words) {
      const auto named =
          about->get_subcommands([&](const CLI::App* each) { return each->get_name() == word; });
      if (named.empty())
        throw CliError(
            fmt::format("there is no command '{}'; homeostat help lists them", fmt::join(*words, " ")));
      if (about != &app) name += " " + about->get_name();
      about = named.front();
    }
    // App::help() would be that of the verb at hand.
    if (words->empty())
      return PrintLine(app.get_formatter()->make_help(&app, name, CLI::AppFormatMode::Normal));
    PrintLine(about->help(name));
  });
}

// Comes from a variable that is not set. Where a name only narrows what is shown, it means all.
void RefuseEmptyWords(CLI::App& app) {
  for (CLI::Option* word : app.get_options([](const CLI::Option* option) {
         return option->get_positional() && (option->get_required() || !option->get_lnames().empty());
       })) {
    word->check([](const std::string& given) {
      return given.empty() ? "is empty: is a variable of your script not set?" : std::string();
    });
  }
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) RefuseEmptyWords(*verb);
}

// One line: CLI11's own text has several.
std::string OneLine(std::string text) {
  for (auto& c : text) c = c == '\n' ? ' ' : c;
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

int RunCli(int argc, char** argv, const AddVerbs& more) {
  std::signal(SIGPIPE, SIG_IGN);
  CliContext context;
  CLI::App app(
      "Homeostat: say what should run, and the boxes keep it running.\n"
      "Start a node with 'homeostat up', see it with 'homeostat status', give it work with 'homeostat "
      "deploy'.",
      "homeostat");
  app.require_subcommand(1);
  app.fallthrough();  // --json and --data may stand after the verb
  app.footer(
      "Environment: HOMEOSTAT_ADDR names the node to ask, HOMEOSTAT_TOKEN is the API token for asking over "
      "the network.\n"
      "Exit codes: 0 done, 1 error, 2 accepted but not placeable now.");
  AddOptions(app, context.options);
  app.set_version_flag("--version", "homeostat " HS_VERSION);
  if (more) more(app, context.exit_code);
  AddDeployVerb(app, context);
  AddShowVerbs(app, context);
  AddTopVerb(app, context);
  AddSizeVerb(app, context);
  AddStreamVerbs(app, context);
  AddChangeVerbs(app, context);
  AddHelp(app);
  RefuseEmptyWords(app);
  try {
    app.parse(argc, argv);
    return context.exit_code;
  } catch (const CLI::Success& e) {
    return app.exit(e);  // help
  } catch (const CLI::RequiredError& e) {
    // A mistyped verb is what happened, not a missing one.
    const auto unknown = app.get_subcommands().empty() ? app.remaining() : std::vector<std::string>{};
    const std::string problem =
        unknown.empty() ? OneLine(e.what()) : fmt::format("there is no command '{}'", unknown.front());
    PrintError(fmt::format("homeostat: {}; homeostat --help shows how\n", problem));
  } catch (const CLI::ParseError& e) {
    PrintError(fmt::format("homeostat: {}; homeostat --help shows how\n", OneLine(e.what())));
  } catch (const CliError& e) {
    PrintError(fmt::format("homeostat: {}\n", e.what()));
    return e.exit_code;
  } catch (const std::exception& e) {
    PrintError(fmt::format("homeostat: {}\n", OneLine(e.what())));
  }
  return 1;
}

}  // namespace hs
