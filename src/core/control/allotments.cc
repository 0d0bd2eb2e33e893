#include "core/control/allotments.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/hash.h"

namespace hs {
namespace {

constexpr std::array<const char*, kWorkClasses> kClassNames{"services", "batch"};

std::string ServiceSubject(const std::string& service) { return "service." + service; }
std::string QuotaSubject(std::size_t work_class, const char* resource) {
  return std::string("quota.") + kClassNames[work_class] + "." + resource;
}

std::uint64_t AmountOf(const std::vector<Allotment>& allotments, const std::string& subject) {
  const auto found = std::ranges::lower_bound(allotments, subject, {}, &Allotment::subject);
  return found == allotments.end() || found->subject != subject ? 0 : found->amount;
}

// One subject's even deal: everybody the same whole number for each box it stands for, the rest one each to
// those that hold most, then by draw.
std::vector<std::uint64_t> EvenDeal(const std::string& subject, std::uint64_t total,
                                    const std::vector<Allotments::Carrier>& carriers) {
  const std::size_t count = carriers.size();
  std::uint64_t weights = 0;
  for (const Allotments::Carrier& carrier : carriers) weights += carrier.weight;
  std::vector<std::uint64_t> deal;
  std::uint64_t rest = total;
  for (const Allotments::Carrier& carrier : carriers) {
    deal.push_back(total / weights * carrier.weight + total % weights * carrier.weight / weights);
    rest -= deal.back();
  }
  std::vector<std::size_t> order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = i;
  const std::uint64_t key = Hash64(subject);
  std::ranges::sort(order, {}, [&](std::size_t i) {
    return std::pair(~AmountOf(carriers[i].held, subject), CombineHash(key, carriers[i].node.Prefix64()));
  });
  for (std::size_t i = 0; i < rest; ++i) ++deal[order[i]];
  return deal;
}

void Add(std::vector<Allotment>& allotments, const std::string& subject, std::uint64_t amount) {
  if (amount > 0) allotments.push_back({subject, amount});
}

}  // namespace

AllotmentTotals TotalsOf(const std::vector<ShareRequest>& requests, const std::set<std::string>& strict,
                         const ClassQuotas& quotas) {
  AllotmentTotals totals;
  for (const ShareRequest& request : requests) {
    if (request.max > request.min || strict.contains(request.service))
      totals[ServiceSubject(request.service)] = static_cast<std::uint64_t>(request.max);
  }
  for (std::size_t i = 0; i < kWorkClasses; ++i) {
    const auto add = [&](const char* resource, const std::optional<std::uint64_t>& limit, int shift) {
      if (limit) totals[QuotaSubject(i, resource)] = *limit >> shift;
    };
    add("replicas", quotas[i].replicas, 0);
    add("millicores", quotas[i].cpu_millicores, 0);
    add("mib", quotas[i].memory_bytes, 20);
  }
  return totals;
}

Allotments::Deal Allotments::Step(const Input& input) {
  Deal deal;
  bool all_acked = true;
  bool as_told = true;
  for (const Carrier& carrier : input.carriers) {
    const auto told = told_.find(carrier.node);
    all_acked = all_acked && carrier.acked && told != told_.end();
    as_told = as_told && told != told_.end() && told->second == carrier.held;
  }
  std::map<NodeId, std::vector<Allotment>> next;
  if (input.complete && all_acked && as_told && !input.carriers.empty()) {
    bool lowers = false;
    // Twice over the same numbers: whether somebody has to give up something, then what each is told.
    std::map<std::string, std::vector<std::uint64_t>> targets;
    for (const auto& [subject, total] : input.totals) {
      const auto& target = targets[subject] = EvenDeal(subject, total, input.carriers);
      for (std::size_t i = 0; i < target.size(); ++i)
        lowers = lowers || AmountOf(input.carriers[i].held, subject) > target[i];
    }
    for (std::size_t i = 0; i < input.carriers.size(); ++i) {
      const Carrier& carrier = input.carriers[i];
      std::vector<Allotment>& parts = next[carrier.node];
      for (const auto& [subject, target] : targets)
        Add(parts, subject, lowers ? std::min(target[i], AmountOf(carrier.held, subject)) : target[i]);
    }
  } else {
    // Nothing moves. Who came without what was told (it restarted) is told what it has; who has not said yet
    // that it follows keeps what it was told.
    for (const Carrier& carrier : input.carriers) {
      const auto told = told_.find(carrier.node);
      next[carrier.node] = told == told_.end() || carrier.acked ? carrier.held : told->second;
    }
  }
  deal.settled = !input.complete || (all_acked && as_told && next == told_);
  told_ = next;
  deal.told = std::move(next);
  return deal;
}

std::vector<Allotment> TakeAllotments(const std::vector<Allotment>& held, const std::vector<Allotment>& told,
                                      bool same_reign) {
  if (same_reign) return told;
  std::vector<Allotment> taken;
  for (const Allotment& part : told)
    Add(taken, part.subject, std::min(part.amount, AmountOf(held, part.subject)));
  return taken;
}

std::uint64_t LimitOf(const std::string& subject, std::uint64_t total, bool complete,
                      const std::vector<std::vector<Allotment>>& held) {
  if (complete) return total;
  std::uint64_t sum = 0;
  for (const std::vector<Allotment>& parts : held) sum += AmountOf(parts, subject);
  return std::min(total, sum);
}

void ApplyAllotments(bool complete, const std::vector<std::vector<Allotment>>& held,
                     const std::set<std::string>& strict, std::vector<ShareRequest>& requests,
                     ClassQuotas& quotas) {
  if (complete) return;
  // What the minimums of a class need stays, whatever its quota's parts here add up to.
  std::array<std::array<std::uint64_t, 3>, kWorkClasses> least{};
  for (ShareRequest& request : requests) {
    const bool is_strict = strict.contains(request.service);
    if (request.max > request.min || is_strict) {
      const auto limit = static_cast<std::int64_t>(
          LimitOf(ServiceSubject(request.service), static_cast<std::uint64_t>(request.max), complete, held));
      request.max = is_strict ? limit : std::max(std::min(request.min, request.max), limit);
    }
    const auto count =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::min(request.min, request.max)));
    auto& needs = least[static_cast<std::size_t>(request.work_class)];
    needs[0] += count;
    needs[1] += count * request.cpu_millicores;
    needs[2] += count * request.memory_bytes;
  }
  for (std::size_t i = 0; i < kWorkClasses; ++i) {
    const auto lower = [&](const char* resource, std::optional<std::uint64_t>& limit, std::uint64_t need,
                           int shift) {
      if (!limit) return;
      const std::uint64_t part = LimitOf(QuotaSubject(i, resource), *limit >> shift, complete, held) << shift;
      limit = std::min(*limit, std::max(part, need));
    };
    lower("replicas", quotas[i].replicas, least[i][0], 0);
    lower("millicores", quotas[i].cpu_millicores, least[i][1], 0);
    lower("mib", quotas[i].memory_bytes, least[i][2], 20);
  }
}

}  // namespace hs
