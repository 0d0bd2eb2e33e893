// What a replica gets, what it says, and how it is asked. How it ends, and what a new agent finds of it, is
// in process_ends_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "runtime/process/file_limit.h"
#include "runtime/process/log_reader.h"
#include "runtime/process/process_fixture_test.h"
#include "runtime/process/spawn.h"

namespace hs {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(ProcessHostTest, KeepsOutputAndExitCode) {
  Start({"sh", "-c", "echo out; echo err >&2; printf tail; exit 3"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  EXPECT_EQ(started->address.ip.ToString(), "127.0.0.77");
  EXPECT_GE(started->address.port, 10'000);
  EXPECT_LT(started->address.port, 32'000);
  const auto exited = Next<ReplicaExited>();
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->exit_code, 3);
  EXPECT_EQ(exited->term_signal, 0);
  EXPECT_THAT(Log(), HasSubstr("o out\n"));
  EXPECT_THAT(Log(), HasSubstr("e err\n"));
  EXPECT_THAT(Log(), HasSubstr("o tail\n"));
}

TEST_F(ProcessHostTest, WhenMemoryRunsOutAReplicaIsToGoBeforeTheAgent) {
  Start({"sh", "-c", "cat /proc/self/oom_score_adj"});
  ASSERT_TRUE(Next<ReplicaExited>());
  EXPECT_THAT(Log(), HasSubstr("o 500\n"));
}

TEST_F(ProcessHostTest, GivesACleanEnvironmentAndSubstitutes) {
  setenv("LEAKED", "secret", 1);
  Start({"sh", "-c", "env; echo word=${PORT} shell=${UNSET:-kept}; ls /proc/self/fd; pwd"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  ASSERT_TRUE(Next<ReplicaExited>());
  const std::string port = std::to_string(started->address.port);
  EXPECT_THAT(Log(), HasSubstr("o PORT=" + port + "\n"));
  EXPECT_THAT(Log(), HasSubstr("o HOST=127.0.0.77\n"));
  EXPECT_THAT(Log(), HasSubstr("o HOMEOSTAT_DOOR=http://127.0.0.77:8080\n"));
  EXPECT_THAT(Log(), HasSubstr("o HOMEOSTAT_NODE=box\n"));
  EXPECT_THAT(Log(), HasSubstr("o word=" + port + " shell=kept\n"));
  EXPECT_THAT(Log(), HasSubstr("/work\n"));
  EXPECT_EQ(Log().find("LEAKED"), std::string::npos);
  EXPECT_THAT(Log(), HasSubstr("o 3\n"));  // ls's own; anything above would have leaked
  EXPECT_EQ(Log().find("o 4\n"), std::string::npos);
}

TEST_F(ProcessHostTest, TheAgentMayOpenMoreFilesThanAReplicaWhichGetsWhatTheUserGave) {
  rlimit before{}, raised{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit usual{500, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  open_files_ = RaiseFileLimit();
  EXPECT_EQ(open_files_, 500u);
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &raised), 0);
  EXPECT_EQ(raised.rlim_cur, std::min<rlim_t>(before.rlim_max, 65536));
  EXPECT_EQ(raised.rlim_max, before.rlim_max);
  Revive();
  Start({"sh", "-c", "echo soft $(ulimit -Sn) hard $(ulimit -Hn) told $HOMEOSTAT_FILES.; sleep 1000"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  HealthCheck check;
  check.kind = HealthKind::kCommand;
  check.timeout = 5s;
  check.command = {"sh", "-c", "exit $(ulimit -Sn | cut -c1-2)"};
  host_->Probe({kId, 1, check, started->address});
  const auto result = Next<ProbeResult>();
  ASSERT_TRUE(result);
  EXPECT_THAT(result->detail, HasSubstr("exit code 50"));
  const std::string hard = before.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(before.rlim_max);
  EXPECT_TRUE(Until([&] { return Log() == "o soft 500 hard " + hard + " told .\n"; })) << Log();
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(ProcessHostTest, SaysWhyAProgramCannotBeRun) {
  Start({"no-such-program-anywhere"});
  const auto failed = Next<ReplicaStartFailed>();
  ASSERT_TRUE(failed);
  EXPECT_THAT(failed->reason, HasSubstr("no-such-program-anywhere: No such file or directory"));
  Start({"sh", "-c", "exit 0"});
  EXPECT_TRUE(Next<ReplicaStarted>()) << "and it can be started again afterwards";
  EXPECT_TRUE(Next<ReplicaExited>());
}

TEST_F(ProcessHostTest, RefusesToStartWhatRuns) {
  Start({"sleep", "1000"});
  ASSERT_TRUE(Next<ReplicaStarted>());
  Start({"sleep", "1000"});
  ASSERT_TRUE(Next<ReplicaStartFailed>());
  Revive();  // not scanned: it does not know, but the lock does
  Start({"sleep", "1000"});
  const auto failed = Next<ReplicaStartFailed>();
  ASSERT_TRUE(failed);
  EXPECT_THAT(failed->reason, HasSubstr("lock"));
}

// From here on this thread, and what it starts, gets no pidfd, as when descriptors are short.
bool RefusePidfds() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(rules), rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(ProcessHostTest, WhatCannotBeWatchedDoesNotRunUnseen) {
  std::thread([&] {
    ASSERT_TRUE(RefusePidfds());
    Start({"sleep", "1000"});
    const auto failed = Next<ReplicaStartFailed>();
    ASSERT_TRUE(failed);
    EXPECT_THAT(failed->reason, HasSubstr("cannot be watched: Too many open files"));
  }).join();
  // What the shim had forked goes a moment after it.
  EXPECT_TRUE(Until([&] { return bool(Fd(ReplicaDir(dir_, kId).TakeLock())); })) << "its shim is gone";
  Start({"sleep", "1000"});
  EXPECT_TRUE(Next<ReplicaStarted>());
}

TEST_F(ProcessHostTest, ForgettingKeepsTheOutputAlone) {
  Start({"sh", "-c", "echo last words"});
  ASSERT_TRUE(Next<ReplicaExited>());
  host_->Forget({kId});
  EXPECT_TRUE(Until([&] { return !fs::exists(dir_ / "replicas" / "000000000000abc1"); }));
  EXPECT_THAT(Log(), HasSubstr("o last words\n"));
  EXPECT_THAT(host_->Scan(), IsEmpty());
}

TEST_F(ProcessHostTest, UnpacksTheBundleIntoItsWorkingDirectory) {
  Digest bundle;
  bundle.bytes[0] = 1;
  Start({"cat", "content"}, bundle);
  ASSERT_TRUE(Next<ReplicaExited>());
  EXPECT_THAT(Log(), HasSubstr("o unpacked\n"));
}

TEST_F(ProcessHostTest, APortTakenByAnotherIsReplaced) {
  Start({"sh", "-c", "exit 0"});
  const auto first = Next<ReplicaStarted>();
  ASSERT_TRUE(first);
  ASSERT_TRUE(Next<ReplicaExited>());
  Start({"sh", "-c", "exit 0"});
  const auto again = Next<ReplicaStarted>();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->address, first->address) << "kept while it is free";
  ASSERT_TRUE(Next<ReplicaExited>());
  const int thief = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(first->address.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(thief, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  Start({"sh", "-c", "exit 0"});
  const auto moved = Next<ReplicaStarted>();
  close(thief);
  ASSERT_TRUE(moved);
  EXPECT_NE(moved->address.port, first->address.port);
  EXPECT_TRUE(Next<ReplicaExited>());
}

TEST_F(ProcessHostTest, RotatesLongOutputAndFollowersLoseNothing) {
  Start({"sh", "-c",
         "i=0; while [ $i -lt 12 ]; do head -c 1000000 /dev/zero | tr '\\0' x | fold -w 99; i=$((i+1)); "
         "done; echo; echo end"});
  LogMark mark;
  std::size_t bytes = 0;
  std::string last;
  ASSERT_TRUE(Until([&] {
    for (const std::string& line : ReadLogAfter(host_->LogDir(kId), mark)) {
      bytes += line.size() - 27;
      last = line;
    }
    return last.ends_with("o end");
  }));
  EXPECT_EQ(bytes, 12'000'000u + 3);
  EXPECT_TRUE(fs::exists(host_->LogDir(kId) / "out.log.1"));
  EXPECT_LE(fs::file_size(host_->LogDir(kId) / "out.log.1"), 10'100'000u);
  EXPECT_THAT(ReadLog(host_->LogDir(kId), 1).at(0), EndsWith("o end"));
  ASSERT_TRUE(Next<ReplicaExited>());
}

TEST_F(ProcessHostTest, CutsEndlessLinesAndKeepsEveryByte) {
  Start({"sh", "-c", "head -c 40000 /dev/zero"});
  ASSERT_TRUE(Next<ReplicaExited>());
  const auto lines = ReadLog(host_->LogDir(kId), 10);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].size(), 27u + 16 * 1024);
  EXPECT_EQ(lines[0].size() + lines[1].size() + lines[2].size(), 3 * 27u + 40'000);
}

TEST_F(ProcessHostTest, AFullDiskDropsOutputAndBlocksNobody) {
  fs::create_directories(dir_ / "replicas" / "000000000000abc1");
  fs::create_symlink("/dev/full", dir_ / "replicas" / "000000000000abc1" / "out.log");
  Start({"sh", "-c", "head -c 3000000 /dev/zero; exit 6"});
  const auto exited = Next<ReplicaExited>();
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->exit_code, 6);
}

TEST_F(ProcessHostTest, TheShimStaysUnderOneMegabyte) {
  Start({"sh", "-c", "head -c 3000000 /dev/zero | fold; echo; echo done; sleep 1000"});
  ASSERT_TRUE(Next<ReplicaStarted>());
  ASSERT_TRUE(Until([&] {
    return !ReadLog(host_->LogDir(kId), 1).empty() && ReadLog(host_->LogDir(kId), 1)[0].ends_with("o done");
  }));
  std::ifstream status("/proc/" + std::to_string(ReplicaDir(dir_, kId).ReadPids()->shim.pid) + "/status");
  std::size_t resident_kb = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) resident_kb = std::stoul(line.substr(6));
  }
  EXPECT_GT(resident_kb, 0u);
  EXPECT_LT(resident_kb, 1000u);
}

TEST_F(ProcessHostTest, AReplicaIsHealthyOnlyOnceRequestsReachIt) {
  unreachable_ = "web";
  Start({"sleep", "1000"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  HealthCheck check;
  check.kind = HealthKind::kCommand;
  check.command = {"true"};
  check.timeout = 5s;
  const auto probe = [&] {
    host_->Probe({kId, 1, check, started->address});
    return Next<ProbeResult>();
  };
  auto result = probe();
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->healthy);
  EXPECT_THAT(result->detail, HasSubstr("does not serve it yet"));
  unreachable_.clear();
  result = probe();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->healthy) << result->detail;
  unreachable_ = "web";  // HAProxy is started again, say: what served once is not held back any more
  result = probe();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->healthy) << result->detail;
}

TEST_F(ProcessHostTest, ProbesByTcpHttpAndCommand) {
  Start({"python3", "-c",
         "import http.server,os\n"
         "http.server.HTTPServer(('127.0.0.1',int(os.environ['PORT'])),"
         "http.server.SimpleHTTPRequestHandler).serve_forever()"});
  const auto started = Next<ReplicaStarted>();
  ASSERT_TRUE(started);
  HealthCheck check;
  check.kind = HealthKind::kTcp;
  std::uint64_t number = 0;
  std::optional<ProbeResult> result;
  ASSERT_TRUE(Until([&] {
    host_->Probe({kId, ++number, check, started->address});
    result = Next<ProbeResult>();
    return !result || result->healthy;
  })) << result->detail
      << Log();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->probe, number);
  EXPECT_EQ(result->address.ip.ToString(), "127.0.0.1") << "it listens on loopback only";
  check.kind = HealthKind::kHttp;
  for (const auto& [path, healthy] : {std::pair("/", true), std::pair("/none", false)}) {
    check.path = path;
    host_->Probe({kId, 1, check, started->address});
    result = Next<ProbeResult>();
    ASSERT_TRUE(result);
    EXPECT_EQ(result->healthy, healthy) << path << ": " << result->detail;
  }
  EXPECT_THAT(result->detail, HasSubstr("answered 404"));
  check.kind = HealthKind::kCommand;
  check.timeout = 5s;
  for (const auto& [command, healthy] :
       {std::pair("test \"$HOMEOSTAT_SERVICE\" = web", true), std::pair("exit 7", false)}) {
    check.command = {"sh", "-c", command};
    host_->Probe({kId, 1, check, started->address});
    result = Next<ProbeResult>();
    ASSERT_TRUE(result);
    EXPECT_EQ(result->healthy, healthy) << command << ": " << result->detail;
  }
  EXPECT_THAT(result->detail, HasSubstr("exit code 7"));
  check.timeout = 100ms;
  check.command = {"sleep", "1000"};
  host_->Probe({kId, 1, check, started->address});
  result = Next<ProbeResult>();
  ASSERT_TRUE(result);
  EXPECT_THAT(result->detail, HasSubstr("not done within 100 ms"));
}

}  // namespace
}  // namespace hs
