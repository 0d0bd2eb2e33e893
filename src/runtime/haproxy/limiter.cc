#include "runtime/haproxy/limiter.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <sstream>

#include "runtime/haproxy/commands.h"

namespace hs {

namespace {

constexpr std::string_view kBackend = "BACKEND";
constexpr std::size_t kPrefix = 3;  // "in_"

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream words(line);
  for (std::string word; std::getline(words, word, ',');) fields.push_back(word);
  return fields;
}

template <typename Number>
bool Read(const std::string& text, Number& value) {
  if (text.empty()) return true;  // what does not apply to a line is left out
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Where the columns are, as the head line says.
struct Columns {
  std::map<std::string, std::size_t> at;
  template <typename Number>
  bool Take(const std::vector<std::string>& fields, const std::string& name, Number& value) const {
    const auto found = at.find(name);
    return found != at.end() && found->second < fields.size() && Read(fields[found->second], value);
  }
};

}  // namespace

Result<std::vector<ServerCount>> ParseCounts(const std::string& text) {
  std::vector<ServerCount> counts;
  Columns columns;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.starts_with("# ")) {
      const std::vector<std::string> names = Fields(line.substr(2));
      for (std::size_t i = 0; i < names.size(); ++i) columns.at[names[i]] = i;
      continue;
    }
    const std::vector<std::string> fields = Fields(line);
    ServerCount count;
    bool whole = fields.size() > 2 && columns.Take(fields, "qcur", count.queued) &&
                 columns.Take(fields, "scur", count.inside) && columns.Take(fields, "slim", count.limit);
    for (const char* name : {"hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"}) {
      std::uint64_t answers = 0;
      whole = whole && columns.Take(fields, name, answers);
      count.answered += answers;
    }
    if (!whole) {
      return Fail(Reaction::kRetryLater, "a line of HAProxy's counts cannot be read: " + line.substr(0, 100));
    }
    count.backend = fields[0];
    count.server = fields[1];
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
