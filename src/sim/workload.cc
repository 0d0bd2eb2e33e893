// People at work on the simulated cluster.
#include "core/intent/desired.h"
#include "sim/faults.h"

namespace hs::sim {
namespace {

constexpr const char* kStacks[] = {"shop", "blog"};

ServiceSpec MakeService(const std::string& name, std::uint32_t replicas, std::uint64_t version, bool broken) {
  ServiceSpec service;
  service.name = name;
  service.command = {"serve"};
  service.environment = {{"VERSION", std::to_string(version)}};
  if (broken) service.environment.emplace_back("SIM_BROKEN", "1");
  service.replicas = replicas;
  return service;
}

// What a service is like follows from its name, so that a checker knows its maximum: the second of each stack
// scales, the third is a singleton.
void GiveNature(ServiceSpec& service, Prng& prng) {
  const bool shop = service.name.starts_with("shop");
  if (service.name.ends_with('1')) {
    const auto min = static_cast<std::uint32_t>(1 + prng.Below(2));
    service.scale = ScaleSpec{.min = min, .max = shop ? 6u : 9u, .strict = !shop};
    service.replicas = min;
  } else if (service.name.ends_with('2')) {
    service.singleton = shop ? Singleton::kPause : Singleton::kRunBoth;
    service.replicas = 1;
  }
  if (prng.Chance(0.3)) service.priority = static_cast<std::uint32_t>(prng.Below(kPriorityMax + 1));
  if (prng.Chance(0.2)) service.reserve.cpu_millicores = 1500;
  service.movable = prng.Chance(0.9);
}

Documents AsMap(const NodeView& view) {
  Documents documents;
  for (const Document& document : view.documents) documents[document.key] = document;
  return documents;
}

}  // namespace

Workload::Workload(World& world, Ledger& ledger, Prng prng) : world_(world), ledger_(ledger), prng_(prng) {}

void Workload::Schedule(Time end, Duration mean_gap) {
  const Time next = world_.now() + prng_.Between(mean_gap / 10, mean_gap * 2);
  if (next >= end) return;
  world_.At(next, [this, end, mean_gap] {
    Act();
    Schedule(end, mean_gap);
  });
}

void Workload::Send(HostIndex host, std::vector<std::pair<std::string, DocumentBody>> documents) {
  if (!documents.empty()) ledger_.Write(host, std::move(documents));
}

void Workload::Deploy(HostIndex host, bool broken) {
  const std::string stack = kStacks[prng_.Below(2)];
  ++version_;
  StackSpec spec{stack, {}};
  const std::size_t services = 1 + prng_.Below(3);
  for (std::size_t i = 0; i < services; ++i) {
    spec.services.push_back(MakeService(stack + std::to_string(i), static_cast<std::uint32_t>(prng_.Below(7)),
                                        prng_.Chance(0.5) ? version_ : 1, broken && i == 0));
    GiveNature(spec.services.back(), prng_);
  }
  const NodeView view = world_.host(host).node->View({world_.now(), 0});
  Send(host, DeployWrites(AsMap(view), spec, world_.tunables().revisions_kept));
}

void Workload::Act() {
  const HostIndex host = prng_.Below(world_.size());
  if (!world_.host(host).Thinking()) return;
  const NodeView view = world_.host(host).node->View({world_.now(), 0});
  switch (prng_.Below(7)) {
    case 0:
    case 1:
    case 2:
      return Deploy(host, prng_.Chance(0.2));
    case 3:
      if (view.services.empty()) return;
      {
        const std::string& name = view.services[prng_.Below(view.services.size())].spec.name;
        return Send(host,
                    {{ScaleKey(name), ScaleOverride{name, static_cast<std::uint32_t>(prng_.Below(9))}}});
      }
    case 4: {
      const NodeId node = view.members[prng_.Below(view.members.size())].id;
      DocumentBody body = DrainOrder{node};
      if (prng_.Chance(0.5)) body = std::monostate{};
      return Send(host, {{DrainKey(node), std::move(body)}});
    }
    case 5: {
      QuotaDoc quota{.subject = prng_.Chance(0.5) ? "services" : "service.shop1"};
      quota.replicas_max = static_cast<std::uint32_t>(3 + prng_.Below(12));
      DocumentBody body = quota;
      if (prng_.Chance(0.5)) body = std::monostate{};
      return Send(host, {{QuotaKey(quota.subject), std::move(body)}});
    }
    default:
      return Send(host, RemoveStackWrites(AsMap(view), kStacks[prng_.Below(2)]));
  }
}

void Workload::Settle(HostIndex host) {
  const NodeView view = world_.host(host).node->View({world_.now(), 0});
  std::vector<std::pair<std::string, DocumentBody>> writes;
  for (const Document& document : view.documents) {
    const bool limits = std::holds_alternative<DrainOrder>(document.body) ||
                        std::holds_alternative<QuotaDoc>(document.body) ||
                        std::holds_alternative<ScaleOverride>(document.body);
    if (limits) writes.emplace_back(document.key, std::monostate{});
  }
  Send(host, std::move(writes));
  ++version_;
  for (const char* stack : kStacks) {
    const bool shop = std::string_view(stack) == "shop";
    StackSpec spec{stack, {MakeService(std::string(stack) + "0", 4, version_, false)}};
    // One that scales and one that pauses in the end as well.
    spec.services.push_back(MakeService(std::string(stack) + (shop ? "1" : "2"), 1, version_, false));
    if (shop) spec.services.back().scale = ScaleSpec{.min = 1, .max = 6};
    if (!shop) spec.services.back().singleton = Singleton::kRunBoth;
    Send(host, DeployWrites(AsMap(view), spec, world_.tunables().revisions_kept));
  }
}

}  // namespace hs::sim
