// What the server does to clients that send garbage, are slow, or are too many.
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "api/view_fixture_test.h"
#include "base/prng.h"
#include "runtime/http/http_fixture_test.h"
#include "runtime/net/connection_shares.h"
#include "runtime/net/net_test_util.h"

namespace hs {
namespace {

using HttpHostileTest = HttpFixture;

struct Garbage {
  const char* why;
  std::string bytes;
  const char* status;
};

TEST_F(HttpHostileTest, MalformedAndOversizedRequestsGetAReasonAndTheServerLives) {
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

TEST_F(HttpHostileTest, RandomBytesNeverStopIt) {
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

TEST_F(HttpHostileTest, SlowClientsAreCutOffAndTheirPlacesFreed) {
  Start();
  std::vector<int> slow;
  for (const std::string half : {"GET /v1", "PUT /v1/stacks/s HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf"}) {
    for (int i = 0; i < 2; ++i) {
      slow.push_back(Connect());
      ASSERT_GT(::send(slow.back(), half.data(), half.size(), MSG_NOSIGNAL), 0);
    }
  }
  EXPECT_FALSE(Ask("GET", "/livez")) << "all places are taken";
  for (const int fd : slow) {
    EXPECT_TRUE(ServerCloses(fd));
    ::close(fd);
  }
  EXPECT_EQ(Ask("GET", "/livez")->status, 200);
}

TEST_F(HttpHostileTest, TooManyConnectionsAreClosedAtOnce) {
  Start();
  std::vector<int> open;
  for (int i = 0; i < 4; ++i) open.push_back(Connect());
  const int surplus = Connect();
  EXPECT_TRUE(ServerCloses(surplus));
  ::close(surplus);
  for (const int fd : open) {
    char byte;
    EXPECT_EQ(::recv(fd, &byte, 1, MSG_DONTWAIT), -1) << "those before it had not been cut off yet";
    ::close(fd);
  }
}

// Speaks HTTP over TLS and shows no certificate; `more` is sent when the first bytes are. Returns all that
// the server says until it closes.
std::string AskAsAStranger(const Endpoint& server, const std::string& bytes, const std::string& more = "") {
  boost::asio::io_context loop;
  const auto context = MakeJoinerContext();
  TlsStream stream(loop, *context);
  stream.next_layer().connect({boost::asio::ip::make_address(server.ip.ToString()), server.port});
  OfferAlpn(stream, kAlpnHttp);
  stream.handshake(TlsStream::client);
  boost::system::error_code failure;
  boost::asio::write(stream, boost::asio::buffer(bytes), failure);
  boost::asio::write(stream, boost::asio::buffer(more), failure);
  std::string answer;
  boost::asio::read(stream, boost::asio::dynamic_buffer(answer), failure);
  return answer;
}

TEST_F(HttpHostileTest, AStrangersBodyIsNotReadBeforeHeIsRefused) {
  LinkHostHandlers handlers;
  handlers.http = [this](TlsStream&& stream, std::optional<NodeId> peer) {
    server_->ServeTls(std::move(stream), peer);
  };
  auto port = std::make_unique<struct TestNode>(loop_, TestCluster().Member(1), LinkHostConfig{}, handlers);
  const Endpoint server = port->endpoint;
  Start();
  const std::string put = "PUT /v1/stacks/s HTTP/1.1\r\n";
  struct {
    const char* why;
    std::string bytes;
    std::string more;
    const char* status;
  } table[] = {
      {"a body that never comes", put + "Content-Length: 8388608\r\n\r\n", "", "401"},
      {"a client that asks whether to send it", put + "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n", "",
       "401"},
      {"chunks without an end", put + "Transfer-Encoding: chunked\r\n\r\n9\r\n", "", "401"},
      {"a client that sends all of it first", put + "Content-Length: 8388608\r\n\r\n",
       std::string(8 << 20, 'x'), "401"},
      {"a token that is none", put + "Authorization: Bearer bad\r\nContent-Length: 9\r\n\r\n", "", "401"},
      {"a token that is one",
       put + "Authorization: Bearer good\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", "{}", "400"},
      {"what is open to all", "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", "", "200"},
  };
  for (const auto& row : table) {
    const std::string answer = AskAsAStranger(server, row.bytes, row.more);
    EXPECT_EQ(answer.substr(0, 12), std::string("HTTP/1.1 ") + row.status)
        << row.why << ": " << answer.substr(0, 200);
  }
  OnLoop([&] { port.reset(); });
}

TEST(ConnectionShares, StrangersLeaveRoomForOneAnotherAndForOurs) {
  ConnectionShares shares(4, 3);
  const ConnectionSource one = IpAddress::V4(10, 0, 0, 1), other = IpAddress::V4(10, 0, 0, 2);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(shares.Take(one));
  EXPECT_FALSE(shares.Take(one)) << "its share";
  EXPECT_TRUE(shares.Take(other));
  EXPECT_FALSE(shares.Take(other)) << "all that strangers have";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(shares.Take(TestNode(1)));
  EXPECT_FALSE(shares.Take(TestNode(1)));
  EXPECT_TRUE(shares.Take(TestNode(2)));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(shares.Take(OwnUser{}));
  EXPECT_FALSE(shares.Take(OwnUser{}));
  shares.Give(one);
  EXPECT_TRUE(shares.Take(other));
}

}  // namespace
}  // namespace hs
