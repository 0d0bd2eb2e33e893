// The server over a real Unix socket with a backend made of memory: what it does to clients good and bad.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "base/prng.h"
#include "runtime/http/client.h"
#include "runtime/http/log_merge.h"
#include "runtime/http/server.h"

namespace hs {
namespace {

namespace fs = std::filesystem;

NodeId Node(std::uint8_t number) {
  NodeId id;
  id.bytes.fill(number);
  return id;
}

class FakeBackend final : public ApiBackend {
 public:
  explicit FakeBackend(fs::path directory) : directory_(std::move(directory)) {
    view.self = view.controller = Node(1);
    Member self;
    self.id = Node(1);
    self.meta.Edit().name = "n1";
    Member other = self;
    other.id = Node(2);
    other.meta.Edit().name = "n2";
    view.members = {self, other};
    DesiredService web;
    web.spec.name = "web";
    view.services = {web};
    for (std::uint8_t node : {1, 2}) {
      NodeReport report;
      ReplicaStatus status;
      status.id = ReplicaId{std::uint64_t{node} << 32};
      status.service = "web";
      report.replicas = {status};
      view.reports[Node(node)] = std::make_shared<const RecordBody>(report);
    }
  }

  NodeView View() override { return view; }
  void Write(std::vector<std::pair<std::string, DocumentBody>> documents,
             std::function<void(Result<Stamp>)> done) override {
    written = std::move(documents);
    if (write_error) {
      done(std::unexpected(*write_error));
    } else if (!never_answer) {
      done(Stamp{5, 1, Node(1)});
    }
  }
  std::optional<Who> Authorize(std::string_view token) override {
    if (token != "good") return std::nullopt;
    return Who{"good", true};
  }
  Result<std::string> JoinToken() override { return "hs1.join"; }
  void CreateToken(const CreateTokenCommand&, std::function<void(Result<MadeToken>)> done) override {
    done(MadeToken{"id1", "hs1.new"});
  }
  void Leave(bool at_once) override { left = at_once ? "at once" : "drained"; }
  std::optional<fs::path> BundleFile(Digest digest) override {
    const auto path = directory_ / digest.Hex();
    return fs::exists(path) ? std::optional(path) : std::nullopt;
  }
  fs::path UploadDir() override { return upload_dir.empty() ? directory_ : upload_dir; }
  void AdoptBundle(Digest digest, fs::path file, std::function<void(Result<void>)> done) override {
    if (adopt_error) {
      fs::remove(file);
      return done(std::unexpected(*adopt_error));
    }
    fs::rename(file, directory_ / digest.Hex());
    done({});
  }
  ApiResponse ReadHistory(const ReadHistoryCommand& command) override {
    return {200, "{\"since\":" + std::to_string(command.since_s) + "}", "application/json"};
  }
  void ReadLogs(const LogQuery& query, std::shared_ptr<LogSink> sink) override {
    sink->Line(10, "first of n1");
    sink->Line(30, "third of n1");
    if (!query.follow) return sink->End();
    follower = std::move(sink);
    follower->OnGone([this] { gone = true; });
  }
  void FetchFrom(NodeId node, std::string target, std::shared_ptr<ByteSink> sink) override {
    fetched = node.Short() + target;
    if (target.starts_with("/v1/top")) {
      if (!fetch_says.empty()) sink->Write(fetch_says);
      if (never_answer) {
        kept = std::move(sink);
        return;
      }
      return sink->End();
    }
    sink->Write(R"({"at_ms":20,"replica":"web-00000002","line":"second,)");
    sink->Write(" of n2\"}\nthis is no line\n");
    sink->End();
  }

  NodeView view;
  std::vector<std::pair<std::string, DocumentBody>> written;
  std::optional<Error> write_error, adopt_error;
  std::string left;
  bool never_answer = false;
  fs::path upload_dir;
  std::string fetched;
  std::string fetch_says;
  std::shared_ptr<ByteSink> kept;
  std::shared_ptr<LogSink> follower;
  std::atomic<bool> gone = false;

 private:
  fs::path directory_;
};

class HttpTest : public testing::Test {
 protected:
  HttpTest() {
    std::string pattern = (fs::temp_directory_path() / "hs-http-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    socket_ = directory_ / "api.sock";
    backend_ = std::make_unique<FakeBackend>(directory_);
    limits_.header_wait = 500ms;
    limits_.progress_wait = 500ms;
    limits_.write_wait = 300ms;
    limits_.heartbeat = 50ms;
    limits_.event_poll = 10ms;
    limits_.bundle_bytes = 1 << 20;
    limits_.connections = 4;
  }
  ~HttpTest() override {
    if (thread_.joinable()) {
      OnLoop([this] {
        server_.reset();
        backend_->follower.reset();
      });
      work_.reset();
      thread_.join();
    }
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }

  void Start() {
    server_ = std::make_unique<HttpServer>(loop_.get_executor(), *backend_, limits_);
    const auto listening = server_->ListenUnix(socket_);
    ASSERT_TRUE(listening) << listening.error().message;
    thread_ = std::thread([this] { loop_.run(); });
  }
  template <typename Function>
  void OnLoop(Function function) {
    std::promise<void> done;
    boost::asio::post(loop_, [&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }

  int Connect() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    timeval patience{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  // Sends the bytes and reads until the server closes.
  std::string Converse(const std::string& bytes) {
    const int fd = Connect();
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const auto n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    std::string answer = ReadAll(fd);
    ::close(fd);
    return answer;
  }
  static std::string ReadAll(int fd) {
    std::string answer;
    char piece[4096];
    for (ssize_t n = ::recv(fd, piece, sizeof(piece), 0); n > 0; n = ::recv(fd, piece, sizeof(piece), 0)) {
      answer.append(piece, static_cast<std::size_t>(n));
    }
    return answer;
  }
  Result<HttpReply> Ask(const std::string& method, const std::string& target, const std::string& body = "") {
    HttpCall call;
    call.method = method;
    call.target = target;
    call.body = body;
    return CallHttp(UnixTarget{socket_}, call);
  }
  std::size_t FilesNamed(const std::string& prefix) {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(directory_))
      count += entry.path().filename().string().starts_with(prefix);
    return count;
  }

  fs::path directory_, socket_;
  HttpLimits limits_;
  std::unique_ptr<FakeBackend> backend_;
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{loop_.get_executor()};
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpTest, ThePastIsReadFromTheBackend) {
  Start();
  const auto reply = Ask("GET", "/v1/history?series=node.cpu_cores&since=7");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "{\"since\":7}");
}

TEST_F(HttpTest, TheControllerIsAskedWhatEverybodysLoadIs) {
  backend_->view.controller = Node(2);
  backend_->fetch_says = "{\"by\":\"n2\"}";
  Start();
  const auto reply = Ask("GET", "/v1/top");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "{\"by\":\"n2\"}");
  EXPECT_EQ(backend_->fetched, Node(2).Short() + "/v1/top?local=1");
}

TEST_F(HttpTest, OnesOwnLoadIsShownWhenTheControllerDoesNotAnswer) {
  limits_.ask_wait = 50ms;
  backend_->view.controller = Node(2);
  Start();
  struct {
    const char* why;
    std::string says;
    bool silent;
  } table[] = {{"it ends without a word", "", false},
               {"it is cut off", "{\"by\":\"n2\",\"clu", false},
               {"it never ends", "{\"by\":\"n2\"}", true}};
  for (const auto& row : table) {
    OnLoop([&] {
      backend_->fetch_says = row.says;
      backend_->never_answer = row.silent;
    });
    const auto reply = Ask("GET", "/v1/top");
    ASSERT_TRUE(reply) << row.why;
    EXPECT_EQ(reply->status, 200) << row.why;
    EXPECT_NE(reply->body.find("\"by\":\"n1\""), std::string::npos) << row.why << reply->body;
  }
  OnLoop([&] { backend_->kept.reset(); });
}

TEST_F(HttpTest, TheBoxesOwnUserIsServedWithoutAToken) {
  Start();
  struct stat info {};
  ASSERT_EQ(::stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto reply = Ask("GET", "/v1/nodes");
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 200);
  EXPECT_NE(reply->body.find("\"name\":\"n1\""), std::string::npos);
}

TEST_F(HttpTest, AWriteIsAnsweredWithItsStampAndItsErrorWithItsReason) {
  Start();
  const auto reply = Ask("PUT", "/v1/services/web/scale", "{\"replicas\":3}");
  EXPECT_EQ(reply->status, 200);
  EXPECT_NE(reply->body.find("\"stamp\":\"5-1-"), std::string::npos) << reply->body;
  OnLoop([&] { backend_->write_error = Error{Reaction::kRetryLater, "no disk answered"}; });
  const auto refused = Ask("PUT", "/v1/services/web/scale", "{\"replicas\":3}");
  EXPECT_EQ(refused->status, 503);
  EXPECT_NE(refused->body.find("no disk answered"), std::string::npos);
}

TEST_F(HttpTest, AWriteThatNobodyAcknowledgesEndsInTime) {
  backend_->never_answer = true;
  Start();
  EXPECT_EQ(Ask("PUT", "/v1/services/web/scale", "{\"replicas\":3}")->status, 503);
}

TEST_F(HttpTest, ADeployWhoseBundleIsNowhereIsRefusedAndNothingIsWritten) {
  Start();
  const std::string digest(64, 'a');
  const std::string stack =
      R"({"name":"s","services":[{"name":"x","command":["x"],"bundle":")" + digest + "\"}]}";
  const auto refused = Ask("PUT", "/v1/stacks/s", stack);
  EXPECT_EQ(refused->status, 409) << refused->body;
  OnLoop([&] { EXPECT_TRUE(backend_->written.empty()); });
  EXPECT_EQ(Ask("PUT", "/v1/bundles/" + digest, "bytes")->status, 200);
  EXPECT_EQ(Ask("PUT", "/v1/stacks/s", stack)->status, 200);
}

TEST_F(HttpTest, TokensAreAnswered) {
  Start();
  EXPECT_EQ(Ask("GET", "/v1/tokens/join")->body, R"({"token":"hs1.join"})");
  EXPECT_EQ(Ask("POST", "/v1/tokens", "{}")->body, R"({"id":"id1","token":"hs1.new"})");
}

struct Garbage {
  const char* why;
  std::string bytes;
  const char* status;
};

TEST_F(HttpTest, MalformedAndOversizedRequestsGetAReasonAndTheServerLives) {
  Start();
  const Garbage table[] = {
      {"no HTTP", "\x16\x03\x01\x02\x00\x01garbage\r\n\r\n", "400"},
      {"no version", "GET /v1/nodes\r\n\r\n", "400"},
      {"a header without a colon", "GET /v1/nodes HTTP/1.1\r\nnonsense\r\n\r\n", "400"},
      {"a length that is no number", "PUT /v1/stacks/s HTTP/1.1\r\nContent-Length: many\r\n\r\n", "400"},
      {"a header of 20 KiB", "GET /v1/nodes HTTP/1.1\r\nX: " + std::string(20 << 10, 'x') + "\r\n\r\n",
       "431"},
      {"a body said to be huge", "PUT /v1/stacks/s HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "413"},
      {"a chunked body that grows huge",
       "PUT /v1/stacks/s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n900000\r\n" +
           std::string(0x900000, 'x') + "\r\n0\r\n\r\n",
       "413"},
      {"a bundle said to be huge",
       "PUT /v1/bundles/" + std::string(64, 'b') + " HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", "413"},
      {"a bundle without a name", "PUT /v1/bundles/x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "400"},
      {"a target that is no path", "GET http://x HTTP/1.1\r\nConnection: close\r\n\r\n", "400"},
  };
  for (const auto& row : table) {
    const auto answer = Converse(row.bytes);
    EXPECT_EQ(answer.substr(0, 12), std::string("HTTP/1.1 ") + row.status)
        << row.why << ": " << answer.substr(0, 200);
    EXPECT_NE(answer.find("\"error\":{"), std::string::npos) << row.why;
    ASSERT_EQ(Ask("GET", "/livez")->status, 200) << row.why;
  }
}

TEST_F(HttpTest, RandomBytesNeverStopIt) {
  Start();
  Prng prng(11);
  for (int round = 0; round < 60; ++round) {
    std::string bytes =
        prng.Chance(0.5) ? "PUT /v1/stacks/s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" : "";
    for (auto n = prng.Below(300); n > 0; --n) bytes += static_cast<char>(prng.Next());
    bytes += "\r\n\r\n";
    Converse(bytes);
  }
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
}

TEST_F(HttpTest, ASlowClientIsCutOffAndItsPlaceFreed) {
  Start();
  const int slow_header = Connect();
  ASSERT_GT(::send(slow_header, "GET /v1", 7, MSG_NOSIGNAL), 0);
  const int slow_body = Connect();
  const std::string half = "PUT /v1/stacks/s HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf";
  ASSERT_GT(::send(slow_body, half.data(), half.size(), MSG_NOSIGNAL), 0);
  EXPECT_EQ(ReadAll(slow_header), "");  // returns when the server closes
  EXPECT_EQ(ReadAll(slow_body), "");
  ::close(slow_header);
  ::close(slow_body);
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
}

TEST_F(HttpTest, TooManyConnectionsAreClosedAtOnce) {
  Start();
  std::vector<int> open;
  for (int i = 0; i < 4; ++i) open.push_back(Connect());
  const int surplus = Connect();
  EXPECT_EQ(ReadAll(surplus), "");
  ::close(surplus);
  for (const int fd : open) ::close(fd);
}

TEST_F(HttpTest, OneConnectionServesManyRequests) {
  Start();
  const auto answer = Converse(
      "GET /livez HTTP/1.1\r\n\r\nHEAD /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\nConnection: "
      "close\r\n\r\n");
  std::size_t count = 0;
  for (auto at = answer.find("200 OK"); at != std::string::npos; at = answer.find("200 OK", at + 1)) ++count;
  EXPECT_EQ(count, 3u) << answer;
}

TEST_F(HttpTest, BundlesGoInAndOutByteForByte) {
  Start();
  const std::string target = "/v1/bundles/" + std::string(64, 'c');
  EXPECT_EQ(Ask("HEAD", target)->status, 404);
  std::string bytes;
  Prng prng(3);
  for (int i = 0; i < 300000; ++i) bytes += static_cast<char>(prng.Next());
  const auto file = directory_ / "outgoing";
  std::ofstream(file, std::ios::binary) << bytes;
  HttpCall call{.method = "PUT", .target = target, .body = {}, .body_file = file};
  EXPECT_EQ(CallHttp(UnixTarget{socket_}, call)->status, 200);
  EXPECT_EQ(Ask("HEAD", target)->status, 200);
  EXPECT_EQ(Ask("GET", target)->body, bytes);
  EXPECT_EQ(FilesNamed("upload-"), 0u);
}

TEST_F(HttpTest, ABundleThatIsCutShortOrWrongLeavesNothing) {
  backend_->adopt_error = Error{Reaction::kFixInput, "another digest"};
  Start();
  const std::string target = "/v1/bundles/" + std::string(64, 'd');
  EXPECT_EQ(Ask("PUT", target, "wrong")->status, 400);
  const int fd = Connect();
  const std::string half = "PUT " + target + " HTTP/1.1\r\nContent-Length: 1000\r\n\r\nhalf";
  ASSERT_GT(::send(fd, half.data(), half.size(), MSG_NOSIGNAL), 0);
  ::shutdown(fd, SHUT_WR);
  ReadAll(fd);
  ::close(fd);
  EXPECT_EQ(FilesNamed("upload-"), 0u);
  EXPECT_EQ(Ask("HEAD", target)->status, 404);
}

TEST_F(HttpTest, ABundleThatCannotBeWrittenIsRefused) {
  backend_->upload_dir = directory_ / "missing";
  Start();
  EXPECT_EQ(Ask("PUT", "/v1/bundles/" + std::string(64, 'e'), "bytes")->status, 507);
}

TEST_F(HttpTest, LogsOfAllNodesAreMergedByTimeAndCutToTheLastLines) {
  Start();
  const auto reply = Ask("GET", "/v1/logs/web?n=2");
  EXPECT_EQ(reply->body,
            "{\"at_ms\":20,\"replica\":\"web-00000002\",\"line\":\"second, of n2\"}\n"
            "{\"at_ms\":30,\"replica\":\"web-00000001\",\"line\":\"third of n1\"}\n");
  OnLoop([&] { EXPECT_EQ(backend_->fetched, "02020202/v1/logs/web-00000002?n=2&since_ms=0"); });
}

TEST_F(HttpTest, AFollowedLogGoesOnUntilTheReaderLeavesAndTheWriterIsTold) {
  Start();
  std::string got;
  HttpCall call;
  call.target = "/v1/logs/web-00000001?follow=1";
  const auto reply = StreamHttp(UnixTarget{socket_}, call, [&](std::string_view bytes) {
    got += bytes;
    if (got.find("third") != std::string::npos && got.find("later") == std::string::npos) {
      boost::asio::post(loop_, [this] { backend_->follower->Line(40, "later"); });
    }
    return got.find("later") == std::string::npos;
  });
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_NE(got.find("later"), std::string::npos);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!backend_->gone && std::chrono::steady_clock::now() < deadline) OnLoop([] {});
  EXPECT_TRUE(backend_->gone) << "heartbeats find out that nobody reads";
}

TEST_F(HttpTest, AReaderThatDoesNotReadMakesTheWriterPause) {
  Start();
  const int fd = Connect();
  const std::string ask = "GET /v1/logs/web-00000001?follow=1 HTTP/1.1\r\n\r\n";
  ASSERT_GT(::send(fd, ask.data(), ask.size(), MSG_NOSIGNAL), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  bool full = false;
  while (!full && std::chrono::steady_clock::now() < deadline) {
    OnLoop([&] {
      if (backend_->follower == nullptr) return;
      for (int i = 0; i < 100 && !backend_->follower->Full(); ++i)
        backend_->follower->Line(50, std::string(1000, 'x'));
      full = backend_->follower->Full();
    });
  }
  EXPECT_TRUE(full);
  while (!backend_->gone && std::chrono::steady_clock::now() < deadline) OnLoop([] {});
  EXPECT_TRUE(backend_->gone) << "after progress_wait without progress the reader is cut off";
  ::close(fd);
}

TEST_F(HttpTest, EventsStreamAsTheyHappen) {
  Start();
  std::string got;
  HttpCall call;
  call.target = "/v1/events?follow=1";
  std::atomic<bool> added = false;
  const auto reply = StreamHttp(UnixTarget{socket_}, call, [&](std::string_view bytes) {
    got += bytes;  // the heartbeat comes first
    if (!added.exchange(true)) {
      boost::asio::post(loop_, [this] {
        backend_->view.events.push_back(
            std::make_shared<const RecordBody>(Event{1, Node(1), "plan.start", "web", "because"}));
      });
    }
    return got.find("because") == std::string::npos;
  });
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_NE(got.find("data: {\"at_ms\":1,"), std::string::npos) << got;
}

TEST_F(HttpTest, ASocketFileLeftBehindIsReplacedAndALivingOneIsNot) {
  Start();
  HttpServer second(loop_.get_executor(), *backend_);
  EXPECT_FALSE(second.ListenUnix(socket_));
  OnLoop([&] { server_->Stop(); });
  EXPECT_FALSE(fs::exists(socket_));
  std::ofstream(socket_) << "stale";
  OnLoop([&] { EXPECT_TRUE(second.ListenUnix(socket_)); });
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
  OnLoop([&] { second.Stop(); });
}

TEST_F(HttpTest, WhenNoAgentAnswersTheErrorSaysWhatToDo) {
  const auto reply = Ask("GET", "/livez");
  ASSERT_FALSE(reply);
  EXPECT_NE(reply.error().message.find("homeostat up"), std::string::npos) << reply.error().message;
}

TEST(Client, ANetworkTargetNeedsATokenThatIsOne) {
  const TlsTarget without{*Endpoint::Parse("127.0.0.1:1"), "", false};
  EXPECT_NE(CallHttp(without, {}).error().message.find("HOMEOSTAT_TOKEN"), std::string::npos);
  const TlsTarget garbage{*Endpoint::Parse("127.0.0.1:1"), "garbage", false};
  EXPECT_NE(CallHttp(garbage, {}).error().message.find("HOMEOSTAT_TOKEN"), std::string::npos);
}

}  // namespace
}  // namespace hs
