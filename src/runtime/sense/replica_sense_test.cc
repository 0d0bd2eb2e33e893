// On real processes: each test starts its own and ends them.
#include "runtime/sense/replica_sense.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <thread>

#include "runtime/process/cgroup.h"
#include "runtime/process/proc_tree.h"
#include "runtime/process/spawn.h"
#include "runtime/sense/parse.h"
#include "runtime/sense/sense.h"

namespace hs {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

Time Now() { return Time(1000h + std::chrono::steady_clock::now().time_since_epoch()); }

class ReplicaSenseTest : public ::testing::Test {
 protected:
  ~ReplicaSenseTest() override {
    for (const RunningReplica& replica : running_) {
      KillDescendants(replica.pids.shim.pid, 0);
      kill(replica.pids.shim.pid, SIGKILL);
      waitpid(replica.pids.shim.pid, nullptr, 0);
      for (int i = 0; i < 1000 && !replica.cgroup.empty(); ++i) {
        CgroupTree::Remove(replica.cgroup);
        if (access(replica.cgroup.c_str(), F_OK) != 0) break;
        std::this_thread::sleep_for(1ms);
      }
      CgroupTree::Remove(replica.cgroup.parent_path());
    }
  }

  // A process that stands for the shim; what `script` starts stands for the replica.
  RunningReplica& Run(const std::string& script, const std::filesystem::path& cgroup = {}) {
    SpawnRequest request;
    const std::string join = cgroup.empty() ? "" : "echo $$ > " + (cgroup / "cgroup.procs").string() + "; ";
    request.argv = {"/bin/sh", "-c", join + script};
    const Result<pid_t> pid = SpawnProgram(request);
    EXPECT_TRUE(pid.has_value());
    RunningReplica replica;
    replica.id = ReplicaId{running_.size() + 1};
    replica.service = "web";
    replica.cgroup = cgroup;
    replica.pids.shim = {*pid, StartTimeOf(*pid)};
    return running_.emplace_back(std::move(replica));
  }

  std::vector<ReplicaMeasure> Measure(Time now = Now(), std::uint64_t forks = 0) {
    return sense_.Measure(now, running_, forks, 0, buffer_);
  }

  // Measures until it holds, with a moment between.
  template <typename Condition>
  bool Until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (Time virtual_now = Now(); std::chrono::steady_clock::now() < deadline; virtual_now += 10s) {
      const auto measures = Measure(virtual_now);
      if (!measures.empty() && condition(measures.front())) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }

  ReadBuffer buffer_;
  ReplicaSense sense_;
  std::vector<RunningReplica> running_;
};

constexpr const char* kBusyChild = "sh -c 'while :; do :; done' & wait";
constexpr const char* kIdleChild = "sleep 1000 & wait";

TEST_F(ReplicaSenseTest, CountsTheWholeTreeWithoutACgroup) {
  Run(kBusyChild);
  EXPECT_TRUE(Until([](const ReplicaMeasure& m) {
    return m.processes == 1 && m.cpu_seconds_total >= 0.1 && m.memory_bytes > 100'000;
  }));
}

TEST_F(ReplicaSenseTest, KeepsWhatEndedProcessesUsed) {
  // A busy child of its own that ends after a while and is waited for; then nothing more.
  Run("i=0; (while [ $i -lt 100000 ]; do i=$((i+1)); done); sleep 1000 & wait");
  double most = 0;
  EXPECT_TRUE(Until([&](const ReplicaMeasure& m) {
    EXPECT_GE(m.cpu_seconds_total, most - 0.03);  // ticks are counted in hundredths
    most = std::max(most, m.cpu_seconds_total);
    return most > 0.02 && m.processes == 1 && !DescendantsOf(running_[0].pids.shim.pid).empty();
  }));
}

TEST_F(ReplicaSenseTest, WalksOnlyWhenSomethingWasForkedAndNotOften) {
  Run(kIdleChild);
  const Time begin = Now();
  Measure(begin, 100);
  Measure(begin + 1s, 101);
  Measure(begin + 2s, 102);
  EXPECT_EQ(sense_.walks(), 1U) << "within 5 s of the last";
  Measure(begin + 1h, 100);
  EXPECT_EQ(sense_.walks(), 1U) << "nothing was forked since";
  Measure(begin + 2h, 103);
  EXPECT_EQ(sense_.walks(), 2U);
}

TEST_F(ReplicaSenseTest, UseBeforeAProcessWasFoundIsNotARateOfThisSecond) {
  std::string go = (std::filesystem::temp_directory_path() / "hs_sense_go_XXXXXX").string();
  close(mkstemp(go.data()));
  Run("while [ -e " + go + " ]; do sleep 0.01; done; " + kBusyChild);
  const Time begin = Now();
  Measure(begin, 100);
  unlink(go.c_str());  // now the busy child comes, unseen
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const auto has_used = [&](std::uint64_t ticks) {
    for (const pid_t pid : DescendantsOf(running_[0].pids.shim.pid)) {
      const auto text = KeptFile("/proc/" + std::to_string(pid) + "/stat").Read(buffer_);
      const auto stat = text ? ParseProcessStat(*text) : std::nullopt;
      if (stat && stat->own_ticks >= ticks) return true;
    }
    return false;
  };
  while (!has_used(20) && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(5ms);
  Measure(begin + 1h, 100);  // no walk: nothing was forked
  const auto found = Measure(begin + 1h + 10ms, 101);
  EXPECT_GE(found.front().cpu_seconds_total, 0.2);
  // At most the ten milliseconds since, and a tick or two of the counters' grain; not all 200 of them.
  EXPECT_LT(found.front().used_cores, 5);
}

TEST_F(ReplicaSenseTest, AGoneReplicaIsLeftOut) {
  Run(kIdleChild);
  EXPECT_EQ(Measure().size(), 1U);
  const RunningReplica gone = running_[0];
  running_.clear();
  EXPECT_TRUE(Measure().empty());
  running_.push_back(gone);  // so that it is ended
}

TEST_F(ReplicaSenseTest, ANewRunBeginsAnew) {
  Run(kBusyChild);
  ASSERT_TRUE(Until([](const ReplicaMeasure& m) { return m.cpu_seconds_total >= 0.05; }));
  Run(kIdleChild);
  std::swap(running_[0].pids, running_[1].pids);  // the same replica, started again
  const RunningReplica before = running_[1];
  running_.pop_back();
  const auto measures = Measure();
  running_.push_back(before);
  ASSERT_EQ(measures.size(), 1U);
  EXPECT_EQ(measures[0].used_cores, 0);
  EXPECT_LT(measures[0].cpu_seconds_total, 0.05);
}

TEST_F(ReplicaSenseTest, AsksTheCgroupWhereThereIsOne) {
  NodeId node;
  node.bytes[0] = 0x5b;
  node.bytes[1] = static_cast<std::uint8_t>(getpid());
  node.bytes[2] = static_cast<std::uint8_t>(getpid() >> 8);
  CgroupTree tree(node, true);
  const auto cgroup = tree.Make(ReplicaId{1});
  if (cgroup.empty()) GTEST_SKIP() << tree.Describe();
  Run(kBusyChild, cgroup);
  EXPECT_TRUE(Until([](const ReplicaMeasure& m) {
    return m.processes >= 2 && m.cpu_seconds_total >= 0.05 && m.memory_bytes > 100'000;
  }));
  EXPECT_EQ(sense_.walks(), 0U);
}

TEST_F(ReplicaSenseTest, ACgroupThatCannotBeReadIsNoReasonToMeasureNothing) {
  Run(kBusyChild);
  running_[0].cgroup = "/nonexistent/group";
  EXPECT_TRUE(Until([](const ReplicaMeasure& m) { return m.processes == 1 && m.cpu_seconds_total > 0; }));
}

// What the agent spends on it each second. The bar is for a release build; sanitizers get ten times that.
TEST_F(ReplicaSenseTest, TenReplicasAreMeasuredCheaply) {
  NodeId node;
  node.bytes[0] = 0x5c;
  node.bytes[1] = static_cast<std::uint8_t>(getpid());
  node.bytes[2] = static_cast<std::uint8_t>(getpid() >> 8);
  CgroupTree tree(node, true);
  for (const bool cgroups : {false, true}) {
    if (cgroups && tree.Make(ReplicaId{100}).empty()) break;
    CgroupTree::Remove(tree.Make(ReplicaId{100}));
    std::vector<RunningReplica> running;
    for (std::uint64_t i = 0; i < 10; ++i)
      running.push_back(Run(kIdleChild, cgroups ? tree.Make(ReplicaId{100 + i}) : ""));
    std::ranges::sort(running, {}, &RunningReplica::id);
    Sense sense(std::filesystem::temp_directory_path());
    Time now = Now();
    sense.Measure(now, running);
    const auto spent = [] {
      timespec at{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
      return static_cast<double>(at.tv_sec) * 1e3 + static_cast<double>(at.tv_nsec) / 1e6;
    };
    constexpr int kRounds = 200;
    const double before = spent();
    for (int i = 0; i < kRounds; ++i) EXPECT_EQ(sense.Measure(now += 1s, running).replicas.size(), 10U);
    const double each = (spent() - before) / kRounds;
    std::printf("a measurement of a node with 10 replicas, %s: %.3f ms of CPU\n",
                cgroups ? "cgroups" : "/proc", each);
    EXPECT_LT(each, 2.0);
  }
}

TEST(LagMeter, IsTheWorstSinceItWasTaken) {
  LagMeter lag;
  const Time begin = Time(1000h);
  lag.Ran(begin, begin + 100ms, begin + 103ms);
  lag.Ran(begin, begin + 200ms, begin + 201ms);
  EXPECT_EQ(lag.Take(), 3ms);
  EXPECT_EQ(lag.Take(), Duration{});
  lag.Ran(begin + 5s, begin, begin + 5s + 2ms);  // was due before it was armed
  EXPECT_EQ(lag.Take(), 2ms);
  lag.Ran(begin, begin + 10ms, begin + 9ms);
  EXPECT_EQ(lag.Take(), Duration{});
}

}  // namespace
}  // namespace hs
