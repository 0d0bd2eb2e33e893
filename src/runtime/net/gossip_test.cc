#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "runtime/net/gossip_socket.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

const std::string kSecret(32, 's');
NodeId Node(std::uint8_t number) {
  NodeId id;
  id.bytes[0] = number;
  return id;
}

TEST(ReplayWindowTest, TakesEachCounterOnceInAnyOrderWithinItsWidth) {
  ReplayWindow window;
  EXPECT_FALSE(window.Accept(0)) << "counters start at 1";
  for (const std::uint64_t counter : {5u, 3u, 4u, 1u, 1024u}) EXPECT_TRUE(window.Accept(counter)) << counter;
  for (const std::uint64_t counter : {5u, 3u, 4u, 1u, 1024u}) EXPECT_FALSE(window.Accept(counter)) << counter;
  EXPECT_TRUE(window.Accept(1026));
  EXPECT_FALSE(window.Accept(2)) << "fell out of the window unseen";
  EXPECT_TRUE(window.Accept(6));
  EXPECT_TRUE(window.Accept(1'000'000)) << "a jump over the whole window";
  EXPECT_FALSE(window.Accept(1026));
  for (std::uint64_t counter = 999'999; counter > 1'000'000 - ReplayWindow::kBits; --counter) {
    ASSERT_TRUE(window.Accept(counter)) << counter;
  }
}

TEST(GossipSealTest, OpensWhatAMemberSealedAndNamesTheSender) {
  GossipSeal a(kSecret, Node(1), BootId{7}), b(kSecret, Node(2), BootId{7});
  std::string datagram, content;
  a.Seal("hello", datagram);
  EXPECT_EQ(datagram.size(), 5 + GossipSeal::kOverheadBytes);
  EXPECT_EQ(b.Open(datagram, content), Node(1));
  EXPECT_EQ(content, "hello");
}

TEST(GossipSealTest, DropsAndCountsEverythingElse) {
  GossipSeal a(kSecret, Node(1), BootId{7}), b(kSecret, Node(2), BootId{7});
  GossipSeal stranger(std::string(32, 'x'), Node(3), BootId{7});
  std::string datagram, content;
  a.Seal("hello", datagram);
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    EXPECT_FALSE(b.Open(std::string_view(datagram).substr(0, size), content)) << size;
  }
  for (std::size_t i = 0; i < datagram.size(); ++i) {
    std::string changed = datagram;
    changed[i] ^= 0x40;
    EXPECT_FALSE(b.Open(changed, content)) << "byte " << i;
    EXPECT_TRUE(content.empty());
  }
  EXPECT_TRUE(b.Open(datagram, content)) << "forgeries leave no trace in the window";
  EXPECT_FALSE(b.Open(datagram, content));
  EXPECT_EQ(b.drops().replayed, 1u);
  const auto before = b.drops().unauthentic;
  stranger.Seal("hello", datagram);
  EXPECT_FALSE(b.Open(datagram, content));
  EXPECT_EQ(b.drops().unauthentic, before + 1) << "another cluster";
  EXPECT_FALSE(b.Open(std::string(GossipSeal::kContentMax + GossipSeal::kOverheadBytes + 1, '\1'), content));
  EXPECT_EQ(b.drops().oversized, 1u);
  b.Seal("mine", datagram);
  EXPECT_FALSE(b.Open(datagram, content));
  EXPECT_EQ(b.drops().own, 1u);
}

TEST(GossipSealTest, OurOwnIdUnderAnotherBootIsSomebody) {
  GossipSeal original(kSecret, Node(1), BootId{10}), copy(kSecret, Node(1), BootId{11});
  std::string datagram, content;
  copy.Seal("is this you?", datagram);
  EXPECT_EQ(original.Open(datagram, content), Node(1));
  EXPECT_EQ(content, "is this you?");
  EXPECT_FALSE(copy.Open(datagram, content));
}

TEST(GossipSealTest, ARestartOfTheSenderIsANewKeyAndAFreshWindow) {
  GossipSeal receiver(kSecret, Node(2), BootId{1});
  std::string first, second, content;
  GossipSeal(kSecret, Node(1), BootId{10}).Seal("hello", first);
  GossipSeal(kSecret, Node(1), BootId{11}).Seal("hello", second);
  EXPECT_NE(first.substr(31), second.substr(31)) << "same counter, other key";
  EXPECT_TRUE(receiver.Open(first, content));
  EXPECT_TRUE(receiver.Open(second, content));
}

TEST(GossipSocketTest, CarriesDatagramsAndShrugsOffGarbage) {
  boost::asio::io_context loop;
  const auto a = Listen({IpAddress::V4(127, 0, 0, 1), 0}), b = Listen({IpAddress::V4(127, 0, 0, 2), 0});
  ASSERT_TRUE(a && b);
  std::vector<std::string> got;
  Endpoint from_address;
  GossipSocket sender(loop, a->udp, GossipSeal(kSecret, Node(1), BootId{1}),
                      [](NodeId, const Endpoint&, auto) {});
  GossipSocket receiver(loop, b->udp, GossipSeal(kSecret, Node(2), BootId{1}),
                        [&](NodeId from, const Endpoint& address, std::string_view content) {
                          EXPECT_EQ(from, Node(1));
                          from_address = address;
                          got.emplace_back(content);
                        });
  GossipSeal other(kSecret, Node(1), BootId{2});
  const int raw = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const SocketAddress to = ToSocketAddress(b->endpoint, AF_INET);
  for (const std::string& garbage : {std::string(), std::string(9000, 'g'), std::string(100, 'g')}) {
    ::sendto(raw, garbage.data(), garbage.size(), 0, to.get(), to.size);
  }
  ::close(raw);
  for (int i = 0; i < 100; ++i) sender.Send(b->endpoint, "n" + std::to_string(i));
  sender.Send(b->endpoint, std::string(GossipSeal::kContentMax + 1, 'x'));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (got.size() < 100 && std::chrono::steady_clock::now() < deadline)
    loop.run_one_for(std::chrono::seconds(1));
  EXPECT_EQ(got.size(), 100u);
  EXPECT_EQ(from_address, a->endpoint);
  EXPECT_EQ(sender.counts().not_sent, 1u);
  EXPECT_EQ(receiver.counts().drops.truncated, 1u);
  EXPECT_EQ(receiver.counts().drops.oversized, 1u);
  EXPECT_EQ(receiver.counts().drops.unknown_version, 1u);
  ::close(a->tcp);
  ::close(b->tcp);
}

TEST(ListenTest, APortInUseNamesTheProcess) {
  const auto first = Listen({IpAddress::V4(127, 0, 0, 1), 0});
  ASSERT_TRUE(first);
  const auto second = Listen(first->endpoint);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_THAT(second.error().message, HasSubstr(first->endpoint.ToString()));
  ::close(first->tcp);
  ::close(first->udp);
}

}  // namespace
}  // namespace hs
