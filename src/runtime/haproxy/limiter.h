// Reads what HAProxy counts of this node's own replicas and answers with new limits and queue rooms.
//
// Intuition: the same thermostat as commands.h, for numbers that move ten times a second. What HAProxy has
// now is in what it tells (`slim`), so a worker fresh from a reload, a new agent or a lost command need no
// case of their own.
//
// One ConcurrencyLimit per replica and one QueueRoom per service, for HTTP. Forgets a replica that is no
// longer told. Pure: no sockets.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/control/limit.h"
#include "core/control/queue_room.h"
#include "runtime/haproxy/config.h"

namespace hs {

// One line of `show stat`, as far as it matters here.
struct ServerCount {
  std::string backend;
  std::string server;  // BACKEND for the sum of a backend
  std::uint32_t queued = 0;
  std::uint32_t inside = 0;
  std::uint32_t limit = 0;  // of a server; 0: none
  std::uint64_t answered = 0;
};

// Reads answers to `show stat`, one after the other. Columns are found by name. A line that cannot be read is
// an error.
Result<std::vector<ServerCount>> ParseCounts(const std::string& text);

class Limiter {
 public:
  explicit Limiter(const DoorConfig& config) : config_(config) {}

  // The question whose answer Step takes: what of `services` (names) is there.
  static std::string Question(const std::vector<std::string>& services);

  // Commands that bring HAProxy to the new limits; none when nothing changed.
  Result<std::vector<std::string>> Step(Time now, const std::string& answer);

  // Some service had requests at the last look.
  bool busy() const { return busy_; }

 private:
  struct Replica {
    ConcurrencyLimit limit;
    std::uint64_t answered = 0;
    Time seen{};
  };
  struct Service {
    QueueRoom room;
    std::uint32_t told = 0;  // what HAProxy was told last; 0: unknown
    std::map<std::string, Replica> replicas;
  };
  DoorConfig config_;
  std::map<std::string, Service> services_;  // by backend
  bool busy_ = false;
};

}  // namespace hs
