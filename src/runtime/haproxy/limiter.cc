#include "runtime/haproxy/limiter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string_view>

#include "runtime/haproxy/commands.h"

namespace hs {

namespace {

constexpr std::string_view kBackend = "BACKEND";
constexpr std::size_t kPrefix = 3;  // "in_"

// Takes what is before the next separator off `text`.
std::string_view Take(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

std::vector<std::string_view> Fields(std::string_view line) {
  std::vector<std::string_view> fields;
  while (!line.empty()) fields.push_back(Take(line, ','));
  return fields;
}

template <typename Number>
bool Read(std::string_view text, Number& value) {
  if (text.empty()) return true;  // what does not apply to a line is left out
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

constexpr std::array<std::string_view, 8> kColumns = {"qcur",     "scur",     "slim",     "hrsp_2xx",
                                                      "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"};

// Where these are, as the head line says.
struct Columns {
  std::array<std::size_t, kColumns.size()> at;

  Columns() { at.fill(std::string_view::npos); }
  void Find(std::string_view head) {
    const std::vector<std::string_view> names = Fields(head);
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      const auto found = std::ranges::find(names, kColumns[i]);
      at[i] = found == names.end() ? std::string_view::npos : static_cast<std::size_t>(found - names.begin());
    }
  }
  template <typename Number>
  bool Get(const std::vector<std::string_view>& fields, std::size_t column, Number& value) const {
    return at[column] < fields.size() && Read(fields[at[column]], value);
  }
};

}  // namespace

Result<std::vector<ServerCount>> ParseCounts(const std::string& text) {
  std::vector<ServerCount> counts;
  Columns columns;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = Take(rest, '\n');
    if (line.empty()) continue;
    if (line.starts_with("# ")) {
      columns.Find(line.substr(2));
      continue;
    }
    const std::vector<std::string_view> fields = Fields(line);
    ServerCount count;
    bool whole = fields.size() > 2 && columns.Get(fields, 0, count.queued) &&
                 columns.Get(fields, 1, count.inside) && columns.Get(fields, 2, count.limit);
    for (std::size_t column = 3; column < kColumns.size(); ++column) {
      std::uint64_t answers = 0;
      whole = whole && columns.Get(fields, column, answers);
      count.answered += answers;
    }
    if (!whole) {
      return Fail(Reaction::kRetryLater,
                  fmt::format("a line of HAProxy's counts cannot be read: {:.100}", line));
    }
    count.backend = std::string(fields[0]);
    count.server = std::string(fields[1]);
    counts.push_back(std::move(count));
  }
  return counts;
}

std::string Limiter::Question(const std::vector<std::string>& services) {
  std::string question;
  for (const std::string& service : services) {
    // 2 + 4: the backend and its servers (management.txt, "show stat"). Each command is for the worker.
    question += fmt::format("{}@1 show stat in_{} 6 -1", question.empty() ? "" : ";", service);
  }
  return question;
}

Result<std::vector<std::string>> Limiter::Step(Time now, const std::string& answer) {
  const Result<std::vector<ServerCount>> counts = ParseCounts(answer);
  if (!counts) return std::unexpected(counts.error());
  std::map<std::string, std::uint32_t> queued;
  std::set<std::string> told;
  for (const ServerCount& count : *counts) {
    if (count.backend.size() <= kPrefix) continue;
    told.insert(count.backend);
    if (count.server == kBackend) queued[count.backend] = count.queued;
  }
  std::vector<std::string> commands;
  std::map<std::string, QueueTick> sums;
  busy_ = false;
  for (const ServerCount& count : *counts) {
    if (count.server == kBackend || count.backend.size() <= kPrefix) continue;
    Replica& replica = services_[count.backend].replicas[count.server];
    // After a reload the new worker counts from nothing.
    const bool fresh = replica.seen == Time{} || count.answered < replica.answered;
    if (fresh) services_[count.backend].told = 0;
    const double completed = fresh ? 0 : static_cast<double>(count.answered - replica.answered);
    const bool waiting = queued[count.backend] > 0;
    const std::uint32_t limit = replica.limit.Step(
        now, {.completed = completed, .inside = static_cast<double>(count.inside), .waiting = waiting});
    replica.answered = count.answered;
    replica.seen = now;
    if (count.limit != limit)
      commands.push_back(fmt::format("set maxconn server {}/{} {}", count.backend, count.server, limit));
    QueueTick& sum = sums[count.backend];
    sum.completed += completed;
    sum.inside += count.inside;
    busy_ = busy_ || completed > 0 || count.inside > 0 || waiting;
  }
  std::erase_if(services_, [&](const auto& service) { return !told.contains(service.first); });
  for (auto& [backend, service] : services_) {
    std::erase_if(service.replicas, [&](const auto& replica) { return replica.second.seen != now; });
    QueueTick sum = sums[backend];
    sum.queued = queued[backend];
    const std::uint32_t room = service.room.Step(now, sum);
    if (room == service.told) continue;
    service.told = room;
    commands.push_back(
        fmt::format("set map {} {} {}", EscapeWord(RoomsPath(config_)), backend.substr(kPrefix), room));
  }
  return commands;
}

}  // namespace hs
