// Test only: a server on a real Unix socket with a backend made of memory, and clients good and bad.
//
// The server runs on a thread of its own: what belongs to the backend is touched by `OnLoop` once it started.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/view_fixture_test.h"
#include "runtime/http/client.h"
#include "runtime/http/server.h"

namespace hs {

class FakeBackend final : public ApiBackend {
 public:
  explicit FakeBackend(std::filesystem::path directory) : directory_(std::move(directory)) {
    view.self = view.controller = TestNode(1);
    Member self;
    self.id = TestNode(1);
    self.meta.Edit().name = "n1";
    Member other = self;
    other.id = TestNode(2);
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
      view.reports[TestNode(node)] = std::make_shared<const RecordBody>(report);
    }
  }

  NodeView View() override { return view; }
  void Write(std::vector<std::pair<std::string, DocumentBody>> documents,
             std::function<void(Result<Stamp>)> done) override {
    written = std::move(documents);
    if (write_error) {
      done(std::unexpected(*write_error));
    } else if (!never_answer) {
      done(Stamp{5, 1, TestNode(1)});
    }
  }
  Result<Who> Authorize(std::string_view token) override {
    if (token != "good") return Fail(Reaction::kRefuse, "this token has expired");
    return Who{"good", true};
  }
  Result<std::string> JoinToken() override { return "hs1.join"; }
  void CreateToken(const CreateTokenCommand&, std::function<void(Result<MadeToken>)> done) override {
    done(MadeToken{"id1", "hs1.new"});
  }
  void Leave(bool at_once) override { left = at_once ? "at once" : "drained"; }
  std::optional<std::filesystem::path> BundleFile(Digest digest) override {
    const auto path = directory_ / digest.Hex();
    return std::filesystem::exists(path) ? std::optional(path) : std::nullopt;
  }
  std::filesystem::path UploadPath(Digest digest) override {
    return (upload_dir.empty() ? directory_ : upload_dir) / ("upload-" + digest.Short());
  }
  void AdoptBundle(Digest digest, std::filesystem::path file,
                   std::function<void(Result<void>)> done) override {
    if (adopt_error) {
      std::filesystem::remove(file);
      return done(std::unexpected(*adopt_error));
    }
    std::filesystem::rename(file, directory_ / digest.Hex());
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
  std::filesystem::path upload_dir;
  std::string fetched;
  std::string fetch_says;
  std::shared_ptr<ByteSink> kept;
  std::shared_ptr<LogSink> follower;
  std::atomic<bool> gone = false;

 private:
  std::filesystem::path directory_;
};

class HttpFixture : public testing::Test {
 protected:
  HttpFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hs-http-XXXXXX").string();
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
  ~HttpFixture() override {
    if (thread_.joinable()) {
      OnLoop([this] {
        server_.reset();
        backend_->follower.reset();
      });
      work_.reset();
      thread_.join();
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
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
  // Whether the server ends the conversation before the client loses patience.
  static bool ServerCloses(int fd) {
    char piece[4096];
    ssize_t n = 1;
    while (n > 0) n = ::recv(fd, piece, sizeof(piece), 0);
    return n == 0;
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
    for (const auto& entry : std::filesystem::directory_iterator(directory_))
      count += entry.path().filename().string().starts_with(prefix);
    return count;
  }

  std::filesystem::path directory_, socket_;
  HttpLimits limits_;
  std::unique_ptr<FakeBackend> backend_;
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{loop_.get_executor()};
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

}  // namespace hs
