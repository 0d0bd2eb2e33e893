#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "api/log_json.h"
#include "app/cli/verbs.h"
#include "app/cli/words.h"

namespace hs {
namespace {

// Cuts a stream of bytes into lines.
class Lines {
 public:
  explicit Lines(std::function<void(std::string_view)> take) : take_(std::move(take)) {}
  bool Add(std::string_view bytes) {
    rest_ += bytes;
    std::size_t start = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', start)) {
      take_(std::string_view(rest_).substr(start, end - start));
      start = end + 1;
    }
    rest_.erase(0, start);
    return true;
  }

 private:
  std::function<void(std::string_view)> take_;
  std::string rest_;
};

WallMs WallNow() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

WallMs SinceOf(const std::string& text) {
  if (text.empty()) return 0;
  const auto since = ParseSince(text, WallNow());
  if (!since) throw CliError("--since: " + since.error().message);
  return *since;
}

struct LogFlags {
  std::string subject;
  bool follow = false;
  std::uint32_t lines = 100;
  std::string since;
};

void ShowLogs(CliContext& context, const LogFlags& flags) {
  const std::string target = fmt::format("/v1/logs/{}?n={}&since_ms={}{}", PercentEncode(flags.subject),
                                         flags.lines, SinceOf(flags.since), flags.follow ? "&follow=1" : "");
  Lines lines([&](std::string_view text) {
    if (text.empty()) return;  // a heartbeat
    if (context.options.json) return PrintLine(text);
    if (const auto line = LogLineFromJson(text)) PrintLine(fmt::format("{} | {}", line->replica, line->line));
  });
  context.Stream(target, [&](std::string_view bytes) { return lines.Add(bytes); });
}

struct EventFlags {
  std::string subject;
  bool follow = false;
  std::uint32_t count = 100;
  std::string since;
};

void FollowEvents(CliContext& context, const std::string& query, WallMs since) {
  Lines lines([&](std::string_view text) {
    constexpr std::string_view kData = "data: ";
    if (!text.starts_with(kData)) return;
    text.remove_prefix(kData.size());
    PrintLine(context.options.json ? std::string(text) : EventLine(ParseBody(std::string(text))));
  });
  context.Stream(fmt::format("/v1/events?follow=1&since_ms={}{}", since, query),
                 [&](std::string_view bytes) { return lines.Add(bytes); });
}

void ShowEvents(CliContext& context, const EventFlags& flags) {
  const WallMs since = SinceOf(flags.since);
  const std::string query = flags.subject.empty() ? "" : "&subject=" + PercentEncode(flags.subject);
  if (flags.follow) return FollowEvents(context, query, since);
  const std::string body =
      context.Get(fmt::format("/v1/events?n={}&since_ms={}{}", flags.count, since, query));
  if (context.options.json) return PrintLine(body);
  const auto list = ParseBody(body);
  for (const auto& event : list.as_array()) PrintLine(EventLine(event));
  if (list.as_array().empty()) {
    PrintError(fmt::format("homeostat: no events{}{} are known\n",
                           flags.subject.empty() ? "" : " about " + flags.subject,
                           flags.since.empty() ? "" : " since then"));
  }
}

}  // namespace

void AddStreamVerbs(CLI::App& app, CliContext& context) {
  auto* logs = app.add_subcommand("logs", "Output of a service or of one replica");
  auto log_flags = std::make_shared<LogFlags>();
  logs->add_option("NAME", log_flags->subject, "service or replica")->required();
  logs->add_flag("-f,--follow", log_flags->follow, "go on with new lines until interrupted");
  logs->add_option("-n,--lines", log_flags->lines, "the last so many lines")->capture_default_str();
  logs->add_option("--since", log_flags->since, "only after this: 15m ago, or 2026-11-22T08:00:00 (UTC)");
  logs->callback([&context, log_flags] { ShowLogs(context, *log_flags); });

  auto* events = app.add_subcommand("events", "Decisions and what was seen, each with its cause");
  auto event_flags = std::make_shared<EventFlags>();
  events->add_option("SUBJECT", event_flags->subject, "only about this service, replica or node");
  events->add_flag("-f,--follow", event_flags->follow, "go on with new ones until interrupted");
  events->add_option("-n,--lines", event_flags->count, "the last so many")->capture_default_str();
  events->add_option("--since", event_flags->since, "only after this: 15m ago, or 2026-11-22T08:00:00 (UTC)");
  events->callback([&context, event_flags] { ShowEvents(context, *event_flags); });
}

}  // namespace hs
