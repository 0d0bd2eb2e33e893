#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/net/net_test_util.h"

namespace hs {
namespace {

using ::testing::ElementsAre;

class LinkTest : public ::testing::Test {
 protected:
  bool Until(const std::function<bool()>& holds) { return RunUntil(loop_, holds); }
  boost::asio::io_context loop_;
  TestCluster cluster_;
};

TEST_F(LinkTest, OneLinkServesBothWaysInOrder) {
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2));
  a.Send(b, "one");
  a.Send(b, "two");
  ASSERT_TRUE(Until([&] { return b.Saw("1: two"); }));
  b.Send(a, "three");
  ASSERT_TRUE(Until([&] { return a.Saw("2: three"); }));
  EXPECT_THAT(a.events, ElementsAre("up 2", "2: three"));
  EXPECT_THAT(b.events, ElementsAre("up 1", "1: one", "1: two"));
  EXPECT_EQ(a.host->counts().accepted, 0u) << "b answered over a's link";
}

TEST_F(LinkTest, LargeMessagesPassWhole) {
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2));
  a.Send(b, std::string(3'000'000, 'x'));
  ASSERT_TRUE(Until([&] { return b.received_bytes == 3'000'000; }));
}

TEST_F(LinkTest, ADeadAgentIsAResetAndThenARefusal) {
  TestNode a(loop_, cluster_.Member(1));
  auto b = std::make_unique<TestNode>(loop_, cluster_.Member(2));
  a.host->Hold({{b->id(), b->endpoint}});
  ASSERT_TRUE(Until([&] { return a.Saw("up 2"); }));
  b.reset();  // the kernel closes its sockets, without a word
  ASSERT_TRUE(Until([&] { return a.Saw("down 2 refused"); }));
  EXPECT_EQ(a.events[1], "down 2 reset");
}

TEST_F(LinkTest, AHeldLinkComesBackWhenThePeerDoes) {
  TestNode a(loop_, cluster_.Member(1));
  auto b = std::make_unique<TestNode>(loop_, cluster_.Member(2));
  const Endpoint endpoint = b->endpoint;
  a.host->Hold({{b->id(), endpoint}});
  ASSERT_TRUE(Until([&] { return a.Saw("up 2"); }));
  b.reset();
  ASSERT_TRUE(Until([&] { return a.Saw("down 2 refused"); }));
  b = std::make_unique<TestNode>(loop_, cluster_.Member(2), LinkHostConfig{}, LinkHostHandlers{}, endpoint);
  ASSERT_TRUE(Until([&] { return a.Times("up 2") == 2; }));
}

TEST_F(LinkTest, SimultaneousDialsEndAsOneLinkAndTheCoreHearsOnlyOfOne) {
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2));
  a.host->Hold({{b.id(), b.endpoint}});
  b.host->Hold({{a.id(), a.endpoint}});
  a.Send(b, "from a");
  b.Send(a, "from b");
  ASSERT_TRUE(Until([&] { return b.Saw("1: from a") && a.Saw("2: from b"); }));
  for (int i = 0; i < 20; ++i) {
    a.Send(b, "a" + std::to_string(i));
    b.Send(a, "b" + std::to_string(i));
  }
  ASSERT_TRUE(Until([&] { return b.Saw("1: a19") && a.Saw("2: b19"); }));
  // Whatever was surplus has had its goodbye when nothing more happens for a while.
  RunUntil(
      loop_, [] { return false; }, std::chrono::seconds(1));
  EXPECT_EQ(a.Times("up 2"), 1);
  EXPECT_EQ(b.Times("up 1"), 1);
  for (const auto& event : a.events) EXPECT_FALSE(event.starts_with("down")) << event;
  for (const auto& event : b.events) EXPECT_FALSE(event.starts_with("down")) << event;
}

TEST_F(LinkTest, AnIdleLinkNobodyHoldsIsClosedWithAWord) {
  LinkHostConfig config;
  config.idle_close = 200ms;
  TestNode a(loop_, cluster_.Member(1), config), b(loop_, cluster_.Member(2), config),
      c(loop_, cluster_.Member(3), config);
  a.Send(b, "hi");
  a.host->Hold({{c.id(), c.endpoint}});
  ASSERT_TRUE(Until([&] { return a.Saw("down 2 closed") && b.Saw("down 1 closed"); }));
  ASSERT_TRUE(Until([&] { return c.Saw("up 1"); }));
  EXPECT_FALSE(c.Saw("down 1 closed")) << "the other side holds it";
}

TEST_F(LinkTest, AForeignClusterIsDeniedInBothDirections) {
  TestCluster foreign;
  TestNode a(loop_, cluster_.Member(1)), b(loop_, foreign.Member(2));
  a.Send(b, "hello");
  ASSERT_TRUE(Until([&] { return a.Saw("down 2 denied"); }));
  EXPECT_THAT(b.events, ElementsAre());
}

TEST_F(LinkTest, AnotherNodeAtTheAddressIsDenied) {
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2));
  a.host->Send(cluster_.Member(9).node, b.endpoint, "for nine");
  ASSERT_TRUE(Until([&] { return a.Saw("down 9 denied"); }));
  EXPECT_FALSE(b.Saw("1: for nine"));
}

TEST_F(LinkTest, AHintWithoutAnIdFindsWhoeverLivesThere) {
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2));
  a.host->Send({}, b.endpoint, "who are you");
  ASSERT_TRUE(Until([&] { return b.Saw("1: who are you") && a.Saw("up 2"); }));
  EXPECT_THAT(a.events, ElementsAre("up 2"));
}

TEST_F(LinkTest, ARevokedNodeIsDeniedAndALiveLinkOfItEnds) {
  bool revoked = false;
  LinkHostHandlers handlers;
  handlers.allowed = [&](NodeId node, const Digest&) { return !(revoked && node.bytes[0] == 1); };
  handlers.why_denied = [](NodeId node) { return "gone: " + std::to_string(node.bytes[0]); };
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2), {}, handlers);
  a.Send(b, "hello");
  ASSERT_TRUE(Until([&] { return b.Saw("1: hello"); }));
  revoked = true;
  b.host->Recheck();
  ASSERT_TRUE(Until([&] { return b.Saw("down 1 denied") && a.Saw("down 2 denied"); }));
  a.Send(b, "again");
  ASSERT_TRUE(Until([&] { return a.Times("down 2 denied") == 2; }));
  EXPECT_EQ(b.Times("up 1"), 1);
  EXPECT_EQ(a.Times("2: gone: 1"), 2) << "it is told why, each time";
}

TEST_F(LinkTest, ARestartedPeerEndsItsFormerLifeAsAReset) {
  TestNode a(loop_, cluster_.Member(1));
  const Identity who = cluster_.Member(2);
  TestNode before(loop_, who);
  before.Send(a, "old");
  ASSERT_TRUE(Until([&] { return a.Saw("2: old"); }));
  Identity again = who;
  again.boot_id = RandomBootId();
  TestNode after(loop_, again);
  after.Send(a, "new");
  ASSERT_TRUE(Until([&] { return a.Saw("2: new"); }));
  EXPECT_THAT(a.events, ElementsAre("up 2", "2: old", "down 2 reset", "up 2", "2: new"));
}

TEST_F(LinkTest, LeavingSaysGoodbye) {
  TestNode a(loop_, cluster_.Member(1)), b(loop_, cluster_.Member(2));
  a.Send(b, "hello");
  ASSERT_TRUE(Until([&] { return b.Saw("1: hello"); }));
  bool left = false;
  a.Send(b, "last words");
  a.host->Leave([&] { left = true; });
  ASSERT_TRUE(Until([&] { return left && b.Saw("down 1 closed"); }));
  EXPECT_TRUE(b.Saw("1: last words"));
}

TEST_F(LinkTest, APeerThatDoesNotReadIsLeftAfterABoundedQueue) {
  LinkHostConfig config;
  config.queue_bytes_max = 1'000'000;
  TestNode a(loop_, cluster_.Member(1), config);
  boost::asio::io_context stopped;  // nobody runs it: like a stopped process
  TestNode b(stopped, cluster_.Member(2));
  a.Send(b, std::string(600'000, 'x'));
  a.Send(b, std::string(600'000, 'y'));
  ASSERT_TRUE(Until([&] { return a.Saw("down 2 timeout"); }));
}

TEST_F(LinkTest, GarbageAndSilenceOnThePortAreDroppedAndCounted) {
  LinkHostConfig config;
  config.handshakes.timeout = 300ms;
  config.handshakes.per_ip = 3;
  TestNode a(loop_, cluster_.Member(1), config);
  std::vector<int> sockets;
  const SocketAddress to = ToSocketAddress(a.endpoint, AF_INET);
  for (int i = 0; i < 5; ++i) {
    sockets.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(sockets.back(), to.get(), to.size), 0);
  }
  ASSERT_TRUE(Until([&] { return a.host->counts().refused_busy == 2; }));
  ASSERT_EQ(::send(sockets[0], "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
  ASSERT_TRUE(Until([&] { return a.host->counts().handshakes_failed == 3; }));
  for (const int fd : sockets) ::close(fd);
}

TEST_F(LinkTest, WhoConnectsAndSaysNothingShutsNobodyOut) {
  for (const bool by_share : {true, false}) {
    SCOPED_TRACE(by_share);
    LinkHostConfig config;
    config.handshakes = {.timeout = 1min, .usual = 0ms, .in_all = 3, .per_ip = by_share ? 3u : 9u};
    TestNode a(loop_, cluster_.Member(1), config);
    TestNode b(loop_, cluster_.Member(2));
    std::vector<int> sockets;
    const SocketAddress to = ToSocketAddress(a.endpoint, AF_INET);
    for (int i = 0; i < 3; ++i) {
      sockets.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ASSERT_EQ(::connect(sockets.back(), to.get(), to.size), 0);
    }
    ASSERT_TRUE(Until([&] { return a.host->counts().accepted == 3; }));
    b.Send(a, "let me in");
    ASSERT_TRUE(Until([&] { return a.Saw("2: let me in"); }));
    ASSERT_TRUE(Until([&] { return a.host->counts().handshakes_failed == 1; }));
    char byte;
    EXPECT_EQ(::recv(sockets[0], &byte, 1, 0), 0) << "the oldest gave way";
    EXPECT_EQ(::recv(sockets[1], &byte, 1, MSG_DONTWAIT), -1);
    for (const int fd : sockets) ::close(fd);
  }
}

TEST_F(LinkTest, TryConnectTellsAcceptedRefusedAndSilence) {
  TestNode a(loop_, cluster_.Member(1));
  const ListenSockets gone = Listen({IpAddress::V4(127, 0, 0, 1), 0}).value();
  ::close(gone.tcp);
  ::close(gone.udp);
  std::optional<ConnectResult> open, closed;
  TryConnectTo(loop_, a.endpoint, a.endpoint, 5s, [&](ConnectResult result) { open = result; });
  TryConnectTo(loop_, gone.endpoint, a.endpoint, 5s, [&](ConnectResult result) { closed = result; });
  EXPECT_FALSE(open || closed) << "never from within";
  ASSERT_TRUE(Until([&] { return open && closed; }));
  EXPECT_EQ(*open, ConnectResult::kAccepted);
  EXPECT_EQ(*closed, ConnectResult::kRefused);
}

}  // namespace
}  // namespace hs
