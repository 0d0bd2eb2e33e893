// What one door has carried of a service since its agent's start: counts that only grow, for metrics.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "core/latency.h"

namespace hs {

// How a request ended.
enum class RequestEnd : std::uint8_t {
  kAnswered,  // by a replica
  kFailed,    // by a replica, with 5xx
  kBroken,    // no replica was reached, or it cut the answer short
  kRefused,   // 503 because there was no room
  kLeft,      // the client went away before an answer
};
inline constexpr std::size_t kRequestEnds = 5;

struct DoorTotals {
  std::uint64_t arrived = 0;                            // requests, and connections of plain TCP
  std::array<double, kRequestEnds> ended{};             // by RequestEnd; scaled up where lines were sampled
  std::array<double, kLatencyBucketMax + 1> latency{};  // of answers by replicas, by bucket of core/latency.h
  double latency_seconds = 0;                           // their sum
};

using DoorTotalsByService = std::map<std::string, DoorTotals, std::less<>>;

}  // namespace hs
