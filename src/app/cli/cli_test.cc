#include "app/cli/cli.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "app/cli/context.h"
#include "app/cli/words.h"

namespace hs {
namespace {

struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

Outcome RunWords(std::vector<std::string> words) {
  words.insert(words.begin(), "homeostat");
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int exit_code = RunCli(static_cast<int>(argv.size()), argv.data());
  std::fflush(stdout);
  return {exit_code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

struct Mistake {
  std::vector<std::string> words;
  const char* says;
};

TEST(Cli, MistakesGetOneLineThatSaysWhatToDoAndExitCode1) {
  const Mistake table[] = {
      {{}, "--help"},
      {{"frobnicate"}, "--help"},
      {{"logs"}, "NAME"},
      {{"ls", "--frob"}, "--frob"},
      {{"scale", "web", "--data", "/nonexistent"}, "web=3"},
      {{"scale", "web=-1", "--data", "/nonexistent"}, "web=3"},
      {{"scale", "web=3x", "--data", "/nonexistent"}, "web=3"},
      {{"scale", "=3", "--data", "/nonexistent"}, "web=3"},
      {{"scale", "web=100001", "--data", "/nonexistent"}, "at most 100000"},
      {{"scale", "web=99999999999", "--data", "/nonexistent"}, "at most 100000"},
      {{"logs", "web", "--since", "yesterday"}, "2026-11-22T08:00:00"},
      {{"token", "create", "--ttl", "soon"}, "90s"},
      {{"token", "create", "--ttl", "0s"}, "ends at once"},
      {{"token", "create", "--ttl", ""}, "--ttl: '' is no span of time"},
      {{"token", "create", "--ttl="}, "--ttl"},
      {{"deploy", "-f", "/nonexistent/compose.yaml"}, "cannot read /nonexistent/compose.yaml"},
      {{"deploy", "-f", "/tmp"}, "/tmp is a directory; name the file in it: /tmp/compose.yaml"},
      {{"deploy", "--timeout", "soon"}, "--timeout"},
      {{"deploy", "/nonexistent/compose.yaml"}, "cannot read /nonexistent/compose.yaml"},
      {{"token", "revoke", ""}, "is empty"},
      {{"logs", ""}, "is empty"},
      {{"deploy", ""}, "is empty"},
      {{"help", "frobnicate"}, "no command 'frobnicate'"},
      {{"ls", "--data", "/nonexistent/homeostat"}, "homeostat up"},
      {{"--data", "/nonexistent/homeostat", "ls", "--json"}, "/nonexistent/homeostat/api.sock"},
      {{"ls", "--addr", "not an address"}, "--addr"},
      {{"ls", "--data", "/" + std::string(200, 'x')}, "too long"},
  };
  for (const auto& row : table) {
    const auto outcome = RunWords(row.words);
    EXPECT_EQ(outcome.exit_code, 1) << row.says;
    EXPECT_EQ(outcome.out, "") << row.says;
    EXPECT_EQ(outcome.err.find("homeostat: "), 0u) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(row.says), std::string::npos) << outcome.err;
  }
}

// Answers one request after another on a socket, each with the next of these answers.
class CannedNode {
 public:
  explicit CannedNode(std::vector<std::string> answers)
      : path_(testing::TempDir() + "canned." + std::to_string(::getpid()) + ".sock") {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    ::unlink(path_.c_str());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    thread_ = std::thread([this, answers] {
      for (const auto& answer : answers) {
        const int caller = ::accept(fd_, nullptr, nullptr);
        char request[4096];
        if (caller < 0 || ::read(caller, request, sizeof request) <= 0) return;
        EXPECT_EQ(::write(caller, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
        ::close(caller);
      }
    });
  }
  ~CannedNode() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::thread thread_;
};

std::string Http(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

TEST(Cli, TheJoinTokenIsWaitedForOnABoxThatJustJoined) {
  const std::string not_yet = Http("503 Service Unavailable", R"({"error":{"message":"not yet"}})");
  const CannedNode node({not_yet, not_yet, Http("200 OK", R"({"token":"hs1.x"})")});
  const auto outcome = RunWords({"token", "show", "--addr", node.path()});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "hs1.x\n");
}

TEST(Cli, TokensThatHaveEndedAreMarked) {
  const CannedNode node(
      {Http("200 OK",
            R"([{"id":"a","use":"api","expires_ms":1700000000000},)"
            R"({"id":"b","use":"join","expires_ms":0},{"id":"c","use":"api","expires_ms":4102444800000}])")});
  EXPECT_EQ(RunWords({"token", "ls", "--addr", node.path()}).out,
            "ID  USE   EXPIRES\n"
            "a   api   2023-11-14 22:13:20 UTC, expired\n"
            "b   join  never\n"
            "c   api   2100-01-01 00:00:00 UTC\n");
}

TEST(Cli, HelpNamesEveryVerb) {
  const auto outcome = RunWords({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const auto* verb : {"deploy", "ls", "ps", "nodes", "status", "logs", "events", "why", "scale", "rm",
                           "drain", "token", "inspect", "version"}) {
    EXPECT_NE(outcome.out.find(std::string("  ") + verb + " "), std::string::npos) << verb << outcome.out;
  }
}

TEST(Cli, HelpIsAVerbToo) {
  EXPECT_EQ(RunWords({"help"}).out, RunWords({"--help"}).out);
  EXPECT_EQ(RunWords({"help", "deploy"}).out, RunWords({"deploy", "--help"}).out);
  EXPECT_EQ(RunWords({"help", "quota", "set"}).out, RunWords({"quota", "set", "--help"}).out);
}

TEST(Cli, VersionNeedsNoNode) {
  EXPECT_EQ(RunWords({"version"}).out.find("homeostat "), 0u);
  EXPECT_EQ(RunWords({"--version"}).out, RunWords({"version"}).out);
  EXPECT_EQ(RunWords({"version", "--json"}).out.find("{\"version\":\""), 0u);
}

TEST(Target, TheMoreExplicitWins) {
  const auto socket = [](const CliOptions& options, const Environment& environment) {
    const auto target = TargetOf(options, environment);
    if (!target) return "error: " + target.error().message;
    if (const auto* local = std::get_if<UnixTarget>(&*target)) return local->socket.string();
    return std::get<TlsTarget>(*target).address.ToString() + " " + std::get<TlsTarget>(*target).token;
  };
  const Environment environment{{"HOMEOSTAT_ADDR", "10.0.0.1"}, {"HOMEOSTAT_TOKEN", "t"}};
  CliOptions options;
  EXPECT_EQ(socket(options, environment), "10.0.0.1:7700 t");
  EXPECT_EQ(socket(options, {{"HOMEOSTAT_ADDR", "garbage"}}).find("error: HOMEOSTAT_ADDR: 'garbage'"), 0U);
  options.data = "/d";
  EXPECT_EQ(socket(options, environment), "/d/api.sock");
  options.addr = "10.0.0.2:99";
  EXPECT_EQ(socket(options, environment), "10.0.0.2:99 t");
  options.addr = "/run/x.sock";
  EXPECT_EQ(socket(options, environment), "/run/x.sock");
  const std::string path = testing::TempDir() + "cli_test." + std::to_string(::getpid()) + ".sock";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  options.addr = std::filesystem::relative(path).string();
  EXPECT_EQ(socket(options, environment), options.addr);
  ::unlink(path.c_str());
  ::close(fd);
  EXPECT_EQ(DefaultDataDir({{"HOME", "/home/u"}}, false), "/home/u/.local/share/homeostat");
  EXPECT_EQ(DefaultDataDir({{"HOME", "/root"}}, true), "/var/lib/homeostat");
}

TEST(Times, SpansAndTimesAreRead) {
  EXPECT_EQ(*ParseSpan("90"), 90);
  EXPECT_EQ(*ParseSpan("15m"), 900);
  EXPECT_EQ(*ParseSpan("3d"), 259200);
  for (const auto* text : {"", "m", "-5s", "5y", "5 m", "99999999999999999999"})
    EXPECT_FALSE(ParseSpan(text)) << text;
  EXPECT_EQ(*ParseSince("10s", 60000), 50000);
  EXPECT_EQ(*ParseSince("10m", 60000), 0);
  EXPECT_EQ(*ParseSince("2026-11-22T08:00:00", 0), 1795334400000);
  EXPECT_FALSE(ParseSince("2026-11-22", 0));
}

TEST(Table, ColumnsAreAlignedByWhatIsSeenAndControlBytesAreNotPassedOn) {
  EXPECT_EQ(FormatTable({"NAME", "N"}, {{"é", "1"}, {"longer", "22"}}), "NAME    N\né       1\nlonger  22\n");
  EXPECT_EQ(FormatTable({"A", "B"}, {{"x", ""}}), "A  B\nx\n") << "nothing is padded at a line's end";
  EXPECT_EQ(FormatTable({"A"}, {{"x\033[2J"}}), "A\nx [2J\n");
}

TEST(Nodes, NamesakesAreToldApartAndTheDrainedAreMarked) {
  const auto rows =
      NodesForPeople(ParseBody(R"([{"id":"0a0b0c0d0e","name":"box","state":"dead","drained":false},)"
                               R"({"id":"1a1b1c1d1e","name":"box","state":"alive","drained":true},)"
                               R"({"id":"2a2b2c2d2e","name":"other","state":"left","drained":true}])"));
  EXPECT_EQ(json::serialize(rows),
            R"([{"id":"0a0b0c0d0e","name":"box 0a0b0c0d","state":"dead","drained":false},)"
            R"({"id":"1a1b1c1d1e","name":"box 1a1b1c1d","state":"alive, drained","drained":true},)"
            R"({"id":"2a2b2c2d2e","name":"other","state":"left","drained":true}])");
}

TEST(Encoding, PathsSurviveAnyName) { EXPECT_EQ(PercentEncode("a/b c?é"), "a%2Fb%20c%3F%C3%A9"); }

}  // namespace
}  // namespace hs
