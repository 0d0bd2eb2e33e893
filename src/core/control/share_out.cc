#include "core/control/share_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

namespace hs {
namespace {

using Limit = ShareGrant::Limit;

std::string_view NameOf(WorkClass work_class) {
  return work_class == WorkClass::kServices ? "services" : "batch";
}

struct Used {
  std::uint64_t cpu_millicores = 0, memory_bytes = 0, replicas = 0;
};

// Boxes by what they have left, most first, ties by index.
class Boxes {
 public:
  explicit Boxes(std::vector<BoxRoom> rooms) : rooms_(std::move(rooms)) {
    for (std::size_t i = 0; i < rooms_.size(); ++i) order_.insert(Key(i));
  }
  bool Place(const ShareRequest& request) {
    for (const auto& key : order_) {
      const std::size_t i = key.index;
      if (rooms_[i].cpu_millicores < request.cpu_millicores ||
          rooms_[i].memory_bytes < request.memory_bytes) {
        continue;
      }
      order_.erase(Key(i));
      rooms_[i].cpu_millicores -= request.cpu_millicores;
      rooms_[i].memory_bytes -= request.memory_bytes;
      order_.insert(Key(i));
      return true;
    }
    return false;
  }

 private:
  struct Left {
    std::uint64_t cpu, memory;
    std::size_t index;
    bool operator<(const Left& other) const {
      if (cpu != other.cpu) return cpu > other.cpu;
      if (memory != other.memory) return memory > other.memory;
      return index < other.index;
    }
  };
  Left Key(std::size_t i) const { return {rooms_[i].cpu_millicores, rooms_[i].memory_bytes, i}; }
  std::vector<BoxRoom> rooms_;
  std::set<Left> order_;
};

struct Row {
  ShareRequest request;
  std::int64_t level = 0;
  Limit limit = Limit::kNone;
};

class Round {
 public:
  Round(const ClassQuotas& quotas, std::vector<BoxRoom> boxes) : quotas_(quotas), boxes_(std::move(boxes)) {}

  // Brings rows of one priority up to their targets as far as it goes, evenly.
  void Fill(const std::vector<Row*>& equals, std::int64_t (*target)(const ShareRequest&)) {
    // The smallest part of its target first; the index is by name.
    const auto behind = [](const Next& a, const Next& b) {
      const auto left = static_cast<__int128>(a.level) * b.target;
      const auto right = static_cast<__int128>(b.level) * a.target;
      return left != right ? left < right : a.index < b.index;
    };
    std::set<Next, decltype(behind)> waiting(behind);
    for (std::size_t i = 0; i < equals.size(); ++i) {
      const std::int64_t aim = target(equals[i]->request);
      if (equals[i]->limit == Limit::kNone && equals[i]->level < aim)
        waiting.insert({equals[i]->level, aim, i});
    }
    while (!waiting.empty()) {
      Next next = *waiting.begin();
      waiting.erase(waiting.begin());
      Row& row = *equals[next.index];
      row.limit = Grant(row.request);
      if (row.limit != Limit::kNone) continue;
      next.level = ++row.level;
      if (next.level < next.target) waiting.insert(next);
    }
  }

 private:
  struct Next {
    std::int64_t level, target;
    std::size_t index;
  };

  Limit Grant(const ShareRequest& request) {
    const auto index = static_cast<std::size_t>(request.work_class);
    const ClassQuota& quota = quotas_[index];
    Used& used = used_[index];
    const auto past = [](std::uint64_t sum, const std::optional<std::uint64_t>& limit) {
      return limit && sum > *limit;
    };
    if (past(used.replicas + 1, quota.replicas)) return Limit::kReplicas;
    if (past(used.cpu_millicores + request.cpu_millicores, quota.cpu_millicores)) return Limit::kCores;
    if (past(used.memory_bytes + request.memory_bytes, quota.memory_bytes)) return Limit::kMemory;
    if (!boxes_.Place(request)) return Limit::kBoxes;
    used.replicas += 1;
    used.cpu_millicores += request.cpu_millicores;
    used.memory_bytes += request.memory_bytes;
    return Limit::kNone;
  }

  const ClassQuotas& quotas_;
  Boxes boxes_;
  std::array<Used, kWorkClasses> used_{};
};

std::int64_t MinimumOf(const ShareRequest& request) { return std::min(request.min, request.max); }
std::int64_t TargetOf(const ShareRequest& request) {
  return std::min(std::max(request.min, request.demand), request.max);
}

// 0.50 cores and 512 MiB of memory: what it reserves and nothing else.
std::string Needs(const ShareRequest& request) {
  const std::string cores = fmt::format("{:.2f} cores", static_cast<double>(request.cpu_millicores) / 1000);
  const std::string memory = fmt::format("{} MiB of memory", request.memory_bytes >> 20);
  if (request.memory_bytes == 0) return cores;
  return request.cpu_millicores == 0 ? memory : cores + " and " + memory;
}

std::string Reason(const Row& row, const ClassQuotas& quotas) {
  const ShareRequest& request = row.request;
  const ClassQuota& quota = quotas[static_cast<std::size_t>(request.work_class)];
  const std::string head = fmt::format("{} of {} wanted: ", row.level, std::max(request.min, request.demand));
  switch (row.limit) {
    case Limit::kNone:
      return "";
    case Limit::kMax:
      return head + fmt::format("its maximum is {}", request.max);
    case Limit::kCores:
      return head + fmt::format("the quota of {} cores for {} has no room for one more at priority {}",
                                static_cast<double>(*quota.cpu_millicores) / 1000, NameOf(request.work_class),
                                request.priority);
    case Limit::kMemory:
      return head + fmt::format("the quota of {} MiB for {} has no room for one more at priority {}",
                                *quota.memory_bytes >> 20, NameOf(request.work_class), request.priority);
    case Limit::kReplicas:
      return head + fmt::format("the quota of {} replicas for {} has no room for one more at priority {}",
                                *quota.replicas, NameOf(request.work_class), request.priority);
    case Limit::kBoxes:
      return head + fmt::format("no box has room for one more, which needs {}, at priority {}",
                                Needs(request), request.priority);
  }
  return head;
}

}  // namespace

std::vector<ShareGrant> ShareOut(std::vector<ShareRequest> requests, const ClassQuotas& quotas,
                                 std::vector<BoxRoom> boxes) {
  std::sort(requests.begin(), requests.end(),
            [](const ShareRequest& a, const ShareRequest& b) { return a.service < b.service; });
  std::vector<Row> rows;
  rows.reserve(requests.size());
  for (ShareRequest& request : requests) rows.push_back({std::move(request)});
  std::map<std::int64_t, std::vector<Row*>, std::greater<>> by_priority;
  for (Row& row : rows) by_priority[row.request.priority].push_back(&row);

  Round round(quotas, std::move(boxes));
  for (const auto& [priority, equals] : by_priority) round.Fill(equals, MinimumOf);
  for (const auto& [priority, equals] : by_priority) round.Fill(equals, TargetOf);

  std::vector<ShareGrant> grants;
  for (Row& row : rows) {
    const std::int64_t wanted = std::max(row.request.min, row.request.demand);
    if (row.limit == Limit::kNone && row.level < wanted) row.limit = Limit::kMax;
    grants.push_back({row.request.service, row.level, std::max<std::int64_t>(0, wanted - row.level),
                      row.limit, row.level < wanted ? Reason(row, quotas) : ""});
  }
  return grants;
}

Result<void> CheckMinimums(const std::vector<ShareRequest>& requests, const ClassQuotas& quotas) {
  for (std::size_t index = 0; index < kWorkClasses; ++index) {
    Used used;
    std::string replicas, cores, memory;  // the sums as people would write them
    for (const ShareRequest& request : requests) {
      if (static_cast<std::size_t>(request.work_class) != index || request.min <= 0) continue;
      const auto count = static_cast<std::uint64_t>(request.min);
      used.replicas += count;
      used.cpu_millicores += count * request.cpu_millicores;
      used.memory_bytes += count * request.memory_bytes;
      const std::string_view plus = replicas.empty() ? "" : " + ";
      replicas += fmt::format("{}{} {}", plus, request.service, count);
      cores += fmt::format("{}{} {} x {}", plus, request.service, count,
                           static_cast<double>(request.cpu_millicores) / 1000);
      memory += fmt::format("{}{} {} x {} MiB", plus, request.service, count, request.memory_bytes >> 20);
    }
    const ClassQuota& quota = quotas[index];
    const std::string_view name = NameOf(static_cast<WorkClass>(index));
    if (quota.replicas && used.replicas > *quota.replicas) {
      return BadInput(fmt::format("the minimums of {} need {} replicas ({}), the quota is {}", name,
                                  used.replicas, replicas, *quota.replicas));
    }
    if (quota.cpu_millicores && used.cpu_millicores > *quota.cpu_millicores) {
      return BadInput(fmt::format("the minimums of {} need {} cores ({}), the quota is {}", name,
                                  static_cast<double>(used.cpu_millicores) / 1000, cores,
                                  static_cast<double>(*quota.cpu_millicores) / 1000));
    }
    if (quota.memory_bytes && used.memory_bytes > *quota.memory_bytes) {
      return BadInput(fmt::format("the minimums of {} need {} MiB ({}), the quota is {} MiB", name,
                                  used.memory_bytes >> 20, memory, *quota.memory_bytes >> 20));
    }
  }
  return {};
}

}  // namespace hs
