#include "core/supervision/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

constexpr ReplicaId kWeb{1};
constexpr ReplicaId kOther{2};

// Steps a supervisor through virtual time and keeps what it put out.
class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    self_.bytes[0] = 7;
    spec_.name = "web";
    spec_.command = {"serve"};
    spec_.health.interval = 2s;
    Make({});
  }

  void Make(std::vector<AdoptedReplica> adopted) {
    supervisor_.emplace(tunables_, self_, std::move(adopted), Prng(1), now_);
  }

  void Give(const SupervisorInput& input) { outputs_ = supervisor_->Step(now_, input); }
  // The same, awake all the time: a node that looks up after seconds distrusts what it knew.
  void Awake(Duration wait) {
    const Duration step = tunables_.late_wake / 2;
    for (; wait > step; wait -= step) After(step);
    After(wait);
  }
  void After(Duration wait) {
    now_.mono += wait;
    now_.wall_ms += ToMs(wait);
    Give(Tick{});
  }
  void Slice(std::vector<std::pair<ReplicaId, ReplicaId>> orders) {
    SliceReceived input;
    input.slice.node = self_;
    for (const auto& [id, keeper] : orders) {
      input.slice.assignments.push_back({id, "web", HashOf(spec_), keeper, "test"});
      input.specs[id] = spec_;
    }
    Give(input);
  }
  template <typename T>
  std::vector<T> All() const {
    std::vector<T> found;
    for (const SupervisorOutput& output : outputs_) {
      if (const T* it = std::get_if<T>(&output)) found.push_back(*it);
    }
    return found;
  }
  ReplicaStatus Web() const { return supervisor_->statuses().at(0); }
  std::uint64_t LastProbe() {
    const auto probes = All<ProbeReplica>();
    EXPECT_EQ(probes.size(), 1u);
    return probes.empty() ? 0 : probes[0].probe;
  }
  void Answer(bool healthy) { Give(ProbeResult{kWeb, LastProbe(), healthy, healthy ? "" : "refused", {}}); }
  void RunHealthy() {
    Slice({{kWeb, {}}});
    Give(ReplicaStarted{kWeb, 100, *Endpoint::Parse("10.0.0.1:10000")});
    Answer(true);
    ASSERT_EQ(Web().state, ReplicaState::kRunning);
  }

  Tunables tunables_;
  NodeId self_;
  ServiceSpec spec_;
  Now now_{Time{} + 1h, 1'000'000};
  std::optional<Supervisor> supervisor_;
  std::vector<SupervisorOutput> outputs_;
};

TEST_F(SupervisorTest, StartsProbesAndRuns) {
  Slice({{kWeb, {}}});
  ASSERT_EQ(All<StartReplica>().size(), 1u);
  Give(ReplicaStarted{kWeb, 100, *Endpoint::Parse("10.0.0.1:10000")});
  EXPECT_EQ(Web().state, ReplicaState::kStarting);
  Answer(false);
  After(tunables_.starting_probe_interval);
  Answer(true);
  EXPECT_EQ(Web().state, ReplicaState::kRunning);
  EXPECT_EQ(Web().health, Health::kHealthy);
  EXPECT_EQ(Web().last_error, "");
}

TEST_F(SupervisorTest, WithoutAHealthCheckItCountsAsHealthyOnceItHasRunForAWhile) {
  spec_.health.kind = HealthKind::kNone;
  Slice({{kWeb, {}}});
  Give(ReplicaStarted{kWeb, 100, *Endpoint::Parse("10.0.0.1:10000")});
  EXPECT_EQ(Web().state, ReplicaState::kStarting);
  After(999ms);
  EXPECT_NE(Web().health, Health::kHealthy);
  EXPECT_EQ(supervisor_->NextDeadline(), now_.mono + 1ms);
  After(1ms);
  EXPECT_EQ(Web().state, ReplicaState::kRunning);
  EXPECT_EQ(Web().health, Health::kHealthy);
  EXPECT_TRUE(All<ProbeReplica>().empty());
  EXPECT_EQ(supervisor_->NextDeadline(), kNever);
}

TEST_F(SupervisorTest, AnAgentThatSleptHasSeenNobodyRun) {
  spec_.health.kind = HealthKind::kNone;
  Slice({{kWeb, {}}});
  Give(ReplicaStarted{kWeb, 100, *Endpoint::Parse("10.0.0.1:10000")});
  After(5s);
  EXPECT_EQ(Web().state, ReplicaState::kStarting) << "its end may wait to be told";
  Give(ReplicaExited{kWeb, 7, 0});
  EXPECT_EQ(Web().state, ReplicaState::kBackoff);
}

TEST_F(SupervisorTest, WhatStartsIsAskedTheMoreOftenTheYoungerItIs) {
  const auto pauses = [this] {
    Slice({{kWeb, {}}});
    Give(ReplicaStarted{kWeb, 100, *Endpoint::Parse("10.0.0.1:10000")});
    std::vector<std::int64_t> found;
    while (found.size() < 16) {
      Answer(false);
      found.push_back(ToMs(supervisor_->NextDeadline() - now_.mono));
      After(supervisor_->NextDeadline() - now_.mono);
    }
    return found;
  };
  EXPECT_THAT(pauses(),
              ::testing::ElementsAre(10, 10, 10, 10, 10, 10, 12, 14, 17, 20, 24, 29, 35, 42, 51, 61));
  spec_.health.kind = HealthKind::kCommand;
  Make({});
  EXPECT_THAT(pauses(), ::testing::Each(100)) << "a command costs what it runs";
}

TEST_F(SupervisorTest, AnOrderToRunWhatRunsChangesNothing) {
  RunHealthy();
  Slice({{kWeb, {}}});
  EXPECT_TRUE(outputs_.empty());
}

TEST_F(SupervisorTest, SlicesForOtherNodesAndSpecsThatDoNotMatchAreIgnored) {
  SliceReceived input;
  input.slice.assignments.push_back({kWeb, "web", HashOf(spec_), {}, "test"});
  input.specs[kWeb] = spec_;
  Give(input);
  EXPECT_TRUE(outputs_.empty());
  input.slice.node = self_;
  input.slice.assignments[0].spec.value ^= 1;
  Give(input);
  EXPECT_TRUE(outputs_.empty());
}

TEST_F(SupervisorTest, AbsenceFromASliceStopsNothing) {
  RunHealthy();
  Slice({});
  After(1h);
  EXPECT_TRUE(All<SignalReplica>().empty());
  EXPECT_EQ(Web().state, ReplicaState::kRunning);
}

TEST_F(SupervisorTest, StopsOnlyWhileItsKeeperIsHealthy) {
  RunHealthy();
  Slice({{kWeb, kOther}});
  EXPECT_EQ(Web().state, ReplicaState::kRunning);
  Give(KeeperHealth{{kOther}});
  EXPECT_EQ(Web().state, ReplicaState::kDraining);
  Give(KeeperHealth{{}});
  EXPECT_EQ(Web().state, ReplicaState::kRunning) << "a drain whose keeper falls ill is taken back";
  After(tunables_.drain_wait);
  EXPECT_TRUE(All<SignalReplica>().empty());
}

TEST_F(SupervisorTest, AnAgentThatSleptThroughADrainDrainsAgain) {
  RunHealthy();
  Slice({{kWeb, kOther}});
  Give(KeeperHealth{{kOther}});
  ASSERT_EQ(Web().state, ReplicaState::kDraining);
  After(tunables_.drain_wait + 30s);  // stopped: the keeper may have died meanwhile
  EXPECT_TRUE(All<SignalReplica>().empty());
  Awake(tunables_.drain_wait);
  EXPECT_EQ(All<SignalReplica>().size(), 1u);
}

TEST_F(SupervisorTest, ADrainEndsBeforeItsTimeOnlyWhenNothingIsLeft) {
  RunHealthy();
  Give(ReplicaIdle{kWeb});
  EXPECT_EQ(Web().state, ReplicaState::kRunning) << "idle is no reason to stop";
  Slice({{kWeb, kWeb}});
  Awake(1s);
  EXPECT_TRUE(All<SignalReplica>().empty());
  Give(ReplicaIdle{kWeb});
  ASSERT_EQ(All<SignalReplica>().size(), 1u);
  EXPECT_EQ(Web().state, ReplicaState::kStopping);
  Give(ReplicaIdle{kWeb});
  EXPECT_TRUE(All<SignalReplica>().empty()) << "once";
}

TEST_F(SupervisorTest, DrainsSignalsKillsAndForgets) {
  RunHealthy();
  Slice({{kWeb, kWeb}});
  EXPECT_EQ(Web().state, ReplicaState::kDraining);
  Awake(tunables_.drain_wait - 1ms);
  EXPECT_TRUE(All<SignalReplica>().empty());
  After(1ms);
  ASSERT_EQ(All<SignalReplica>().size(), 1u);
  EXPECT_EQ(All<SignalReplica>()[0].signal, "SIGTERM");
  After(spec_.stop_grace - 1ms);
  EXPECT_TRUE(All<KillReplica>().empty());
  After(1ms);
  EXPECT_EQ(All<KillReplica>().size(), 1u);
  Give(ReplicaExited{kWeb, 0, 9});
  EXPECT_EQ(All<ForgetReplica>().size(), 1u);
  ASSERT_EQ(All<ReplicaChanged>().size(), 1u);
  EXPECT_FALSE(All<ReplicaChanged>()[0].after.has_value());
  EXPECT_TRUE(supervisor_->statuses().empty());
  EXPECT_EQ(supervisor_->NextDeadline(), kNever);
}

TEST_F(SupervisorTest, OneThatWasNeverHealthyIsNotDrained) {
  Slice({{kWeb, {}}});
  Give(ReplicaStarted{kWeb, 100, {}});
  Slice({{kWeb, kWeb}});
  EXPECT_EQ(All<SignalReplica>().size(), 1u);
  EXPECT_EQ(Web().state, ReplicaState::kStopping);
}

TEST_F(SupervisorTest, AStopWhileItIsBeingStartedIsSignalledOnceThereIsAProcess) {
  Slice({{kWeb, {}}});
  Slice({{kWeb, kWeb}});
  EXPECT_TRUE(All<SignalReplica>().empty());
  Give(ReplicaStarted{kWeb, 100, {}});
  EXPECT_EQ(All<SignalReplica>().size(), 1u);
}

TEST_F(SupervisorTest, BacksOffExponentiallyToTheMaximumAndNeverGivesUp) {
  Slice({{kWeb, {}}});
  Duration longest{};
  for (std::uint32_t round = 0; round < 40; ++round) {
    Give(ReplicaStarted{kWeb, 100, {}});
    Give(ReplicaExited{kWeb, 1, 0});
    ASSERT_EQ(Web().state, ReplicaState::kBackoff);
    EXPECT_EQ(Web().restarts, round);
    const Duration wait = supervisor_->NextDeadline() - now_.mono;
    if (round == 0) {
      EXPECT_LE(wait, tunables_.backoff_first);
    }
    longest = std::max(longest, wait);
    EXPECT_LE(wait, tunables_.backoff_max);
    After(wait);
    ASSERT_EQ(All<StartReplica>().size(), 1u) << "round " << round;
  }
  EXPECT_GE(longest, tunables_.backoff_max / 2);
}

TEST_F(SupervisorTest, ALongLifeMakesTheBackOffShortAgain) {
  Slice({{kWeb, {}}});
  for (int round = 0; round < 10; ++round) {
    Give(ReplicaStartFailed{kWeb, "no such file"});
    After(supervisor_->NextDeadline() - now_.mono);
  }
  Give(ReplicaStarted{kWeb, 100, {}});
  now_.mono += tunables_.backoff_reset;
  Give(ReplicaExited{kWeb, 1, 0});
  EXPECT_LE(supervisor_->NextDeadline() - now_.mono, tunables_.backoff_first);
}

TEST_F(SupervisorTest, WaitsForItsBundleAndAsksAgainAfterAFailure) {
  spec_.bundle.bytes[0] = 1;
  Slice({{kWeb, {}}, {kOther, {}}});
  EXPECT_EQ(All<NeedBundle>().size(), 1u) << "one fetch serves both";
  EXPECT_TRUE(All<StartReplica>().empty());
  Give(BundleFailed{spec_.bundle, "no holder"});
  EXPECT_NE(Web().last_error.find("no holder"), std::string::npos);
  After(supervisor_->NextDeadline() - now_.mono);
  EXPECT_EQ(All<NeedBundle>().size(), 1u);
  Give(BundleReady{spec_.bundle});
  EXPECT_EQ(All<StartReplica>().size(), 2u);
}

TEST_F(SupervisorTest, FailuresInARowMakeItUnhealthyAndAsManyMoreRestartIt) {
  RunHealthy();
  for (int failure = 1; failure <= 6; ++failure) {
    After(spec_.health.interval);
    Answer(false);
    EXPECT_EQ(Web().health, failure < 3 ? Health::kHealthy : Health::kUnhealthy) << failure;
    EXPECT_EQ(All<SignalReplica>().size(), failure < 6 ? 0u : 1u) << failure;
  }
  const std::string reason = Web().last_error;
  EXPECT_NE(reason, "");
  Give(ReplicaExited{kWeb, 0, 15});
  EXPECT_EQ(Web().state, ReplicaState::kBackoff);
  EXPECT_EQ(Web().last_error, reason) << "that we killed it is not why it failed";
}

TEST_F(SupervisorTest, AnAgentThatWasStoppedBlamesNoReplica) {
  RunHealthy();
  now_.mono += 1h;  // nothing was handed in meanwhile
  Give(Tick{});
  Answer(false);
  EXPECT_EQ(Web().health, Health::kHealthy);
}

TEST_F(SupervisorTest, ASlowStarterIsNotKilledBeforeTheRolloutDeadline) {
  Slice({{kWeb, {}}});
  Give(ReplicaStarted{kWeb, 100, {}});
  const Time started = now_.mono;
  while (now_.mono - started < tunables_.rollout_deadline - 200ms) {
    Answer(false);
    ASSERT_TRUE(All<SignalReplica>().empty());
    After(tunables_.starting_probe_interval);
  }
  EXPECT_EQ(Web().health, Health::kUnhealthy);
  Answer(false);
  After(spec_.health.interval);
  Answer(false);
  EXPECT_EQ(All<SignalReplica>().size(), 1u);
}

TEST_F(SupervisorTest, FailuresWithinTheStartPeriodDoNotCount) {
  spec_.health.start_period = 30s;
  Slice({{kWeb, {}}});
  Give(ReplicaStarted{kWeb, 100, {}});
  for (int i = 0; i < 250; ++i) {
    Answer(false);
    After(100ms);
  }
  EXPECT_EQ(Web().health, Health::kUnknown);
}

TEST_F(SupervisorTest, AnAppOnLoopbackOnlyGetsThatAddress) {
  Slice({{kWeb, {}}});
  Give(ReplicaStarted{kWeb, 100, *Endpoint::Parse("10.0.0.1:10000")});
  Give(ProbeResult{kWeb, LastProbe(), true, "", *Endpoint::Parse("127.0.0.1:10000")});
  EXPECT_EQ(Web().address.ToString(), "127.0.0.1:10000");
}

TEST_F(SupervisorTest, AdoptedReplicasRunOnAndAreProbedAtOnce) {
  Make({{.id = kWeb, .spec = spec_, .pid = 5, .restarts = 2, .alive = true, .started_ms = now_.wall_ms}});
  EXPECT_TRUE(IsRoutable(Web()));
  EXPECT_LE(supervisor_->NextDeadline(), now_.mono);
  Slice({{kWeb, {}}});
  EXPECT_TRUE(All<StartReplica>().empty());
  Answer(true);
  EXPECT_EQ(Web().health, Health::kHealthy);
  EXPECT_EQ(Web().restarts, 2u);
}

TEST_F(SupervisorTest, AnAdoptedOneThatDoesNotAnswerGetsNoRequestsUntilItDoes) {
  Make({{.id = kWeb, .spec = spec_, .pid = 5, .alive = true, .started_ms = now_.wall_ms}});
  Give(Tick{});
  for (std::uint32_t failed = 0; failed < spec_.health.retries; ++failed) {
    EXPECT_TRUE(IsRoutable(Web())) << "one answer may be late";
    Answer(false);
    After(tunables_.starting_probe_interval);
  }
  EXPECT_FALSE(IsRoutable(Web()));
  Answer(true);
  EXPECT_TRUE(IsRoutable(Web()));
}

TEST_F(SupervisorTest, AnAdoptedOneWhoseFirstAnswerIsLateStaysInTheDoors) {
  Make({{.id = kWeb, .spec = spec_, .pid = 5, .alive = true, .started_ms = now_.wall_ms}});
  Give(Tick{});
  Answer(false);
  EXPECT_EQ(Web().state, ReplicaState::kRunning);
  After(tunables_.starting_probe_interval);
  Answer(true);
  EXPECT_EQ(Web().state, ReplicaState::kRunning);
  EXPECT_EQ(Web().health, Health::kHealthy);
  EXPECT_EQ(Web().last_error, "");
}

TEST_F(SupervisorTest, AdoptedOnesAreNotAllAskedInOneInstant) {
  std::vector<AdoptedReplica> adopted;
  for (std::uint64_t id = 1; id <= 40; ++id)
    adopted.push_back({.id = ReplicaId{id}, .spec = spec_, .pid = 5, .alive = true});
  Make(adopted);
  Give(Tick{});
  std::size_t asked = All<ProbeReplica>().size();
  EXPECT_EQ(asked, 1u);
  for (int i = 0; i < 8; ++i) {
    After(10ms);
    EXPECT_LE(All<ProbeReplica>().size(), 5u);
    asked += All<ProbeReplica>().size();
  }
  EXPECT_EQ(asked, 40u);
}

TEST_F(SupervisorTest, AnAdoptedOneThatEndedIsStartedAgain) {
  Make({{.id = kWeb, .spec = spec_, .alive = false, .exit_code = 3}});
  EXPECT_EQ(Web().state, ReplicaState::kBackoff);
  After(tunables_.backoff_first);
  ASSERT_EQ(All<StartReplica>().size(), 1u);
  EXPECT_EQ(All<StartReplica>()[0].restarts, 1u);
}

TEST_F(SupervisorTest, WordsAboutUnknownReplicasAndOldProbesAreIgnored) {
  RunHealthy();
  Give(ReplicaExited{kOther, 1, 0});
  for (int i = 0; i < 9; ++i) Give(ProbeResult{kWeb, 9999, false, "old", {}});
  Give(ReplicaStarted{kWeb, 200, {}});
  EXPECT_EQ(Web().pid, 100u);
  EXPECT_EQ(Web().health, Health::kHealthy);
}

}  // namespace
}  // namespace hs
