// What HAProxy tells of its traffic, as numbers: `show stat` and one line per request.
//
// Intuition: a turnstile and a stopwatch. The turnstile (`show stat`) counts everyone who went in and came
// out, but knows nothing of how long anyone took. The stopwatch (a line of the request log) knows one person
// exactly; of a crowd only some are timed. Counts come from the first, shares and times from the second.
//
// The log directives are rendered by config.cc: LogFormat() below is both what they ask for and what is read.
// Pure: no sockets, no clock. Text is input: what does not parse is refused or counted, nothing throws.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/door_totals.h"
#include "core/latency.h"
#include "core/load.h"

namespace hs {

// One backend of one HAProxy process. Counts are since that process began.
struct BackendStats {
  std::string name;
  std::uint64_t queued = 0;             // now
  std::uint64_t in_flight = 0;          // now, the queued ones included; of TCP: open connections
  std::uint64_t arrived = 0;            // given to the backend
  std::uint64_t ended = 0;              // HTTP only: with an answer of anyone, or given up by the client
  std::uint64_t server_errors = 0;      // of the ended: 5xx, HAProxy's own included
  std::uint64_t connect_failures = 0;   // requests and connections that reached no server
  std::uint64_t response_failures = 0;  // cut or not understood
  friend bool operator==(const BackendStats&, const BackendStats&) = default;
};

// Reads the answer to `show stat -1 2 -1`. Columns are found by their names; an empty one counts 0. A row
// that is cut off or holds a word where a number should be is an error: half an answer would look like less
// load.
Result<std::vector<BackendStats>> ParseStats(std::string_view text);

struct RequestLine {
  std::string_view backend;
  RequestEnd end = RequestEnd::kAnswered;
  double seconds = 0;  // from the whole request to the end of the answer
};

// HAProxy's log-format of a request line, and the rule before it that begins the time.
std::string_view LogFormat();
// A rule of a backend, behind the one that sets txn.rate to its requests in the last second. It lets about
// kLinesPerSecond of its lines through, all of them when there are fewer: a line costs HAProxy a tenth of a
// request, and a quantile of hundreds is good enough.
inline constexpr int kLinesPerSecond = 500;
std::string LogSampling();
std::optional<RequestLine> ParseRequestLine(std::string_view line);

// One HAProxy process, at one moment. After a reload the old one finishes its requests beside the new one.
struct WorkerStats {
  pid_t pid = 0;
  std::vector<BackendStats> backends;
};

// Turns counts and lines into the load of each service, once a second.
//
// Invariants:
//  1. A process seen for the first time counts from 0, since it began after the last Take; only those of the
//     very first Take are a base line. So neither a reload nor a restart of HAProxy or the agent invents
//     load.
//  2. What ended is what HAProxy counted or the lines that came, whichever is more: a process that ends
//     within the second takes its counts with it, but has sent its lines.
//  3. Memory is bounded by the number of services and kBackendsMax.
class DoorTraffic {
 public:
  static constexpr std::size_t kBackendsMax = 4096;

  // One line of the log, as it comes.
  void Add(Time now, std::string_view line);

  // The load since the last Take; of services with traffic only, sorted. Nothing the first time.
  std::optional<std::vector<ServiceLoad>> Take(Time now, const std::vector<WorkerStats>& workers);

  const DoorTotalsByService& totals() const { return totals_; }
  std::uint64_t lines_refused() const { return lines_refused_; }  // that were no request lines
  // Between the last two Takes some door's requests came to replicas of this box, or are with them.
  bool inbound_moved() const { return inbound_moved_; }

 private:
  // Of one service's lines since the last Take.
  struct Lines {
    std::array<std::uint32_t, kRequestEnds> ends{};
    std::array<std::uint32_t, kLatencyBucketMax + 1> latency{};
    double seconds = 0;  // of all
    double squares = 0;  // of their seconds
    double answered_seconds = 0;
    double inside = 0;        // as far as since the last Take
    std::uint32_t older = 0;  // begun before it
    std::uint32_t count() const;
  };
  // What moved in the counts of one service since the last Take.
  struct Moved {
    std::uint64_t arrived = 0, ended = 0, server_errors = 0;
    std::uint64_t connections_in = 0, connections_failed = 0;  // of TCP
    std::uint64_t in_flight = 0, connections = 0, queued = 0;  // now
  };
  enum class Kind : std::uint8_t { kDoor, kDoorTcp, kInbound };
  static void Tally(Moved& moved, Kind kind, const BackendStats& before, const BackendStats& now);
  std::map<std::string, Moved> Differences(const std::vector<WorkerStats>& workers);
  ServiceLoad LoadOf(const std::string& service, const Moved& moved, const Lines& lines, double elapsed_s);

  std::optional<Time> taken_;
  std::map<pid_t, std::map<std::string, BackendStats>> before_;
  std::map<std::string, std::uint64_t, std::less<>> in_flight_before_;
  std::map<std::string, std::uint64_t, std::less<>> connections_before_;
  std::map<std::string, Lines, std::less<>> lines_;
  DoorTotalsByService totals_;
  std::uint64_t lines_refused_ = 0;
  bool inbound_moved_ = false;
};

}  // namespace hs
