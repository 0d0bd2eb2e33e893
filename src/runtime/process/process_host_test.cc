// On real processes, each test in a directory of its own; whatever a test started is killed when it ends.
#include "runtime/process/process_host.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <fstream>
#include <thread>

#include "runtime/process/cgroup.h"
#include "runtime/process/file_limit.h"
#include "runtime/process/log_reader.h"
#include "runtime/process/proc_tree.h"
#include "runtime/process/spawn.h"

namespace hs {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

constexpr ReplicaId kId{0xabc1};
constexpr auto kPatience = std::chrono::seconds(20);

// Two fields are enough here; the real form is wire's.
std::string Encode(const ServiceSpec& spec) {
  std::string text = spec.name;
  for (const std::string& word : spec.command) text += '\0' + word;
  return text;
}
Result<ServiceSpec> Decode(std::string_view text) {
  if (text.empty()) return BadInput("empty");
  ServiceSpec spec;
  spec.name = text.substr(0, text.find('\0'));
  for (std::size_t at; (at = text.find('\0')) != std::string_view::npos;) {
    text.remove_prefix(at + 1);
    spec.command.emplace_back(text.substr(0, text.find('\0')));
  }
  return spec;
}

class ProcessHostTest : public ::testing::Test {
 protected:
  ProcessHostTest() {
    std::string pattern = (fs::temp_directory_path() / "hs_process_XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    Revive();
  }
  ~ProcessHostTest() override {
    host_.reset();
    std::error_code error;
    std::vector<fs::path> groups;
    for (const auto& entry : fs::directory_iterator(dir_ / "replicas", error)) {
      const std::string name = entry.path().filename();
      if (name.size() != 16) continue;
      const auto id = std::stoull(name, nullptr, 16);
      const ReplicaDir replica(dir_, ReplicaId{id});
      const auto pids = replica.ReadPids();
      groups.push_back(replica.ReadCgroup());
      if (!pids || !IsAlive(pids->shim)) continue;
      KillDescendants(pids->shim.pid, 0);
      for (int i = 0; i < 1000 && IsAlive(pids->shim); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (IsAlive(pids->shim)) kill(pids->shim.pid, SIGKILL);
    }
    for (const fs::path& group : groups) {
      CgroupTree::Remove(group);
      CgroupTree::Remove(group.parent_path());
    }
    fs::remove_all(dir_, error);
  }

  // A new agent over the same directory; the old one vanishes without a word.
  void Revive() {
    host_.reset();
    ProcessHostOptions options;
    options.data_dir = dir_;
    options.shim = HS_SHIM;
    options.node.bytes[0] = 0x5a;
    options.node.bytes[1] = static_cast<std::uint8_t>(getpid());
    options.node.bytes[2] = static_cast<std::uint8_t>(getpid() >> 8);
    options.node_name = "box";
    options.advertised = IpAddress::V4(127, 0, 0, 77);
    options.door_url = "http://127.0.0.77:8080";
    options.encode_spec = Encode;
    options.reachable = [this](const std::string& service) { return service != unreachable_; };
    options.decode_spec = Decode;
    options.unpack = [](const Digest&, const fs::path& into) -> Result<void> {
      std::ofstream(into / "content") << "unpacked";
      return {};
    };
    options.use_cgroups = use_cgroups_;
    options.open_files = open_files_;
    host_ = std::make_unique<ProcessHost>(io_, options,
                                          [this](Input input) { inputs_.push_back(std::move(input)); });
  }

  template <typename Condition>
  bool Until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_for(std::chrono::milliseconds(10));
    }
    return true;
  }
  // The next report of this kind, taken out.
  template <typename T>
  std::optional<T> Next() {
    std::optional<T> found;
    Until([&] {
      for (auto it = inputs_.begin(); it != inputs_.end(); ++it) {
        if (const T* report = std::get_if<T>(&*it)) {
          found = *report;
          inputs_.erase(it);
          return true;
        }
      }
      return false;
    });
    return found;
  }
  void Start(std::vector<std::string> command, Digest bundle = {}) {
    ServiceSpec spec;
    spec.name = "web";
    spec.command = std::move(command);
    spec.bundle = bundle;
    host_->Start({kId, std::make_shared<const ServiceSpec>(spec), 0});
  }
  std::string Log() {
    std::string all;
    for (const std::string& line : ReadLog(host_->LogDir(kId), 10'000)) all += line.substr(25) + "\n";
    return all;
  }

  bool use_cgroups_ = true;
  std::uint64_t open_files_ = 0;
  fs::path dir_;
  boost::asio::io_context io_;
  std::vector<Input> inputs_;
  std::string unreachable_;  // the service that requests do not reach
  std::unique_ptr<ProcessHost> host_;
};

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
  EXPECT_TRUE(Fd(ReplicaDir(dir_, kId).TakeLock())) << "its shim is gone";
  Start({"sleep", "1000"});
  EXPECT_TRUE(Next<ReplicaStarted>());
}

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
