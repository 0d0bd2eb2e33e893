#include "runtime/haproxy/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "runtime/haproxy/config.h"

namespace hs {
namespace {

constexpr std::string_view kHeader = "# pxname,";

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 0;;) {
    const std::size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

template <typename Number>
bool ReadNumber(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Which column of the header holds what.
struct Columns {
  std::size_t kind = 0;  // svname
  std::vector<std::pair<std::size_t, std::uint64_t BackendStats::*>> numbers;
};

std::optional<Columns> ColumnsOf(std::string_view header) {
  static constexpr std::pair<std::string_view, std::uint64_t BackendStats::*> kNumbers[] = {
      {"qcur", &BackendStats::queued},
      {"scur", &BackendStats::in_flight},
      {"stot", &BackendStats::arrived},
      {"req_tot", &BackendStats::ended},
      {"hrsp_5xx", &BackendStats::server_errors},
      {"econ", &BackendStats::connect_failures},
      {"eresp", &BackendStats::response_failures},
  };
  const std::vector<std::string_view> names = Split(header, ',');
  const auto place = [&](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
  };
  Columns columns;
  columns.kind = place("svname");
  if (columns.kind == names.size()) return std::nullopt;
  for (const auto& [name, member] : kNumbers) {
    columns.numbers.emplace_back(place(name), member);
    if (columns.numbers.back().first == names.size()) return std::nullopt;
  }
  return columns;
}

// HAProxy's two letters of how a session ended (configuration manual, 8.5), its status, and whether an
// inbound listener refused.
RequestEnd EndOf(int status, std::string_view cause, bool refused) {
  const char who = cause[0];
  const char when = cause[1];
  if (refused) return RequestEnd::kRefused;
  if (who == 'C' || who == 'c')  // the client left; after the headers a replica has worked for it
    return when == 'D' && status >= 100 ? RequestEnd::kAnswered : RequestEnd::kLeft;
  // Waited for too long or found the queue full; or a rule of ours that answered in a replica's place.
  if (status == 503 && (when == 'Q' || who == 'P' || who == 'L')) return RequestEnd::kRefused;
  if (who != '-' && who != 'L' && who != 'P') return RequestEnd::kBroken;
  if (status < 100) return RequestEnd::kBroken;
  return status >= 500 ? RequestEnd::kFailed : RequestEnd::kAnswered;
}

std::uint64_t Rise(std::uint64_t before, std::uint64_t now) { return now >= before ? now - before : now; }

double Scaled(std::uint32_t count, double weight) { return static_cast<double>(count) * weight; }

}  // namespace

Result<std::vector<BackendStats>> ParseStats(std::string_view text) {
  // An empty line ends the answer; HAProxy may have ended before.
  if (!text.ends_with("\n\n")) return BadInput("HAProxy's statistics are cut off");
  std::vector<BackendStats> backends;
  std::optional<Columns> columns;
  for (std::string_view line : Split(text, '\n')) {
    if (line.starts_with(kHeader)) columns = ColumnsOf(line.substr(2));
    if (line.empty() || line.starts_with('#')) continue;
    if (!columns) return BadInput("HAProxy's statistics have no header that is understood");
    const std::vector<std::string_view> fields = Split(line, ',');
    const auto is_there = [&](std::size_t column) { return column < fields.size(); };
    BackendStats backend{.name = std::string(fields[0])};
    bool whole = is_there(columns->kind);
    if (whole && fields[columns->kind] != "BACKEND") continue;
    for (const auto& [column, member] : columns->numbers) {
      whole = whole && is_there(column) &&
              (fields[column].empty() || ReadNumber(fields[column], backend.*member));
    }
    if (!whole) return BadInput(fmt::format("a row of HAProxy's statistics cannot be read: '{:.60}'", line));
    backends.push_back(std::move(backend));
  }
  if (!columns) return BadInput("HAProxy's statistics have no header that is understood");
  return backends;
}

std::string_view LogFormat() {
  return "  http-request set-var(txn.begin) date(0,us)\n"
         "  log-format \"%b %ST %[date(0,us),sub(txn.begin)] %ts %[var(txn.refused)]\"\n";
}

std::string LogSampling() {
  return fmt::format("  http-request set-log-level silent unless {{ rand(1000),mul(txn.rate) lt {} }}\n",
                     kLinesPerSecond * 1000);
}

std::optional<RequestLine> ParseRequestLine(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\0')) line.remove_suffix(1);
  const std::vector<std::string_view> words = Split(line, ' ');
  if (words.size() != 5 || words[3].size() != 2 || !IsSafeName(std::string(words[0]))) return std::nullopt;
  int status = 0;
  std::int64_t us = 0;
  if (!ReadNumber(words[1], status) || status < -1 || status > 999) return std::nullopt;
  if (!ReadNumber(words[2], us)) return std::nullopt;
  // The time of day may be set back meanwhile.
  const double seconds = static_cast<double>(std::max<std::int64_t>(us, 0)) / 1e6;
  return RequestLine{words[0], EndOf(status, words[3], words[4] == "1"), seconds};
}

std::uint32_t DoorTraffic::Lines::count() const {
  return std::accumulate(ends.begin(), ends.end(), std::uint32_t{0});
}

void DoorTraffic::Add(Time now, std::string_view line) {
  const std::optional<RequestLine> request = ParseRequestLine(line);
  if (!request) {
    ++lines_refused_;
    return;
  }
  // Of a request that reached no backend HAProxy writes the frontend's name.
  if (!request->backend.starts_with("b_") || !taken_) return;
  const std::string_view service = request->backend.substr(2);
  auto lines = lines_.find(service);
  if (lines == lines_.end()) {
    if (lines_.size() >= kBackendsMax) return;
    lines = lines_.emplace(std::string(service), Lines{}).first;
  }
  Lines& sum = lines->second;
  const double since = ToSeconds(now - *taken_);
  ++sum.ends[static_cast<std::size_t>(request->end)];
  sum.seconds += request->seconds;
  sum.squares += request->seconds * request->seconds;
  sum.inside += std::min(request->seconds, since);
  sum.older += request->seconds > since ? 1 : 0;
  if (request->end != RequestEnd::kAnswered && request->end != RequestEnd::kFailed) return;
  sum.answered_seconds += request->seconds;
  ++sum.latency[LatencyBucket(request->seconds)];
}

// Adds what one backend moved to the sums of its service.
void DoorTraffic::Tally(Moved& moved, Kind kind, const BackendStats& before, const BackendStats& now) {
  const std::uint64_t failed = Rise(before.connect_failures, now.connect_failures) +
                               Rise(before.response_failures, now.response_failures);
  switch (kind) {
    case Kind::kDoor:
      moved.arrived += Rise(before.arrived, now.arrived);
      moved.ended += Rise(before.ended, now.ended);
      moved.server_errors += Rise(before.server_errors, now.server_errors);
      moved.in_flight += now.in_flight;
      break;
    case Kind::kDoorTcp:
      moved.connections_in += Rise(before.arrived, now.arrived);
      moved.connections_failed += failed;
      moved.connections += now.in_flight;
      break;
    case Kind::kInbound:  // came through some door, which counts it
      break;
  }
  moved.queued += now.queued;
}

std::map<std::string, DoorTraffic::Moved> DoorTraffic::Differences(const std::vector<WorkerStats>& workers) {
  static const std::map<std::string, Kind, std::less<>> kKinds = {
      {"b", Kind::kDoor}, {"t", Kind::kDoorTcp}, {"in", Kind::kInbound}, {"int", Kind::kInbound}};
  std::map<std::string, Moved> services;
  std::map<pid_t, std::map<std::string, BackendStats>> seen;
  inbound_moved_ = false;
  for (const WorkerStats& worker : workers) {
    auto& former = before_[worker.pid];
    auto& present = seen[worker.pid];
    for (const BackendStats& now : worker.backends) {
      const std::size_t mark = now.name.find('_');
      if (mark == std::string::npos || present.size() >= kBackendsMax) continue;
      const auto kind = kKinds.find(std::string_view(now.name).substr(0, mark));
      if (kind == kKinds.end()) continue;
      BackendStats& before = former[now.name];
      Tally(services[now.name.substr(mark + 1)], kind->second, before, now);
      inbound_moved_ = inbound_moved_ || (kind->second == Kind::kInbound &&
                                          (now.arrived != before.arrived || now.in_flight + now.queued > 0));
      present.emplace(now.name, now);
    }
  }
  before_ = std::move(seen);
  return services;
}

ServiceLoad DoorTraffic::LoadOf(const std::string& service, const Moved& moved, const Lines& lines,
                                double elapsed_s) {
  const std::uint32_t timed = lines.count();
  const double ended = static_cast<double>(std::max<std::uint64_t>(moved.ended, timed));
  const double before = static_cast<double>(in_flight_before_[service]);
  const double now = static_cast<double>(moved.in_flight);
  const double weight = timed > 0 ? ended / timed : 0;
  // Who is in now came or was there before, so what a process that ended took with it is found again.
  const double arrived = std::max(static_cast<double>(moved.arrived), ended + now - before);

  DoorTotals& totals = totals_[service];
  std::array<double, kRequestEnds> ends{};
  for (std::size_t i = 0; i < ends.size(); ++i) ends[i] = Scaled(lines.ends[i], weight);
  if (timed == 0) {  // no line came through: the status is all that is known
    ends[static_cast<std::size_t>(RequestEnd::kFailed)] = static_cast<double>(moved.server_errors);
    ends[static_cast<std::size_t>(RequestEnd::kAnswered)] =
        ended - std::min(ended, static_cast<double>(moved.server_errors));
  }
  const auto end = [&](RequestEnd which) { return ends[static_cast<std::size_t>(which)]; };

  ServiceLoad load{.service = service};
  // Time spent inside, by those that ended, those that were there all the time, and those that came and are
  // still there: nobody knows when these came, but at a moment of no kind one finds requests of the mean age
  // E[t^2] / 2 E[t] (the renewal paradox).
  const double stayed = std::max(0.0, std::min(now, before - Scaled(lines.older, weight)));
  const double age_s = lines.seconds > 0 ? lines.squares / (2 * lines.seconds) : elapsed_s;
  const double inside =
      lines.inside * weight + stayed * elapsed_s + (now - stayed) * std::min(age_s, elapsed_s / 2);
  const double connections_before = static_cast<double>(connections_before_[service]);
  const double connections = static_cast<double>(moved.connections);
  load.in_flight = static_cast<float>(inside / elapsed_s + (connections_before + connections) / 2);
  load.queued = static_cast<float>(moved.queued);

  const double connections_in = static_cast<double>(moved.connections_in);
  const double connections_ended = std::max(0.0, connections_before + connections_in - connections);
  const double connections_failed =
      std::min(connections_ended, static_cast<double>(moved.connections_failed));
  const auto rate = [&](double count) { return static_cast<float>(count / elapsed_s); };
  load.arrivals_s = rate(arrived + connections_in);
  load.completions_s =
      rate(end(RequestEnd::kAnswered) + end(RequestEnd::kFailed) + connections_ended - connections_failed);
  load.refused_s = rate(end(RequestEnd::kRefused));
  load.errors_s = rate(end(RequestEnd::kFailed) + end(RequestEnd::kBroken) + connections_failed);
  for (std::size_t bucket = 0; bucket < lines.latency.size(); ++bucket) {
    if (lines.latency[bucket] == 0) continue;
    const double count = Scaled(lines.latency[bucket], weight);
    load.latency.emplace_back(static_cast<std::uint16_t>(bucket),
                              static_cast<std::uint32_t>(std::clamp(std::round(count), 1.0, 1e9)));
    totals.latency[bucket] += count;
  }
  totals.arrived += static_cast<std::uint64_t>(arrived + connections_in);
  totals.latency_seconds += lines.answered_seconds * weight;
  for (std::size_t i = 0; i < ends.size(); ++i) totals.ended[i] += ends[i];
  in_flight_before_[service] = moved.in_flight;
  connections_before_[service] = moved.connections;
  return load;
}

std::optional<std::vector<ServiceLoad>> DoorTraffic::Take(Time now, const std::vector<WorkerStats>& workers) {
  std::map<std::string, Moved> moved = Differences(workers);
  std::optional<std::vector<ServiceLoad>> loads;
  // Of a service that lost its last backend there are still lines, or a number that must fall to 0.
  for (const auto& [service, lines] : lines_) moved[service];
  std::erase_if(in_flight_before_, [&](const auto& entry) { return !moved.contains(entry.first); });
  std::erase_if(connections_before_, [&](const auto& entry) { return !moved.contains(entry.first); });
  std::erase_if(totals_, [&](const auto& entry) { return !moved.contains(entry.first); });
  if (taken_ && now > *taken_) {
    loads.emplace();
    for (const auto& [service, difference] : moved) {
      const auto lines = lines_.find(service);
      ServiceLoad load = LoadOf(service, difference, lines == lines_.end() ? Lines{} : lines->second,
                                ToSeconds(now - *taken_));
      if (load != ServiceLoad{.service = service}) loads->push_back(std::move(load));
    }
  } else {
    for (const auto& [service, difference] : moved) {
      in_flight_before_[service] = difference.in_flight;
      connections_before_[service] = difference.connections;
    }
  }
  lines_.clear();
  taken_ = now;
  return loads;
}

}  // namespace hs
