// homeostat top: who does how much, in a screen that is new each second.
#include <fmt/chrono.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <ctime>

#include "app/cli/terminal.h"
#include "app/cli/top_screen.h"
#include "app/cli/verbs.h"
#include "app/cli/words.h"

namespace hs {
namespace {

constexpr auto kRefresh = std::chrono::milliseconds(1000);

std::string ClockWords() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("{:%H:%M:%S}", local);
}

// One plain page of all rows. A file or pipe has no width; COLUMNS may give it one.
void ShowOnce(CliContext& context) {
  const std::string body = context.Get("/v1/top");
  if (context.options.json) return PrintLine(body);
  TopPage page;
  const char* columns = std::getenv("COLUMNS");
  page.columns = columns == nullptr ? 0 : std::strtoul(columns, nullptr, 10);
  if (page.columns < 20) page.columns = 160;
  page.rows.reset();
  page.clock = ClockWords();
  std::string out;
  for (const std::string& line : TopScreen(ParseBody(body), page)) out += line + "\n";
  PrintLine(out);
}

void ShowScreen(CliContext& context) {
  auto top = ParseBody(context.Get("/v1/top"));  // before the screen: an error is told where the shell is
  const bool color = std::getenv("NO_COLOR") == nullptr;
  std::string problem;
  Terminal terminal;
  while (true) {
    const auto begun = std::chrono::steady_clock::now();
    const auto show = [&] {
      terminal.Show(TopScreen(top, {.columns = terminal.columns(),
                                    .rows = terminal.rows(),
                                    .color = color,
                                    .clock = ClockWords(),
                                    .problem = problem}));
    };
    show();
    while (true) {
      const auto left = kRefresh - (std::chrono::steady_clock::now() - begun);
      char key = 0;
      const auto woken = terminal.Wait(
          static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(left).count()), key);
      if (woken == Terminal::Woken::kTimeout) break;
      if (woken == Terminal::Woken::kKey && (key == 'q' || key == 'Q')) return;
      if (woken == Terminal::Woken::kResized) show();
    }
    try {
      top = ParseBody(context.Get("/v1/top"));
      problem.clear();
    } catch (const CliError& error) {
      problem = error.what();
    }
  }
}

}  // namespace

void AddTopVerb(CLI::App& app, CliContext& context) {
  auto* top = app.add_subcommand("top", "Load of nodes and services, each second anew; q ends it");
  auto once = std::make_shared<bool>(false);
  top->add_flag("--once", *once, "print it once, as when the output is no terminal");
  top->callback([&context, once] {
    if (*once || context.options.json || ::isatty(STDOUT_FILENO) == 0) return ShowOnce(context);
    ShowScreen(context);
  });
}

}  // namespace hs
