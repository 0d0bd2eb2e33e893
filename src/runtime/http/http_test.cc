// Requests and their answers over a real Unix socket. Streams are in http_stream_test.cc, bad clients in
// http_hostile_test.cc.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <fstream>

#include "base/prng.h"
#include "runtime/http/http_fixture_test.h"

namespace hs {
namespace {

using HttpTest = HttpFixture;

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

TEST_F(HttpTest, OneConnectionServesManyRequests) {
  Start();
  const auto answer = Converse(
      "GET /livez HTTP/1.1\r\n\r\nHEAD /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\nConnection: "
      "close\r\n\r\n");
  std::size_t count = 0;
  for (auto at = answer.find("200 OK"); at != std::string::npos; at = answer.find("200 OK", at + 1)) ++count;
  EXPECT_EQ(count, 3u) << answer;
}

TEST_F(HttpTest, ThePastIsReadFromTheBackend) {
  Start();
  const auto reply = Ask("GET", "/v1/history?series=node.cpu_cores&since=7");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "{\"since\":7}");
}

TEST_F(HttpTest, TheControllerIsAskedWhatEverybodysLoadIs) {
  backend_->view.controller = TestNode(2);
  backend_->fetch_says = "{\"by\":\"n2\"}";
  Start();
  const auto reply = Ask("GET", "/v1/top");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "{\"by\":\"n2\"}");
  EXPECT_EQ(backend_->fetched, TestNode(2).Short() + "/v1/top?local=1");
}

TEST_F(HttpTest, OnesOwnLoadIsShownWhenTheControllerDoesNotAnswer) {
  limits_.ask_wait = 50ms;
  backend_->view.controller = TestNode(2);
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

TEST_F(HttpTest, ASocketFileLeftBehindIsReplacedAndALivingOneIsNot) {
  Start();
  HttpServer second(loop_.get_executor(), *backend_);
  EXPECT_FALSE(second.ListenUnix(socket_));
  OnLoop([&] { server_->Stop(); });
  EXPECT_FALSE(std::filesystem::exists(socket_));
  std::ofstream(socket_) << "stale";
  OnLoop([&] { EXPECT_TRUE(second.ListenUnix(socket_)); });
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
  OnLoop([&] { second.Stop(); });
}

TEST_F(HttpTest, ASocketFileThatSomebodyRemovedIsMadeAgain) {
  Start();
  std::filesystem::remove(socket_);
  EXPECT_FALSE(Ask("GET", "/livez"));
  OnLoop([&] { EXPECT_TRUE(server_->KeepUnix().value()); });
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
  OnLoop([&] { EXPECT_FALSE(server_->KeepUnix().value()); });
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
}

TEST_F(HttpTest, WhenNoAgentAnswersTheErrorSaysWhatToDo) {
  const auto reply = Ask("GET", "/livez");
  ASSERT_FALSE(reply);
  EXPECT_NE(reply.error().message.find("homeostat up"), std::string::npos) << reply.error().message;
}

TEST_F(HttpTest, WhoWaitsForAStoppedAgentIsTold) {
  const boost::asio::local::stream_protocol::acceptor stopped(loop_, socket_.string());  // accepts nothing
  int told = 0;
  HttpCall call{.target = "/livez", .silence_max = 300ms, .on_slow = [&] { ++told; }, .slow_after = 50ms};
  EXPECT_NE(CallHttp(UnixTarget{socket_}, call).error().message.find("no answer in time"), std::string::npos);
  EXPECT_EQ(told, 1);
}

TEST(Client, ANetworkTargetNeedsATokenThatIsOne) {
  const TlsTarget without{*Endpoint::Parse("127.0.0.1:1"), "", false};
  EXPECT_NE(CallHttp(without, {}).error().message.find("HOMEOSTAT_TOKEN"), std::string::npos);
  const TlsTarget garbage{*Endpoint::Parse("127.0.0.1:1"), "garbage", false};
  EXPECT_NE(CallHttp(garbage, {}).error().message.find("HOMEOSTAT_TOKEN"), std::string::npos);
}

}  // namespace
}  // namespace hs
