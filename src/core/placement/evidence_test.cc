#include "core/placement/evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace hs {
namespace {

using ::testing::ElementsAre;

struct Scene {
  NodeId node;
  MemberTable members;
  NodeReport report;
  NodeReports reports;
  std::map<SpecHash, ServiceSpec> specs;
  WorkEvidence evidence;
  Time now = Time{} + 50s;
  std::vector<EvidenceOutput> outputs;

  Scene() {
    node.bytes[0] = 2;
    Member member;
    member.id = node;
    member.state = MemberState::kAgentDown;
    member.state_since = now;
    member.meta.Edit().name = "n2";
    member.meta.Edit().address = {IpAddress::V4(127, 0, 0, 12), 7700};
    member.meta.Edit().inbound_http = 7701;
    members[node] = member;
    reports[node] = {&report, 0};
  }
  void Run(std::uint64_t id, IpAddress ip, ReplicaState state = ReplicaState::kRunning) {
    ReplicaStatus status;
    status.id = ReplicaId{id};
    status.state = state;
    status.address = {ip, static_cast<std::uint16_t>(20000 + id)};
    report.replicas.push_back(status);
  }
  // Looks, and returns the ports asked.
  std::vector<std::uint16_t> Look(bool enabled = true) {
    outputs = evidence.Step(now, EvidenceWatch{enabled, &members, &reports, &specs});
    std::vector<std::uint16_t> ports;
    for (const auto& output : outputs) {
      if (const auto* attempt = std::get_if<TryConnect>(&output)) ports.push_back(attempt->address.port);
    }
    return ports;
  }
  // The attempts of the last look end so, in order; returns what proved the box dead.
  std::vector<NodeId> End(const std::vector<ConnectResult>& results) {
    std::vector<NodeId> dead;
    std::size_t i = 0;
    for (const auto& output : outputs) {
      const auto* attempt = std::get_if<TryConnect>(&output);
      if (attempt == nullptr || i >= results.size()) continue;
      EXPECT_TRUE(attempt->attempt & WorkEvidence::kAttemptBit);
      for (const auto& said : evidence.Step(now, ConnectOutcome{attempt->attempt, results[i++]})) {
        if (const auto* proven = std::get_if<NodeProvenDead>(&said)) dead.push_back(proven->node);
      }
    }
    return dead;
  }
};

const IpAddress kOwn = IpAddress::V4(127, 0, 0, 12);
constexpr auto kRefused = ConnectResult::kRefused;
constexpr auto kAccepted = ConnectResult::kAccepted;
constexpr auto kTimeout = ConnectResult::kTimeout;

TEST(WorkEvidence, AsksAtOnceAndAgainAndInTheEndEvery200Ms) {
  Scene s;
  s.Run(1, kOwn);
  for (const Duration pause :
       {20000us, 20000us, 20000us, 30000us, 45000us, 67500us, 101250us, 151875us, 200000us}) {
    EXPECT_THAT(s.Look(), ElementsAre(7701, 20001));
    EXPECT_EQ(s.evidence.NextDeadline(), s.now + pause);
    s.End({kAccepted, kAccepted});
    s.now += pause - 1us;
    EXPECT_TRUE(s.Look().empty());
    s.now += 1us;
  }
}

TEST(WorkEvidence, AsksOnlyWhereTheAnswerMeansSomething) {
  struct Row {
    const char* why;
    IpAddress ip;
    ReplicaState state;
    bool asked;
  };
  const Row rows[] = {
      {"the box's own address", kOwn, ReplicaState::kRunning, true},
      {"loopback there is not loopback here", IpAddress::V4(127, 0, 0, 1), ReplicaState::kRunning, false},
      {"another address need not be reachable", IpAddress::V4(10, 0, 0, 1), ReplicaState::kRunning, false},
      {"a starting one may not have its port open yet", kOwn, ReplicaState::kStarting, false},
      {"one in back-off has none", kOwn, ReplicaState::kBackoff, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    Scene s;
    s.Run(1, row.ip, row.state);
    EXPECT_EQ(s.Look().size(), row.asked ? 2U : 1U);
  }
}

TEST(WorkEvidence, WorkThatNeedNotListenIsNotAskedByItsPort) {
  struct Row {
    const char* why;
    std::function<void(ServiceSpec&)> set;
    bool asked;
  };
  const Row rows[] = {
      {"no check, no route, no port", [](ServiceSpec& s) { s.health.kind = HealthKind::kNone; }, false},
      {"a command says how it is", [](ServiceSpec& s) { s.health.kind = HealthKind::kCommand; }, false},
      {"the check connects", [](ServiceSpec& s) { s.health.kind = HealthKind::kTcp; }, true},
      {"the check asks for a page", [](ServiceSpec& s) { s.health.kind = HealthKind::kHttp; }, true},
      {"doors route to it",
       [](ServiceSpec& s) {
         s.health.kind = HealthKind::kNone;
         s.http = HttpRoute{};
       },
       true},
      {"a port is published",
       [](ServiceSpec& s) {
         s.health.kind = HealthKind::kCommand;
         s.ports.emplace_back();
       },
       true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    Scene s;
    s.Run(1, kOwn);
    row.set(s.specs[s.report.replicas[0].spec]);
    EXPECT_EQ(s.Look().size(), row.asked ? 2U : 1U);
  }
}

TEST(WorkEvidence, WhatProvesABoxDead) {
  struct Row {
    const char* why;
    std::vector<ConnectResult> results;  // inbound, replica 1, replica 2
    bool dead;
    WorkVerdict first;
  };
  const Row rows[] = {
      {"everything refused", {kRefused, kRefused, kRefused}, true, WorkVerdict::kRefused},
      {"one replica answers", {kRefused, kRefused, kAccepted}, false, WorkVerdict::kRefused},
      {"the inbound port answers", {kAccepted, kRefused, kRefused}, false, WorkVerdict::kRefused},
      {"silence is no proof", {kRefused, kTimeout, kRefused}, false, WorkVerdict::kUnknown},
      {"the last answer is missing", {kRefused, kRefused}, false, WorkVerdict::kRefused},
      {"all is well", {kAccepted, kAccepted, kAccepted}, false, WorkVerdict::kAnswering},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    Scene s;
    s.Run(1, kOwn);
    s.Run(2, kOwn);
    s.Look();
    EXPECT_EQ(s.End(row.results).size(), row.dead ? 1U : 0U);
    EXPECT_EQ(s.evidence.verdicts().at(ReplicaId{1}), row.first);
  }
}

TEST(WorkEvidence, WhatProvesABoxDeadWhereAllThatIsAskedRefuses) {
  enum Kind { kWeb, kWorker };
  struct Row {
    const char* why;
    std::function<void(Scene&)> set;
    bool dead;
  };
  const auto run = [](Kind kind, ReplicaState state = ReplicaState::kRunning, IpAddress ip = kOwn) {
    return [=](Scene& s) {
      s.Run(s.report.replicas.size() + 1, ip, state);
      SpecHash& hash = s.report.replicas.back().spec;
      hash = SpecHash{kind + 1U};
      s.specs[hash].health.kind = kind == kWeb ? HealthKind::kHttp : HealthKind::kNone;
    };
  };
  const auto both = [](const std::function<void(Scene&)>& a, const std::function<void(Scene&)>& b) {
    return [=](Scene& s) {
      a(s);
      b(s);
    };
  };
  const auto door_error = [](Scene& s) { s.report.door_error = "haproxy is not installed"; };
  const auto no_report = [](Scene& s) { s.reports.clear(); };
  const IpAddress loopback = IpAddress::V4(127, 0, 0, 1);
  const Row rows[] = {
      {"nothing ran there", [](Scene&) {}, true},
      {"what ran there is not known", no_report, false},
      {"its work refuses", run(kWeb), true},
      {"HAProxy was missing: its port says nothing", both(run(kWeb), door_error), false},
      {"the same without any work", door_error, false},
      {"HAProxy need not run for work without a port", run(kWorker), false},
      {"the worker beside it may go on", both(run(kWeb), run(kWorker)), false},
      {"a worker that was starting too", both(run(kWeb), run(kWorker, ReplicaState::kStarting)), false},
      {"what listens on loopback cannot be asked",
       both(run(kWeb), run(kWeb, ReplicaState::kRunning, loopback)), false},
      {"one was just starting: it went with the other", both(run(kWeb), run(kWeb, ReplicaState::kStarting)),
       true},
      {"all were just starting: no work has refused", run(kWeb, ReplicaState::kStarting), false},
      {"nothing of it ran: it had crashed", run(kWorker, ReplicaState::kBackoff), true},
      {"nothing of it ran yet", run(kWorker, ReplicaState::kPreparing), true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    Scene s;
    row.set(s);
    const std::vector<ConnectResult> refused(s.Look().size(), kRefused);
    EXPECT_EQ(s.End(refused).size(), row.dead ? 1U : 0U);
  }
}

TEST(WorkEvidence, ABoxOfWhichNoPortSaysAnythingForAWhileIsSilent) {
  Scene s;
  s.Run(1, kOwn);
  s.Run(2, kOwn);
  const auto round = [&s](const std::vector<ConnectResult>& results) {
    s.Look();
    s.End(results);
    s.now += WorkEvidence::kInterval;
    return s.evidence.verdicts().at(ReplicaId{1});
  };
  round({kAccepted, kAccepted, kAccepted});
  for (int n = 1; n < 14; ++n)
    EXPECT_EQ(round({kTimeout, kTimeout, n % 3 == 0 ? kAccepted : kTimeout}), WorkVerdict::kUnknown)
        << "one port still answers now and then";
  int rounds = 0;
  while (round({kTimeout, kTimeout, kTimeout}) != WorkVerdict::kSilent && rounds < 100) ++rounds;
  EXPECT_LT(rounds, WorkEvidence::kSilentAfter);
  EXPECT_EQ(round({kTimeout, kTimeout, kRefused}), WorkVerdict::kUnknown) << "the kernel is back";
}

TEST(WorkEvidence, SilenceCountsAlsoWhereItIsToldLate) {
  Scene s;
  s.Run(1, kOwn);
  int rounds = 0;
  const auto verdict = [&s] {
    const auto& verdicts = s.evidence.verdicts();
    return verdicts.contains(ReplicaId{1}) ? verdicts.at(ReplicaId{1}) : WorkVerdict::kUnknown;
  };
  for (; verdict() != WorkVerdict::kSilent && rounds < 100; ++rounds) {
    s.Look();
    const auto asked = s.outputs;
    s.now += WorkEvidence::kInterval;
    s.Look();  // the next round is due before the time-outs of this one are told
    EXPECT_TRUE(s.outputs.empty());
    s.outputs = asked;
    s.End({kTimeout, kTimeout});
    s.now += WorkEvidence::kInterval;
  }
  EXPECT_EQ(rounds, WorkEvidence::kSilentAfter);
}

TEST(WorkEvidence, AControllerThatSleptTakesNobodyForSilent) {
  Scene s;
  s.Run(1, kOwn);
  s.Look();
  s.End({kAccepted, kAccepted});
  s.now += 10s;
  s.Look();
  s.End({kTimeout, kTimeout});
  EXPECT_EQ(s.evidence.verdicts().at(ReplicaId{1}), WorkVerdict::kUnknown);
}

TEST(WorkEvidence, ABoxWithNothingToAskIsJudgedByItsInboundPort) {
  Scene s;
  s.Look();
  EXPECT_THAT(s.End({kRefused}), ElementsAre(s.node));
  s.now += 200ms;
  EXPECT_TRUE(s.Look().empty()) << "proven once";

  Scene silent;
  silent.members[silent.node].meta.Edit().inbound_http = 0;
  EXPECT_TRUE(silent.Look().empty());
}

TEST(WorkEvidence, ANewVerdictIsToldOnceAndFollowsTheLatestAnswer) {
  Scene s;
  s.Run(1, kOwn);
  s.Look();
  const auto attempt = std::get<TryConnect>(s.outputs[1]).attempt;
  s.End({kAccepted});
  EXPECT_EQ(s.evidence.Step(s.now, ConnectOutcome{attempt, kAccepted}).size(), 1U);
  EXPECT_TRUE(s.evidence.Step(s.now, ConnectOutcome{attempt, kAccepted}).empty());
  s.now += 200ms;
  s.Look();
  EXPECT_TRUE(s.evidence.Step(s.now, ConnectOutcome{attempt, kRefused}).empty())
      << "an answer to an older attempt";
  s.End({kAccepted, kRefused});
  EXPECT_EQ(s.evidence.verdicts().at(ReplicaId{1}), WorkVerdict::kRefused);
}

TEST(WorkEvidence, EndsWithAgentDownOrWithTheRole) {
  for (const bool by_role : {false, true}) {
    Scene s;
    s.Run(1, kOwn);
    s.Look();
    s.End({kAccepted, kAccepted});
    if (!by_role) s.members[s.node].state = MemberState::kAlive;
    s.now += 1s;
    EXPECT_TRUE(s.Look(!by_role).empty());
    EXPECT_TRUE(s.evidence.verdicts().empty());
    EXPECT_EQ(s.evidence.NextDeadline(), kNever);
  }
}

}  // namespace
}  // namespace hs
