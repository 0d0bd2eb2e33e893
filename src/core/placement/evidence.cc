#include "core/placement/evidence.h"

#include <algorithm>
#include <utility>

#include "core/placement/inventory.h"

namespace hs {

std::vector<EvidenceOutput> WorkEvidence::Step(Time now, const EvidenceInput& input) {
  std::vector<EvidenceOutput> outputs;
  if (const auto* watch = std::get_if<EvidenceWatch>(&input)) {
    Watch(now, *watch, outputs);
  } else {
    Outcome(std::get<ConnectOutcome>(input), outputs);
  }
  return outputs;
}

Time WorkEvidence::NextDeadline() const {
  Time next = kNever;
  for (const auto& [node, box] : boxes_) next = std::min(next, box.proven ? kNever : box.next_round);
  return next;
}

namespace {

bool Listens(const std::map<SpecHash, ServiceSpec>& specs, SpecHash hash) {
  const auto found = specs.find(hash);
  if (found == specs.end()) return true;
  const ServiceSpec& spec = found->second;
  return spec.http || !spec.ports.empty() || spec.health.kind == HealthKind::kHttp ||
         spec.health.kind == HealthKind::kTcp;
}

bool HasProcess(const ReplicaStatus& status) {
  return status.state != ReplicaState::kPreparing && status.state != ReplicaState::kBackoff;
}

}  // namespace

std::vector<WorkEvidence::Target> WorkEvidence::TargetsOf(const Member& member, const NodeReport* report,
                                                          const std::map<SpecHash, ServiceSpec>& specs) {
  std::vector<Target> targets;
  const MemberMeta& meta = *member.meta;
  if (meta.inbound_http != 0) targets.push_back({ReplicaId{}, {meta.address.ip, meta.inbound_http}});
  if (report == nullptr) return targets;
  for (const ReplicaStatus& status : report->replicas) {
    // One that was not running need not have had its port open yet: its silence says nothing.
    if (status.state != ReplicaState::kRunning || !status.address || status.address.ip != meta.address.ip)
      continue;
    if (!Listens(specs, status.spec)) continue;
    targets.push_back({status.id, status.address});
  }
  return targets;
}

bool WorkEvidence::Tells(const Box& box, IpAddress ip, const NodeReport* report,
                         const std::map<SpecHash, ServiceSpec>& specs) {
  // Where HAProxy was not there to begin with, the inbound port refuses all the time.
  if (report == nullptr || !report->door_error.empty()) return false;
  const bool replicas_asked =
      std::ranges::any_of(box.targets, [](const Target& t) { return bool(t.replica); });
  return std::ranges::all_of(report->replicas, [&](const ReplicaStatus& status) {
    if (!HasProcess(status)) return true;
    if (!Listens(specs, status.spec) || (status.address && status.address.ip != ip)) return false;
    // One that was just starting went the way of those that ran.
    return status.state == ReplicaState::kRunning || replicas_asked;
  });
}

void WorkEvidence::Watch(Time now, const EvidenceWatch& watch, std::vector<EvidenceOutput>& outputs) {
  const auto wanted = [&](NodeId node, Time since) {
    if (!watch.enabled) return false;
    const auto member = watch.members->find(node);
    return member != watch.members->end() && member->second.state == MemberState::kAgentDown &&
           member->second.state_since == since;
  };
  for (auto it = boxes_.begin(); it != boxes_.end();) {
    if (wanted(it->first, it->second.since)) {
      ++it;
      continue;
    }
    for (const Target& target : it->second.targets) verdicts_.erase(target.replica);
    it = boxes_.erase(it);
  }
  if (!watch.enabled) return;
  for (const auto& [node, member] : *watch.members) {
    if (member.state != MemberState::kAgentDown) continue;
    const auto [it, fresh] = boxes_.try_emplace(node);
    Box& box = it->second;
    if (fresh) {
      const auto seen = watch.reports->find(node);
      box.since = member.state_since;
      box.next_round = now;
      const NodeReport* report = seen == watch.reports->end() ? nullptr : seen->second.report;
      box.targets = TargetsOf(member, report, *watch.specs);
      box.tells = Tells(box, member.meta->address.ip, report, *watch.specs);
    }
    if (!box.proven && now >= box.next_round) Round(now, box, outputs);
  }
}

void WorkEvidence::Round(Time now, Box& box, std::vector<EvidenceOutput>& outputs) {
  box.next_round = now + std::clamp<Duration>((now - box.since) / 2, kFirstInterval, kInterval);
  for (Target& target : box.targets) {
    if (target.attempt != 0) continue;  // it has not ended yet
    target.attempt = kAttemptBit | ++attempts_;
    outputs.push_back(TryConnect{target.attempt, target.address, kPatience});
  }
}

void WorkEvidence::Outcome(const ConnectOutcome& outcome, std::vector<EvidenceOutput>& outputs) {
  for (auto& [node, box] : boxes_) {
    const auto target = std::find_if(box.targets.begin(), box.targets.end(),
                                     [&](const Target& t) { return t.attempt == outcome.attempt; });
    if (target == box.targets.end()) continue;
    target->attempt = 0;
    const WorkVerdict before = target->verdict;
    target->unanswered = outcome.result == ConnectResult::kTimeout ? target->unanswered + 1 : 0;
    target->verdict = outcome.result == ConnectResult::kRefused    ? WorkVerdict::kRefused
                      : outcome.result == ConnectResult::kAccepted ? WorkVerdict::kAnswering
                                                                   : WorkVerdict::kUnknown;
    const bool silent =
        std::ranges::all_of(box.targets, [](const Target& t) { return t.unanswered >= kSilentAfter; });
    if (std::exchange(box.silent, silent) != silent) {
      for (const Target& t : box.targets) {
        if (t.replica) verdicts_[t.replica] = silent ? WorkVerdict::kSilent : t.verdict;
      }
      outputs.push_back(VerdictChanged{});
      return;
    }
    if (target->replica && !silent) {
      verdicts_[target->replica] = target->verdict;
      if (before != target->verdict) outputs.push_back(VerdictChanged{});
    }
    const bool all_refused = std::all_of(box.targets.begin(), box.targets.end(),
                                         [](const Target& t) { return t.verdict == WorkVerdict::kRefused; });
    const bool inbound_asked = !box.targets.front().replica;
    if (all_refused && inbound_asked && box.tells && !box.proven) {
      box.proven = true;
      outputs.push_back(NodeProvenDead{node, "its agent is gone, its inbound port refused and all " +
                                                 std::to_string(box.targets.size() - 1) +
                                                 " replica ports asked refused"});
    }
    return;
  }
}

}  // namespace hs
