// Tunnels over one and two relays: what gets through, and what a relay refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "runtime/net/line_host.h"
#include "runtime/net/line_keeper.h"
#include "runtime/net/link_connection.h"
#include "runtime/net/net_test_util.h"
#include "runtime/net/relay_server.h"
#include "runtime/net/tls.h"
#include "runtime/net/tunnels.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// A node with the relay's part, and tunnels of its own.
struct TestBox {
  TestBox(asio::io_context& loop, Identity who, std::map<NodeId, Endpoint>& agents, RelayConfig config = {})
      : identity(std::move(who)), tls(MakeTlsContext(identity).value()) {
    const auto is_member = [cluster = identity.cluster](TlsStream& stream, NodeId wanted) {
      const auto peer = PeerOf(stream, cluster);
      return peer && peer->node == wanted;
    };
    config.self = identity.node;
    const TunnelOpener opener{tls, {}, is_member, std::make_shared<LineHost>(loop)};
    lines = opener.lines;
    relay = std::make_unique<RelayServer>(opener, config, [&agents](NodeId wanted, TunnelService service) {
      const auto known = agents.find(wanted);
      return known == agents.end() || service == TunnelService::kInboundTcp ? Endpoint{} : known->second;
    });
    tunnels = std::make_unique<Tunnels>(loop, opener);
    own_lines = std::make_unique<LineKeeper>(
        loop, opener, [this](TlsStream&& stream, NodeId from) { relay->ServeLine(std::move(stream), from); });
    LinkHostHandlers handlers;
    handlers.relay = [this](TlsStream&& stream, NodeId from) { relay->Serve(std::move(stream), from); };
    handlers.line = [this](TlsStream&& stream, NodeId from) { lines->Park(std::move(stream), from); };
    handlers.dial_at = [this](NodeId peer, const Endpoint& address) {
      const Endpoint tunnel = tunnels->For(peer, TunnelService::kAgent);
      return tunnel ? tunnel : address;
    };
    node = std::make_unique<TestNode>(loop, identity, LinkHostConfig{}, std::move(handlers));
    agents[identity.node] = node->endpoint;
  }
  Identity identity;
  std::shared_ptr<TlsContext> tls;
  std::shared_ptr<LineHost> lines;
  std::unique_ptr<RelayServer> relay;
  std::unique_ptr<Tunnels> tunnels;
  std::unique_ptr<LineKeeper> own_lines;
  std::unique_ptr<TestNode> node;
};

class TunnelTest : public ::testing::Test {
 protected:
  bool Until(const std::function<bool()>& holds) { return RunUntil(loop_, holds); }
  // `from` reaches `to` by these from now on.
  void Detour(TestBox& from, const TestBox& to, std::vector<const TestBox*> relays) {
    hs::Detour detour{to.identity.node, to.node->endpoint, {}};
    for (const TestBox* relay : relays)
      detour.relays.emplace_back(relay->identity.node, relay->node->endpoint);
    from.tunnels->Use({detour});
  }
  // What a relay answers to these bytes; 255: it closed.
  int Ask(TestBox& from, const TestBox& relay, const std::string& request) {
    int answer = -1;
    asio::co_spawn(loop_, Talk(from, relay, request, answer), asio::detached);
    EXPECT_TRUE(Until([&] { return answer >= 0; }));
    return answer;
  }
  TunnelTask<void> Talk(TestBox& from, const TestBox& relay, std::string request, int& answer) {
    TlsStream stream(loop_, *from.tls);
    std::uint8_t byte = 255;
    try {
      co_await stream.next_layer().async_connect(ToAsio(relay.node->endpoint), asio::use_awaitable);
      OfferAlpn(stream, kAlpnRelay);
      co_await stream.async_handshake(TlsStream::client, asio::use_awaitable);
      co_await asio::async_write(stream, asio::buffer(request), asio::use_awaitable);
      co_await asio::async_read(stream, asio::buffer(&byte, 1), asio::use_awaitable);
    } catch (const boost::system::system_error&) {
      byte = 255;
    }
    answer = byte;
  }
  static std::string Request(int version, int service, std::vector<NodeId> hops, int count = -1) {
    std::string request{static_cast<char>(version), static_cast<char>(service),
                        static_cast<char>(count < 0 ? static_cast<int>(hops.size()) : count)};
    for (const NodeId& hop : hops) request.append(hop.bytes.begin(), hop.bytes.end());
    return request;
  }

  asio::io_context loop_;
  TestCluster cluster_;
  std::map<NodeId, Endpoint> agents_;
};

TEST_F(TunnelTest, ALinkGoesThroughOneRelayAndThroughTwo) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_), d(loop_, cluster_.Member(4), agents_);
  Detour(a, b, {&c});
  a.node->Send(*b.node, "over one");
  ASSERT_TRUE(Until([&] { return b.node->Saw("1: over one"); }));
  b.node->Send(*a.node, "and back");
  ASSERT_TRUE(Until([&] { return a.node->Saw("2: and back"); }));
  EXPECT_EQ(c.relay->counts().carried, 1u);
  EXPECT_EQ(a.tunnels->counts().open, 1u);

  TestBox e(loop_, cluster_.Member(5), agents_);
  Detour(a, e, {&c, &d});
  a.node->Send(*e.node, std::string(3'000'000, 'x'));
  ASSERT_TRUE(Until([&] { return e.node->received_bytes == 3'000'000; }));
  EXPECT_EQ(c.relay->counts().carried, 2u);
  EXPECT_EQ(d.relay->counts().carried, 1u);
}

TEST_F(TunnelTest, ALinkThatHangsGoesRoundAndComesBackWithoutLoss) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_);
  a.node->host->Hold({{b.identity.node, b.node->endpoint}});
  ASSERT_TRUE(Until([&] { return a.node->Saw("up 2"); }));
  Detour(a, b, {&c});
  a.node->host->Reroute(b.identity.node, true);
  ASSERT_TRUE(Until([&] { return a.node->Times("up 2") == 2; }));
  EXPECT_EQ(a.node->Times("down 2 timeout"), 1);
  ASSERT_TRUE(Until([&] { return c.relay->counts().sessions == 1; }));
  a.tunnels->Use({});
  a.node->host->Reroute(b.identity.node, false);
  for (int i = 0; i < 50; ++i) a.node->Send(*b.node, "m" + std::to_string(i));
  ASSERT_TRUE(Until([&] { return b.node->Saw("1: m49") && c.relay->counts().sessions == 0; }));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(b.node->Times("1: m" + std::to_string(i)), 1) << i;
  EXPECT_EQ(a.node->Times("up 2"), 2) << "the core hears nothing of the way back";
}

TEST_F(TunnelTest, OneDirectionMayEndBeforeTheOther) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_);
  // Answers only when the question is over, as some programs do.
  tcp::acceptor server(loop_, {asio::ip::address_v4::loopback(), 0});
  std::string question, answer;
  bool over = false;
  asio::co_spawn(
      loop_,
      [&]() -> TunnelTask<void> {
        tcp::socket peer = co_await server.async_accept(asio::use_awaitable);
        ErrorCode end;
        co_await asio::async_read(peer, asio::dynamic_buffer(question),
                                  asio::redirect_error(asio::use_awaitable, end));
        co_await asio::async_write(peer, asio::buffer(std::string(200'000, 'a')), asio::use_awaitable);
      },
      asio::detached);
  agents_[b.identity.node] = {IpAddress::V4(127, 0, 0, 1), server.local_endpoint().port()};
  Detour(a, b, {&c});
  const Endpoint port = a.tunnels->For(b.identity.node, TunnelService::kInboundHttp);
  ASSERT_TRUE(port);
  asio::co_spawn(
      loop_,
      [&]() -> TunnelTask<void> {
        tcp::socket socket(loop_);
        co_await socket.async_connect(ToAsio(port), asio::use_awaitable);
        co_await asio::async_write(socket, asio::buffer(std::string(100'000, 'q')), asio::use_awaitable);
        socket.shutdown(tcp::socket::shutdown_send);
        ErrorCode end;
        co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                                  asio::redirect_error(asio::use_awaitable, end));
        over = true;
      },
      asio::detached);
  ASSERT_TRUE(Until([&] { return over; }));
  EXPECT_EQ(question.size(), 100'000u);
  EXPECT_EQ(answer.size(), 200'000u);
  EXPECT_TRUE(Until([&] { return c.relay->counts().sessions == 0 && a.tunnels->counts().open == 0; }));
}

TEST_F(TunnelTest, ARelayRefusesWhatIsNoWay) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_);
  const NodeId self = a.identity.node, to = b.identity.node, relay = c.identity.node;
  NodeId stranger;
  stranger.bytes[0] = 77;
  const int refused = static_cast<int>(TunnelAnswer::kRefused);
  struct Row {
    const char* why;
    std::string request;
    int answer;
  };
  const Row rows[] = {
      {"a good one", Request(1, 0, {to}), 0},
      {"of another version", Request(2, 0, {to}), refused},
      {"a service that there is not", Request(1, 9, {to}), refused},
      {"no hop", Request(1, 0, {}), refused},
      {"three hops", Request(1, 0, {to, stranger, relay}), refused},
      {"to the relay itself", Request(1, 0, {relay}), refused},
      {"back to the asker", Request(1, 0, {self}), refused},
      {"through the asker", Request(1, 0, {self, to}), refused},
      {"twice over the same", Request(1, 0, {to, to}), refused},
      {"to a stranger", Request(1, 0, {stranger}), refused},
      {"to a port the target has not", Request(1, 2, {to}), refused},
      {"through a relay to a stranger", Request(1, 0, {to, stranger}), refused},
  };
  for (const Row& row : rows) EXPECT_EQ(Ask(a, c, row.request), row.answer) << row.why;
  EXPECT_TRUE(Until([&] { return c.relay->counts().sessions == 0; }));
}

TEST_F(TunnelTest, WhoIsNoMemberGetsNoTunnel) {
  TestBox c(loop_, cluster_.Member(3), agents_), b(loop_, cluster_.Member(2), agents_);
  TestCluster other;
  TestBox stranger(loop_, other.Member(1), agents_);
  EXPECT_EQ(Ask(stranger, c, Request(1, 0, {b.identity.node})), 255);
  EXPECT_EQ(c.relay->counts().carried, 0u);
}

TEST_F(TunnelTest, ARelayCarriesSoManyAndNoMoreForOneMember) {
  RelayConfig config;
  config.sessions_per_peer_max = 2;
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_, config), d(loop_, cluster_.Member(4), agents_);
  Detour(a, b, {&c});
  const Endpoint port = a.tunnels->For(b.identity.node, TunnelService::kAgent);
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 3; ++i) {
    sockets.emplace_back(loop_);
    sockets.back().connect(ToAsio(port));
  }
  ASSERT_TRUE(Until([&] { return c.relay->counts().busy == 1 && c.relay->counts().carried == 2; }));
  Detour(d, b, {&c});
  d.node->Send(*b.node, "others still get through");
  EXPECT_TRUE(Until([&] { return b.node->Saw("4: others still get thr"); })) << "the limit is one member's";
}

TEST_F(TunnelTest, TunnelsOverARelayThatIsNoLongerTheWayAreClosed) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_), d(loop_, cluster_.Member(4), agents_);
  Detour(a, b, {&c});
  a.node->host->Hold({{b.identity.node, b.node->endpoint}});
  ASSERT_TRUE(Until([&] { return a.node->Saw("up 2"); }));
  Detour(a, b, {&d});
  ASSERT_TRUE(Until([&] { return d.relay->counts().sessions == 1 && c.relay->counts().sessions == 0; }));
  ASSERT_TRUE(Until([&] { return a.node->Times("up 2") == 2; }));
}

// Box 2 dials out. Others are told the address of somebody else, as behind NAT.
class LineTest : public TunnelTest {
 protected:
  void KeepLines(TestBox& from, const TestBox& relay) {
    from.own_lines->Keep({{relay.identity.node, relay.node->endpoint}});
    ASSERT_TRUE(Until([&] {
      return relay.lines->counts().parked == LineKeeper::kReady &&
             from.own_lines->ready() == LineKeeper::kReady;
    }));
  }
  std::vector<TlsStream> ends_;
};

TEST_F(LineTest, ARelayReachesABoxOverItsLinesAndSoDoOthersThroughTheRelay) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_), d(loop_, cluster_.Member(4), agents_);
  KeepLines(b, c);
  c.tunnels->Use({{b.identity.node, {}, {}, true}});
  c.node->host->Send(b.identity.node, d.node->endpoint, "from the relay");
  ASSERT_TRUE(Until([&] { return b.node->Saw("3: from the relay"); }));
  Detour(a, b, {&c});
  a.node->host->Send(b.identity.node, d.node->endpoint, "from another");
  ASSERT_TRUE(Until([&] { return b.node->Saw("1: from another"); }));
  Detour(d, b, {&a, &c});
  d.node->host->Send(b.identity.node, a.node->endpoint, std::string(3'000'000, 'x'));
  ASSERT_TRUE(Until([&] { return b.node->received_bytes > 3'000'000; }));
  EXPECT_EQ(c.lines->counts().taken, 3u);
  EXPECT_TRUE(Until([&] { return c.lines->counts().parked == LineKeeper::kReady; }))
      << "those taken are replaced";
}

TEST_F(LineTest, WhereNoLineIsReadyTheNextOneIsWaitedFor) {
  TestBox a(loop_, cluster_.Member(1), agents_), b(loop_, cluster_.Member(2), agents_);
  TestBox c(loop_, cluster_.Member(3), agents_);
  KeepLines(b, c);
  Detour(a, b, {&c});
  const Endpoint port = a.tunnels->For(b.identity.node, TunnelService::kAgent);
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 60; ++i) {
    sockets.emplace_back(loop_);
    sockets.back().connect(ToAsio(port));
  }
  ASSERT_TRUE(Until([&] { return c.relay->counts().carried == 60; }));
  EXPECT_EQ(c.relay->counts().not_reached, 0u);
  EXPECT_LE(b.own_lines->ready(), LineKeeper::kReadyMax);
}

TEST_F(LineTest, ALineLeadsToItsBoxAndNowhereElse) {
  TestBox b(loop_, cluster_.Member(2), agents_), c(loop_, cluster_.Member(3), agents_);
  TestBox d(loop_, cluster_.Member(4), agents_);
  KeepLines(b, c);
  std::vector<int> answers;
  const auto take = [&](std::string request) -> TunnelTask<void> {
    auto line = co_await c.lines->Take(b.identity.node);
    std::uint8_t byte = 255;
    ErrorCode failure;
    co_await asio::async_write(*line, asio::buffer(request), asio::use_awaitable);
    co_await asio::async_read(*line, asio::buffer(&byte, 1),
                              asio::redirect_error(asio::use_awaitable, failure));
    answers.push_back(byte);
  };
  for (const NodeId& to : {d.identity.node, c.identity.node, b.identity.node}) {
    const std::size_t before = answers.size();
    asio::co_spawn(loop_, take(Request(1, 0, {to})), asio::detached);
    ASSERT_TRUE(Until([&] { return answers.size() > before; }));
  }
  EXPECT_THAT(answers, ::testing::ElementsAre(1, 1, 0)) << "a third box, the relay itself, the box";
}

TEST_F(LineTest, LinesThatEndAreOpenedAgainAndThoseNotWantedAreClosed) {
  TestBox b(loop_, cluster_.Member(2), agents_), d(loop_, cluster_.Member(4), agents_);
  auto c = std::make_unique<TestBox>(loop_, cluster_.Member(3), agents_);
  KeepLines(b, *c);
  const Endpoint place = c->node->endpoint;
  c.reset();
  ASSERT_TRUE(Until([&] { return b.own_lines->ready() == 0; }));
  LinkHostConfig config;
  TestNode other(loop_, cluster_.Member(4), config, {}, place);
  EXPECT_FALSE(RunUntil(
      loop_, [&] { return b.own_lines->ready() > 0; }, std::chrono::seconds(1)))
      << "another member lives there now";
  KeepLines(b, d);
  b.own_lines->Keep({});
  EXPECT_TRUE(Until([&] { return d.lines->counts().parked == 0; }));
}

TEST_F(LineTest, NoMoreLinesOfOneBoxAreParkedThanThereMayBe) {
  LineHost host(loop_, {.parked_max = 2});
  for (int i = 0; i < 3; ++i) {
    TestBox b(loop_, cluster_.Member(2), agents_);
    tcp::acceptor acceptor(loop_, {asio::ip::address_v4::loopback(), 0});
    TlsStream near(loop_, *b.tls);
    near.next_layer().connect(acceptor.local_endpoint());
    TlsStream far(acceptor.accept(), *b.tls);
    host.Park(std::move(far), b.identity.node);
    if (i < 2) ends_.push_back(std::move(near));
  }
  EXPECT_EQ(host.counts().parked, 2u);
  EXPECT_EQ(host.counts().surplus, 1u);
  ends_.clear();
  EXPECT_TRUE(Until([&] { return host.counts().parked == 0; })) << "their other ends are gone";
}

}  // namespace
}  // namespace hs
