// homeostat size: how many boxes are needed, would be used, could be unplugged.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/cli/verbs.h"
#include "app/cli/words.h"

namespace hs {
namespace {

std::string Boxes(const std::string& count) {
  return count == "0" ? "no number of such boxes" : count + (count == "1" ? " box" : " boxes");
}

void PrintSize(CliContext& context) {
  const std::string body = context.Get("/v1/size");
  if (context.options.json) return PrintLine(body);
  const auto size = ParseBody(body);
  PrintLine(fmt::format("there now       {}", Boxes(Word(size, "boxes"))));
  PrintLine(fmt::format("at least        {}: holds every minimum, also after losing one",
                        Boxes(Word(size, "minimum"))));
  PrintLine(fmt::format("present demand  {}", Boxes(Word(size, "demand"))));
  PrintLine(fmt::format("at most         {}: holds every maximum; more would be idle",
                        Boxes(Word(size, "maximum"))));
  const double there = std::stod(Word(size.at("cpu_millicores"), "there")) / 1000;
  const double wanted = std::stod(Word(size.at("cpu_millicores"), "wanted")) / 1000;
  const auto mebibytes = [&](const char* key) {
    return std::stoull(Word(size.at("memory_bytes"), key)) >> 20;
  };
  PrintLine(fmt::format("wanted          {:.2f} of {:.2f} cores, {} of {} MiB", wanted, there,
                        mebibytes("wanted"), mebibytes("there")));
  if (Word(size, "short_by") != "0")
    PrintLine(fmt::format("short           {} to add", Boxes(Word(size, "short_by"))));
  for (const auto& item : size.at("short").as_array()) {
    PrintLine(fmt::format("short           {} of {}: {}", Word(item, "missing"), Word(item, "service"),
                          Word(item, "reason")));
  }
  std::string names;
  for (const auto& name : size.at("unplug").as_array())
    names += (names.empty() ? "" : ", ") + std::string(name.as_string());
  PrintLine("can be unplugged " + (names.empty() ? std::string("none") : names));
}

}  // namespace

void AddSizeVerb(CLI::App& app, CliContext& context) {
  app.add_subcommand("size", "How many boxes are needed, would be used, could be unplugged")
      ->callback([&context] { PrintSize(context); });
}

}  // namespace hs
