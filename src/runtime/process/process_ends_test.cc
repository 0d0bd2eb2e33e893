// How replicas end, with all that they started, and what a new agent finds of those that did not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "runtime/process/cgroup.h"
#include "runtime/process/proc_tree.h"
#include "runtime/process/process_fixture_test.h"

namespace hs {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(ProcessHostTest, ANewAgentFindsTheSameProcessAndItsEnd) {
  Start({"sleep", "1000"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  Revive();
  const auto found = host_->Scan();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].alive);
  EXPECT_EQ(found[0].pid, started->pid);
  EXPECT_EQ(found[0].address, started->address);
  EXPECT_EQ(found[0].spec.command, (std::vector<std::string>{"sleep", "1000"}));
  host_->Signal({kId, "SIGTERM"});
  const auto exited = Next<ReplicaExited>();
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->term_signal, SIGTERM);
}

TEST_F(ProcessHostTest, ANewAgentHearsOfAnEndThatNobodySaw) {
  Start({"sh", "-c", "exit 5"});
  ASSERT_TRUE(Next<ReplicaExited>());
  Revive();
  const auto found = host_->Scan();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_FALSE(found[0].alive);
  EXPECT_EQ(found[0].exit_code, 5);
}

TEST_F(ProcessHostTest, AnAgentOverACopyOfTheDirectoryLeavesTheOriginalsWorkAlone) {
  Start({"sleep", "1000"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  const fs::path original = dir_;
  const fs::path copy = dir_.string() + ".copy";
  fs::copy(original, copy, fs::copy_options::recursive);
  dir_ = copy;
  Revive();
  const auto found = host_->Scan();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_FALSE(found[0].alive) << "not its own";
  Start({"sleep", "1000"});
  const auto doubled = Next<ReplicaStarted>();
  ASSERT_TRUE(doubled);
  host_->Abandon();
  EXPECT_TRUE(Until([&] { return StartTimeOf(static_cast<pid_t>(doubled->pid)) == 0; }))
      << "but what it started";
  Revive();
  EXPECT_THAT(host_->Scan(), IsEmpty());
  host_.reset();
  dir_ = original;
  fs::remove_all(copy);
  EXPECT_EQ(kill(static_cast<pid_t>(started->pid), 0), 0);
  Revive();
  EXPECT_TRUE(host_->Scan().at(0).alive);
}

TEST_F(ProcessHostTest, WhatDoesNotParseIsLeftAloneAndNamed) {
  fs::create_directories(dir_ / "replicas" / "00000000000000ff");
  std::ofstream(dir_ / "replicas" / "00000000000000ff" / "spec").close();
  fs::create_directories(dir_ / "replicas" / "junk");
  std::vector<std::string> problems;
  EXPECT_THAT(host_->Scan(&problems), IsEmpty());
  EXPECT_EQ(problems.size(), 2u);
}

// A grandchild in a session of its own, whose parent is gone; and a child that ignores SIGTERM.
constexpr const char* kEscaping =
    "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo escaped $$; while :; do sleep 1000; done' &) ; echo "
    "up; "
    "while :; do sleep 1000; done";

class KillTest : public ProcessHostTest {
 protected:
  void KillsTheTree() {
    Start({"sh", "-c", kEscaping});
    ASSERT_TRUE(Next<ReplicaStarted>());
    ASSERT_TRUE(Until([&] { return Log().find("escaped") != std::string::npos; }));
    ASSERT_TRUE(Until([&] { return Log().find("o up") != std::string::npos; }));
    const std::string log = Log();
    const pid_t escaped = std::stoi(log.substr(log.find("escaped ") + 8));
    ASSERT_GT(StartTimeOf(escaped), 0u);
    host_->Signal({kId, "SIGTERM"});
    io_.restart();
    io_.run_for(std::chrono::milliseconds(100));
    EXPECT_GT(StartTimeOf(escaped), 0u) << "SIGTERM is ignored";
    host_->Kill({kId});
    const auto exited = Next<ReplicaExited>();
    ASSERT_TRUE(exited);
    EXPECT_EQ(exited->term_signal, SIGKILL);
    EXPECT_EQ(StartTimeOf(escaped), 0u);
  }
};

TEST_F(KillTest, KillsATreeThatForkedTwiceAndLeftItsSession) { KillsTheTree(); }

TEST_F(KillTest, KillsItWithoutCgroupsToo) {
  use_cgroups_ = false;
  Revive();
  EXPECT_THAT(host_->Containment(), HasSubstr("switched off"));
  KillsTheTree();
}

TEST_F(ProcessHostTest, WhatAReplicaLeavesBehindEndsWithIt) {
  Start({"sh", "-c", "setsid sleep 1000 & echo left $!; sleep 0.2"});
  ASSERT_TRUE(Next<ReplicaExited>());
  const std::string log = Log();
  ASSERT_THAT(log, HasSubstr("left "));
  EXPECT_EQ(StartTimeOf(std::stoi(log.substr(log.find("left ") + 5))), 0u);
}

TEST_F(ProcessHostTest, AKilledShimTakesItsReplicaAlong) {
  Start({"sh", "-c", "sleep 1000 & sleep 1000"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  const auto pids = ReplicaDir(dir_, kId).ReadPids();
  ASSERT_TRUE(pids);
  EXPECT_EQ(pids->child.pid, static_cast<pid_t>(started->pid));
  kill(pids->shim.pid, SIGKILL);
  ASSERT_TRUE(Next<ReplicaExited>());
  EXPECT_TRUE(Until([&] { return !IsAlive(pids->child); }));
}

TEST_F(ProcessHostTest, ANewAgentEndsWhatAKilledShimLeft) {
  use_cgroups_ = false;
  Revive();
  Start({"sh", "-c", "sleep 1000 & echo left $!; sleep 1000"});
  ASSERT_TRUE(Next<ReplicaStarted>());
  ASSERT_TRUE(Until([&] { return Log().find("left ") != std::string::npos; }));
  const std::string log = Log();
  const pid_t left = std::stoi(log.substr(log.find("left ") + 5));
  const auto pids = ReplicaDir(dir_, kId).ReadPids();
  ASSERT_TRUE(pids);
  host_.reset();
  kill(pids->shim.pid, SIGKILL);
  waitpid(pids->shim.pid, nullptr, 0);
  ASSERT_GT(StartTimeOf(left), 0u);
  Revive();
  EXPECT_FALSE(host_->Scan().at(0).alive);
  EXPECT_TRUE(Until([&] { return StartTimeOf(left) == 0; }));
}

// After a reboot the number of a shim's session can be that of a daemon which forked twice.
TEST_F(ProcessHostTest, WhoeverHasTheNumberOfAnEarlierBootsSessionIsLeftAlone) {
  Start({"sh", "-c", "exit 0"});
  ASSERT_TRUE(Next<ReplicaExited>());
  host_.reset();
  const fs::path replica = ReplicaDir(dir_, kId).path();
  const std::string told = dir_ / "daemon";
  ASSERT_EQ(std::system(("setsid -w sh -c 'sleep 1000 & echo $! > " + told + "'").c_str()), 0);
  pid_t daemon = 0;
  ASSERT_TRUE(std::ifstream(told) >> daemon);
  const pid_t session = getsid(daemon);
  ASSERT_EQ(StartTimeOf(session), 0u) << "its leader has gone";
  fs::remove(replica / "exit");
  std::ofstream(replica / "pid") << session + 1 << " 7 " << session << " 7\n";
  pollfd end{OpenPidfd(daemon), POLLIN, 0};
  ASSERT_GE(end.fd, 0);
  Revive();
  EXPECT_FALSE(host_->Scan().at(0).alive);
  EXPECT_EQ(poll(&end, 1, 200), 0);
  close(end.fd);
  kill(daemon, SIGKILL);
}

}  // namespace
}  // namespace hs
