// Asks HAProxy what it counted and listens to its request log, so that a second of traffic becomes numbers.
//
// Intuition: the meter reader. Comes by once a second, reads every turnstile, and keeps a letter box in
// between (a Unix datagram socket in the door's folder) into which HAProxy drops one line per request.
//
// The letter box is a path, not a connection: an agent that starts again opens a new one there, and HAProxy,
// old workers included, goes on writing without a word. While nobody reads, lines are lost; counts are not.
//
// Single-threaded, on the io_context. What the numbers mean is in stats.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/load.h"
#include "runtime/haproxy/config.h"
#include "runtime/haproxy/stats.h"

namespace boost::asio {
class io_context;
}

namespace hs {

class DoorTelemetry {
 public:
  using Clock = std::function<Time()>;
  // What the door carried since the last time; none the first time, and when HAProxy runs but does not tell:
  // that is silence, not idleness.
  using Done = std::function<void(const std::optional<std::vector<ServiceLoad>>&)>;

  DoorTelemetry(boost::asio::io_context& io, DoorConfig config, Clock clock);
  ~DoorTelemetry();
  DoorTelemetry(const DoorTelemetry&) = delete;
  DoorTelemetry& operator=(const DoorTelemetry&) = delete;

  // Opens the letter box. The door's folder is there.
  Result<void> Open();

  // Calls `done` once, within 800 ms; at once with nothing while an earlier call is not done.
  void Measure(Done done);

  const DoorTraffic& traffic() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
