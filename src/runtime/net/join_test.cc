#include "runtime/net/join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <map>

#include "runtime/net/hint_check.h"
#include "runtime/net/net_test_util.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

class JoinTest : public ::testing::Test {
 protected:
  JoinTest() {
    JoinService service;
    service.find_token = [this](const std::string& id) {
      return tokens_.contains(id) ? std::optional(tokens_[id]) : std::nullopt;
    };
    service.find_node = [this](NodeId node) {
      return nodes_.contains(node) ? std::optional(nodes_[node]) : std::nullopt;
    };
    service.wall_now = [] { return WallMs{1'000}; };
    service.tunables_fingerprint = 42;
    service.peers = [this] { return std::vector{std::pair(host_->id(), host_->endpoint)}; };
    service.admit = [this](NodeDoc document, std::function<void(Result<void>)> done) {
      if (disk_full_-- > 0) return done(Fail(Reaction::kRetryLater, "disk full"));
      nodes_[document.node] = document;
      done({});
    };
    server_ = std::make_unique<JoinServer>(cluster_.Member(1), std::move(service));
    LinkHostHandlers handlers;
    handlers.join = [this](TlsStream&& stream) { server_->Serve(std::move(stream)); };
    host_ = std::make_unique<TestNode>(loop_, cluster_.Member(1), LinkHostConfig{}, handlers);
    token_ = NewToken(FingerprintOf(cluster_.authority.certificate_pem), {host_->endpoint});
    tokens_[token_.id] = DocumentOf(token_, 2'000, false);
  }

  Result<JoinOutcome> Join(const JoinToken& token, std::uint64_t tunables = 42, ClusterId former = {}) {
    std::optional<Result<JoinOutcome>> outcome;
    const JoinClient client(
        loop_, token, {}, self_, "box", tunables, former,
        [this](const std::string& line) { progress_.push_back(line); },
        [&](Result<JoinOutcome> result) { outcome = std::move(result); });
    const bool came = RunUntil(loop_, [&] { return outcome.has_value(); });
    return came ? *outcome : Fail(Reaction::kRetryLater, "no outcome");
  }

  boost::asio::io_context loop_;
  TestCluster cluster_;
  std::map<std::string, TokenDoc> tokens_;
  std::map<NodeId, NodeDoc> nodes_;
  int disk_full_ = 0;
  std::unique_ptr<JoinServer> server_;
  std::unique_ptr<TestNode> host_;
  JoinToken token_;
  NewNode self_ = DrawNode();
  std::vector<std::string> progress_;
};

TEST_F(JoinTest, AnInvitedBoxBecomesAMemberThatCanLink) {
  const auto outcome = Join(token_);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(nodes_.at(self_.node).name, "box");
  EXPECT_EQ(outcome->peers.at(0).second, host_->endpoint);
  EXPECT_EQ(outcome->admission.gossip_secret, cluster_.secret);
  Identity identity = cluster_.Member(0);
  identity.node = self_.node;
  identity.node_key_pem = self_.key_pem;
  identity.node_certificate_pem = outcome->admission.node_certificate_pem;
  TestNode member(loop_, identity);
  member.Send(*host_, "hello");
  EXPECT_TRUE(RunUntil(loop_, [&] { return host_->received_bytes == 5; }));
}

TEST_F(JoinTest, RefusalsAreFinalAndSayWhy) {
  JoinToken wrong = token_;
  wrong.secret = RandomBytes(16);
  EXPECT_THAT(Join(wrong).error().message, HasSubstr("token is wrong"));
  tokens_[token_.id].expires_ms = 999;
  EXPECT_THAT(Join(token_).error().message, HasSubstr("expired"));
  tokens_[token_.id].expires_ms = 0;
  EXPECT_THAT(Join(token_, 43).error().message, HasSubstr("other cluster tunables"));
  EXPECT_THAT(Join(token_, 42, RandomClusterId()).error().message, HasSubstr("another cluster"));
  nodes_[self_.node] = {self_.node, "someone", Sha256("another key")};
  EXPECT_THAT(Join(token_).error().message, HasSubstr("belongs to another node"));
  tokens_.clear();
  EXPECT_THAT(Join(token_).error().message, HasSubstr("revoked"));
  EXPECT_TRUE(progress_.empty());
  EXPECT_EQ(nodes_.size(), 1u) << "no refused box left a document";
}

TEST_F(JoinTest, PassingTroubleIsTriedAgainAndTold) {
  disk_full_ = 1;
  token_.addresses.insert(token_.addresses.begin(),
                          {IpAddress::V4(127, 0, 0, 1), 1});  // nobody listens there
  ASSERT_TRUE(Join(token_));
  ASSERT_GE(progress_.size(), 2u);
  EXPECT_THAT(progress_[0], HasSubstr("127.0.0.1:1: Connection refused"));
  EXPECT_THAT(progress_[1], HasSubstr("disk full"));
}

TEST_F(JoinTest, TheSecretIsNotShownToABoxOfAnotherCluster) {
  JoinToken elsewhere = token_;
  elsewhere.ca = FingerprintOf(CreateAuthority(RandomClusterId()).certificate_pem);
  const auto outcome = Join(elsewhere);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("for another cluster"));
  EXPECT_TRUE(nodes_.empty());
}

TEST_F(JoinTest, AStrangerAtOneAddressIsNotFinalWhileAnotherAddressMayStillAnswer) {
  JoinToken elsewhere = token_;
  elsewhere.ca = FingerprintOf(CreateAuthority(RandomClusterId()).certificate_pem);
  elsewhere.addresses.push_back({IpAddress::V4(127, 0, 0, 1), 1});  // nobody listens there yet
  int ended = 0;
  const JoinClient client(
      loop_, elsewhere, {}, self_, "box", 42, {},
      [this](const std::string& line) { progress_.push_back(line); },
      [&](const Result<JoinOutcome>&) { ++ended; });
  ASSERT_TRUE(RunUntil(loop_, [&] { return progress_.size() >= 3; }));
  EXPECT_THAT(progress_[0], HasSubstr("belongs to another cluster than the token"));
  EXPECT_EQ(ended, 0);
  EXPECT_TRUE(nodes_.empty());
}

TEST_F(JoinTest, WhoIsAtAnAddressThatAMemberWasGivenIsSaidOnce) {
  const CaFingerprint ours = FingerprintOf(cluster_.authority.certificate_pem);
  const CaFingerprint theirs = FingerprintOf(CreateAuthority(RandomClusterId()).certificate_pem);
  const Endpoint nobody{IpAddress::V4(127, 0, 0, 1), 1};
  const auto say = [this](const std::string& words) { progress_.push_back(words); };
  boost::asio::ip::tcp::acceptor other_program(loop_, {boost::asio::ip::make_address("127.0.0.1"), 0});
  other_program.async_accept([](boost::system::error_code, boost::asio::ip::tcp::socket socket) {
    socket.send(boost::asio::buffer("220 mail.example\r\n", 18));
  });
  const auto needed = [] { return true; };
  const boost::asio::ip::tcp::acceptor stopped(loop_, {boost::asio::ip::make_address("127.0.0.1"), 0});
  std::vector<HintCheck> checks;
  checks.emplace_back(loop_, host_->endpoint, theirs, needed, say);
  checks.emplace_back(loop_, nobody, ours, needed, say);
  checks.emplace_back(loop_, Endpoint{nobody.ip, other_program.local_endpoint().port()}, ours, needed, say);
  checks.emplace_back(loop_, host_->endpoint, ours, needed, say);
  checks.emplace_back(loop_, Endpoint{nobody.ip, stopped.local_endpoint().port()}, ours, needed, say);
  checks.emplace_back(
      loop_, nobody, theirs, [] { return false; }, say);
  ASSERT_TRUE(RunUntil(loop_, [&] { return progress_.size() >= 4; }));
  EXPECT_GE(host_->host->counts().accepted, 4u) << "asked again and again";
  EXPECT_THAT(progress_, testing::UnorderedElementsAre(
                             host_->endpoint.ToString() + ": the box there belongs to another cluster",
                             "127.0.0.1:1: Connection refused", HasSubstr(": what answers there is no node"),
                             HasSubstr(": no answer")));
}

TEST_F(JoinTest, WhoTakesHisAnswerAndStaysLeavesRoomForOthers) {
  const auto tls = MakeJoinerContext();
  const std::string nonsense(4, '\0');
  std::vector<std::unique_ptr<TlsStream>> staying;
  std::deque<std::string> answers;
  int closed = 0;
  for (std::size_t i = 0; i < 70; ++i) {
    staying.push_back(std::make_unique<TlsStream>(loop_, *tls));
    TlsStream& stream = *staying.back();
    OfferAlpn(stream, kAlpnJoin);
    stream.next_layer().open(boost::asio::ip::tcp::v4());
    stream.next_layer().bind({boost::asio::ip::make_address("127.0.0.2"), 0});
    stream.next_layer().connect({boost::asio::ip::make_address("127.0.0.1"), host_->endpoint.port});
    bool proven = false;
    stream.async_handshake(TlsStream::client, [&](boost::system::error_code failure) { proven = !failure; });
    ASSERT_TRUE(RunUntil(loop_, [&] { return proven; }));
    boost::asio::async_write(stream, boost::asio::buffer(nonsense),
                             [](boost::system::error_code, std::size_t) {});
    boost::asio::async_read(stream, boost::asio::dynamic_buffer(answers.emplace_back()),
                            [&](boost::system::error_code, std::size_t) { ++closed; });
  }
  const std::chrono::seconds less_than_the_deadline(5);
  EXPECT_TRUE(RunUntil(
      loop_, [&] { return closed >= 6; }, less_than_the_deadline));
  EXPECT_EQ(closed, 6) << "64 of one address";
  EXPECT_TRUE(Join(token_));
  EXPECT_TRUE(progress_.empty());
  for (const auto& stream : staying) stream->next_layer().close();
  EXPECT_TRUE(RunUntil(loop_, [&] { return closed == 70; }));
}

TEST(JoinCodec, EveryTruncationIsRefused) {
  const std::string request = EncodeJoinRequest({"id", "secret", DrawNode().node, "name", "pem", 7, {}});
  ASSERT_TRUE(DecodeJoinRequest(request));
  for (std::size_t size = 0; size < request.size(); ++size)
    EXPECT_FALSE(DecodeJoinRequest(request.substr(0, size)));
  EXPECT_FALSE(DecodeJoinRequest(request + "x"));
  JoinAnswer full;
  full.peers.emplace_back(DrawNode().node, Endpoint{IpAddress::V4(10, 0, 0, 1), 7700});
  const std::string answer = EncodeJoinAnswer(full);
  ASSERT_TRUE(DecodeJoinAnswer(answer));
  for (std::size_t size = 0; size < answer.size(); ++size)
    EXPECT_FALSE(DecodeJoinAnswer(answer.substr(0, size)));
}

}  // namespace
}  // namespace hs
