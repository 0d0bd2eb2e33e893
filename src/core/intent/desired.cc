#include "core/intent/desired.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace hs {
namespace {

struct Revision {
  std::uint64_t number = 0;
  const Document* document = nullptr;
  const StackSpec& spec() const { return std::get<StackSpec>(document->body); }
};

struct Stack {
  std::string name;
  Stamp first;                      // smallest known, tombstones included
  std::uint64_t number_max = 0;     // tombstones included
  std::vector<Revision> revisions;  // live, newest first
};

// Sorted by name; a stack of tombstones only has no revisions.
std::vector<Stack> StacksOf(const Documents& documents) {
  std::map<std::string, Stack> stacks;
  for (const auto& [written, document] : DocumentsUnder(documents, "stack/")) {
    const auto key = ParseKey(written);
    if (!key) continue;
    const auto [entry, fresh] = stacks.try_emplace(key->name);
    Stack& stack = entry->second;
    if (fresh) stack.name = key->name;
    // A tombstone still tells when what it deleted was written.
    const Stamp first = document.seen == Stamp{} ? document.stamp : std::min(document.stamp, document.seen);
    if (fresh || first < stack.first) stack.first = first;
    stack.number_max = std::max(stack.number_max, key->revision);
    if (std::holds_alternative<StackSpec>(document.body))
      stack.revisions.push_back({key->revision, &document});
  }
  std::vector<Stack> sorted;
  for (auto& [name, stack] : stacks) {
    std::ranges::sort(stack.revisions, [](const Revision& a, const Revision& b) {
      return a.document->stamp > b.document->stamp;
    });
    sorted.push_back(std::move(stack));
  }
  return sorted;
}

const ScaleOverride* OverrideOf(const Documents& documents, const ServiceSpec& spec) {
  const auto it = documents.find(ScaleKey(spec.name));
  return it == documents.end() ? nullptr : std::get_if<ScaleOverride>(&it->second.body);
}

std::string RouteName(const HttpRoute& route) { return (route.host.empty() ? "*" : route.host) + route.path; }

// What may be claimed once in the cluster, with who claims it.
class Claims {
 public:
  // The complaint, or empty.
  std::string Add(const std::string& stack, const ServiceSpec& service) {
    const std::string who = "service '" + service.name + "' of stack '" + stack + "'";
    std::string complaints = Take("service/" + service.name, "the name is taken by", who);
    for (const auto& port : service.ports) {
      const std::string number = std::to_string(port.port);
      complaints += Take("port/" + number, "port " + number + " is published by", who);
    }
    if (service.http) {
      complaints +=
          Take("route/" + RouteName(*service.http), "route " + RouteName(*service.http) + " belongs to", who);
    }
    return complaints;
  }

 private:
  std::string Take(const std::string& what, const std::string& words, const std::string& who) {
    const auto [it, fresh] = taken_.try_emplace(what, who);
    return fresh ? "" : "\n" + who + ": " + words + " " + it->second;
  }
  std::map<std::string, std::string> taken_;
};

std::vector<DesiredService> ServicesOf(std::vector<Stack> stacks, const Documents& documents) {
  std::ranges::sort(stacks, [](const Stack& a, const Stack& b) {
    return std::tie(a.first, a.name) < std::tie(b.first, b.name);
  });
  std::map<std::string, DesiredService> by_name;
  for (const Stack& stack : stacks) {
    if (stack.revisions.empty()) continue;
    const Revision& newest = stack.revisions.front();
    for (const ServiceSpec& spec : newest.spec().services) {
      const auto [entry, fresh] = by_name.try_emplace(spec.name);
      if (!fresh) continue;
      const ScaleOverride* scale = OverrideOf(documents, spec);
      entry->second = {spec,
                       HashOf(spec),
                       stack.name,
                       newest.document->stamp,
                       scale == nullptr ? spec.replicas : scale->replicas,
                       scale != nullptr || !spec.scale};
    }
  }
  std::vector<DesiredService> services;
  for (auto& [name, service] : by_name) services.push_back(std::move(service));
  return services;
}

}  // namespace

std::ranges::subrange<Documents::const_iterator> DocumentsUnder(const Documents& documents,
                                                                std::string_view prefix) {
  const auto begin = documents.lower_bound(std::string(prefix));
  auto end = begin;
  while (end != documents.end() && end->first.starts_with(prefix)) ++end;
  return {begin, end};
}

Asked WhatIsAsked(const Documents& documents) {
  Asked asked;
  std::vector<Stack> stacks = StacksOf(documents);
  for (const Stack& stack : stacks) {
    for (const Revision& revision : stack.revisions) {
      for (const ServiceSpec& spec : revision.spec().services) asked.specs.try_emplace(HashOf(spec), spec);
    }
  }
  asked.services = ServicesOf(std::move(stacks), documents);
  return asked;
}

std::vector<DesiredService> DesiredServices(const Documents& documents) {
  return ServicesOf(StacksOf(documents), documents);
}

Writes DeployWrites(const Documents& documents, const StackSpec& stack, std::int64_t revisions_kept,
                    const std::set<SpecHash>& running) {
  Writes writes;
  std::set<SpecHash> described;
  const auto describes_more = [&](const StackSpec& revision) {
    bool more = false;
    for (const ServiceSpec& spec : revision.services) {
      const SpecHash hash = HashOf(spec);
      more = (described.insert(hash).second && running.contains(hash)) || more;
    }
    return more;
  };
  describes_more(stack);
  std::uint64_t number = 1;
  for (const Stack& known : StacksOf(documents)) {
    if (known.name != stack.name) continue;
    number = known.number_max + 1;
    std::int64_t kept = 1;  // the new one
    for (const Revision& revision : known.revisions) {
      const bool needed = describes_more(revision.spec());
      if (++kept > revisions_kept && !needed) writes.emplace_back(revision.document->key, std::monostate{});
    }
  }
  // Last: a write is answered with its greatest stamp, which is then that of the revision.
  writes.emplace_back(StackKey(stack.name, number), stack);
  return writes;
}

Writes RemoveStackWrites(const Documents& documents, std::string_view stack) {
  Writes writes;
  std::set<std::string> mine;
  std::set<std::string> others;
  for (const Stack& known : StacksOf(documents)) {
    const bool target = known.name == stack;
    for (const Revision& revision : known.revisions) {
      if (target) writes.emplace_back(revision.document->key, std::monostate{});
      for (const ServiceSpec& spec : revision.spec().services) (target ? mine : others).insert(spec.name);
    }
  }
  for (const std::string& service : mine) {
    const auto scale = documents.find(ScaleKey(service));
    if (others.contains(service) || scale == documents.end() || scale->second.IsTombstone()) continue;
    writes.emplace_back(scale->first, std::monostate{});
  }
  return writes;
}

Result<void> CheckDeploy(const Documents& documents, const StackSpec& stack) {
  std::string complaints;
  if (!IsValidName(stack.name)) complaints += "\nstack name '" + stack.name + "' is not valid";
  if (stack.services.empty()) complaints += "\nstack '" + stack.name + "' has no services";
  Claims claims;
  for (const Stack& known : StacksOf(documents)) {
    if (known.name == stack.name || known.revisions.empty()) continue;
    // What is deployed is not on trial: its complaints about itself are dropped.
    for (const ServiceSpec& spec : known.revisions.front().spec().services)
      (void)claims.Add(known.name, spec);
  }
  for (const ServiceSpec& spec : stack.services) {
    if (!IsValidName(spec.name)) complaints += "\nservice name '" + spec.name + "' is not valid";
    if (spec.command.empty()) complaints += "\nservice '" + spec.name + "' has no command";
    complaints += claims.Add(stack.name, spec);
  }
  if (complaints.empty()) return {};
  return BadInput(complaints.substr(1));
}

}  // namespace hs
