// Who gets how many replicas when there is not enough for all.
//
// Like bread in a siege: first everybody gets the ration that keeps him alive, the most needed first; then
// what each asks for, in the same order; equals share alike; and nobody ever gets more than his ticket
// allows, even when bread is left.
//
// Order: minimums by falling priority, then demands by falling priority. Among equals the one with the
// smallest part of its target comes next, one replica at a time, ties by name. Hard quotas are never
// exceeded, not even for a minimum. Replicas are put into boxes (the one with most left first), so room that
// is split over boxes counts as split.
//
// Invariants:
//  1. level <= max(min, min(demand, max)) and level <= max; every quota and every box holds.
//  2. Same input, same output; the order of services in the input does not matter.
//  3. A service below its target names what stopped it.
//  4. No service is below its minimum while one of lower priority with the same needs has more than its own
//     minimum.
// It does not say where replicas go (placement does), nor how many are wanted (Scaler does).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace hs {

enum class WorkClass : std::uint8_t { kServices = 0, kBatch = 1 };
inline constexpr std::size_t kWorkClasses = 2;

struct ShareRequest {
  std::string service;
  std::int64_t priority = 500;  // 0 to 1000, higher goes first
  std::int64_t min = 1;
  std::int64_t demand = 1;  // what the Scaler wants
  std::int64_t max = 1;     // hard
  WorkClass work_class = WorkClass::kServices;
  std::uint64_t cpu_millicores = 0;  // of one replica; 0: takes nothing that is counted
  std::uint64_t memory_bytes = 0;
};

// Hard limits on all of one class together; absent: none.
struct ClassQuota {
  std::optional<std::uint64_t> cpu_millicores;
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::uint64_t> replicas;
};
using ClassQuotas = std::array<ClassQuota, kWorkClasses>;  // by WorkClass

// One box: what it can give to replicas.
struct BoxRoom {
  std::uint64_t cpu_millicores = 0;
  std::uint64_t memory_bytes = 0;
};

struct ShareGrant {
  enum class Limit : std::uint8_t {
    kNone,      // has all it asked for
    kMax,       // the service's own maximum
    kCores,     // its class's quota of cores
    kMemory,    // its class's quota of memory
    kReplicas,  // its class's quota of replicas
    kBoxes,     // no box has room for one more
  };
  std::string service;
  std::int64_t level = 0;
  std::int64_t short_by = 0;  // below what was wanted (the larger of min and demand)
  Limit limit = Limit::kNone;
  std::string reason;  // for people, when short
};

// One grant per request, by name.
std::vector<ShareGrant> ShareOut(std::vector<ShareRequest> requests, const ClassQuotas& quotas,
                                 std::vector<BoxRoom> boxes);

// Refuses minimums that a quota cannot hold, with the arithmetic. For deploy, before anything is accepted.
Result<void> CheckMinimums(const std::vector<ShareRequest>& requests, const ClassQuotas& quotas);

}  // namespace hs
