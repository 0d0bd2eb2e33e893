#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "runtime/net/lan_joiner.h"
#include "runtime/net/lan_member.h"
#include "runtime/net/lan_words.h"
#include "runtime/net/net_test_util.h"

namespace hs {
namespace {

const Endpoint kListen{IpAddress::V4(127, 0, 0, 1), 7700};
const Endpoint kHome{IpAddress::V4(10, 1, 2, 3), 7700};
constexpr auto kQuiet = std::chrono::milliseconds(300);

// Everything that is said on the local network of this machine.
struct Listener {
  explicit Listener(boost::asio::io_context& loop)
      : socket(LanSocket::Open(loop, kListen, [this](const Endpoint&, std::string_view datagram) {
                 heard.emplace_back(datagram);
               }).value()) {}
  std::vector<std::string> heard;
  std::unique_ptr<LanSocket> socket;
};

class LanTest : public ::testing::Test {
 protected:
  struct Box {
    std::vector<std::pair<NodeId, Endpoint>> heard;
    std::unique_ptr<LanMember> lan;
  };

  std::unique_ptr<Box> Start(const Identity& identity, std::size_t members = 3) {
    auto box = std::make_unique<Box>();
    LanService service;
    service.find_token = [this](const std::string& id) {
      return tokens_.contains(id) ? std::optional(tokens_[id]) : std::nullopt;
    };
    service.now = [this] { return now_; };
    service.members = [members] { return members; };
    service.heard = [box = box.get()](NodeId from, const Endpoint& at) { box->heard.emplace_back(from, at); };
    box->lan = LanMember::Open(loop_, kListen, kHome, identity, std::move(service)).value();
    return box;
  }
  std::unique_ptr<LanJoiner> StartJoiner(const JoinToken& token) {
    return LanJoiner::Open(loop_, kListen, token, [this](const Endpoint& at) { found_.push_back(at); })
        .value();
  }
  void RunFor(std::chrono::milliseconds span) {
    const auto until = std::chrono::steady_clock::now() + span;
    while (std::chrono::steady_clock::now() < until) {
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(20));
    }
  }

  boost::asio::io_context loop_;
  TestCluster cluster_;
  Now now_{Time(1h), 1'000};
  JoinToken token_ = NewToken(FingerprintOf(cluster_.authority.certificate_pem), {});
  std::map<std::string, TokenDoc> tokens_{{token_.id, DocumentOf(token_, 2'000, false)}};
  std::vector<Endpoint> found_;
};

TEST_F(LanTest, MembersHearEachOtherAndNobodyElse) {
  const auto one = Start(cluster_.Member(1)), two = Start(cluster_.Member(2));
  const TestCluster other;
  const auto stranger = Start(other.Member(3));
  stranger->lan->Ask();
  one->lan->Ask();
  ASSERT_TRUE(RunUntil(loop_, [&] { return !two->heard.empty(); }));
  RunFor(kQuiet);
  EXPECT_EQ(two->heard, (std::vector<std::pair<NodeId, Endpoint>>{{cluster_.Member(1).node, kHome}}));
  EXPECT_TRUE(one->heard.empty()) << "its own question comes back to it";
  EXPECT_TRUE(stranger->heard.empty());
}

TEST_F(LanTest, AQuestionThatIsRepeatedOrChangedIsNotHeard) {
  Listener listener(loop_);
  const auto one = Start(cluster_.Member(1)), two = Start(cluster_.Member(2));
  one->lan->Ask();
  ASSERT_TRUE(RunUntil(loop_, [&] { return two->heard.size() == 1 && !listener.heard.empty(); }));
  const std::string question = listener.heard.front();
  listener.socket->Ask(question);
  for (std::size_t i = 0; i < question.size(); ++i) {
    std::string changed = question;
    changed[i] = static_cast<char>(changed[i] ^ 0x40);
    listener.socket->Ask(changed);
    listener.socket->Ask(question.substr(0, i));
  }
  RunFor(kQuiet);
  EXPECT_EQ(two->heard.size(), 1u);
}

TEST_F(LanTest, AJoinerWithTheSecretIsToldWhereAMemberIs) {
  const auto member = Start(cluster_.Member(1));
  const auto joiner = StartJoiner(token_);
  ASSERT_TRUE(RunUntil(loop_, [&] { return !found_.empty(); }));
  EXPECT_EQ(found_.front(), kHome);
}

TEST_F(LanTest, WithoutATokenInForceThereIsNoAnswer) {
  const auto member = Start(cluster_.Member(1));
  struct Row {
    const char* why;
    std::function<void(JoinToken&, TokenDoc&)> change;
  };
  for (const Row& row : {
           Row{"wrong secret", [](JoinToken&token, TokenDoc&) { token.secret[3] ^= 1; }},
           Row{"unknown or revoked", [](JoinToken&token, TokenDoc&) { token.id = "0000000000"; }},
           Row{"expired", [](JoinToken&, TokenDoc&known) { known.expires_ms = 1'000; }},
           Row{"a token for the API", [](JoinToken&, TokenDoc&known) { known.admin = true; }},
       }) {
    const auto kept = tokens_;
    JoinToken token = token_;
    row.change(token, tokens_.begin()->second);
    Listener asker(loop_);
    asker.socket->Ask(EncodeLanQuestion({token.id, RandomBytes(kLanNonceBytes)}, Sha256(token.secret)));
    RunFor(kQuiet);
    EXPECT_EQ(asker.heard.size(), 1u) << row.why << ": it hears its own question and nothing else";
    tokens_ = kept;
  }
}

TEST_F(LanTest, AReplayedOrForgedAnswerIsNotFollowed) {
  Listener listener(loop_);
  const Digest secret = Sha256(token_.secret);
  const auto joiner = StartJoiner(token_);
  ASSERT_TRUE(RunUntil(loop_, [&] { return !listener.heard.empty(); }));
  const auto question = ReadLanQuestion(listener.heard.front());
  ASSERT_TRUE(question);
  const Endpoint liar{IpAddress::V4(6, 6, 6, 6), 666};
  std::string other_nonce = question->nonce;
  other_nonce[0] ^= 1;
  // On the group, where the joiner hears as well as on the port it asks from.
  listener.socket->Ask(EncodeLanAnswer(question->nonce, liar, Sha256("a guess")));
  listener.socket->Ask(EncodeLanAnswer(other_nonce, liar, secret));
  listener.socket->Ask(listener.heard.front());
  RunFor(kQuiet);
  EXPECT_TRUE(found_.empty());
  listener.socket->Ask(EncodeLanAnswer(question->nonce, kHome, secret));
  EXPECT_TRUE(RunUntil(loop_, [&] { return found_ == std::vector{kHome}; }));
}

TEST_F(LanTest, AQuestionIsAnsweredOnceAtABoundedRateAndByNothingLonger) {
  const auto member = Start(cluster_.Member(1));
  Listener asker(loop_);
  const Digest secret = Sha256(token_.secret);
  const auto answers = [&] {
    return std::ranges::count_if(
        asker.heard, [&](const auto& datagram) { return OpenLanAnswer(datagram, secret).has_value(); });
  };
  const std::string once = EncodeLanQuestion({token_.id, std::string(kLanNonceBytes, 'x')}, secret);
  for (int i = 0; i < 10; ++i) asker.socket->Ask(once);
  RunFor(kQuiet);
  EXPECT_EQ(answers(), 1);
  for (const std::string& datagram : asker.heard) EXPECT_LE(datagram.size(), once.size());
  for (int i = 0; i < 50; ++i)
    asker.socket->Ask(EncodeLanQuestion({token_.id, RandomBytes(kLanNonceBytes)}, secret));
  RunFor(kQuiet);
  EXPECT_EQ(answers(), 16) << "the burst; here no time passes";
}

TEST_F(LanTest, GarbageDoesNotKeepAMemberFromHearing) {
  Listener vandal(loop_);
  const auto one = Start(cluster_.Member(1)), two = Start(cluster_.Member(2));
  Prng prng(3);
  for (int i = 0; i < 2000; ++i) {
    std::string garbage = RandomBytes(prng.Below(1400));
    if (garbage.size() > 2 && i % 2 == 0) garbage.replace(0, 2, std::string{1, static_cast<char>(1 + i % 3)});
    vandal.socket->Ask(garbage);
  }
  RunFor(kQuiet);
  // What the flood filled is read in bites.
  ASSERT_TRUE(RunUntil(loop_, [&] {
    one->lan->Ask();
    RunFor(std::chrono::milliseconds(50));
    return !two->heard.empty();
  }));
}

TEST(LanWords, EveryTruncationAndEveryChangeIsRefused) {
  const Digest secret = Sha256("secret");
  const std::string question = EncodeLanQuestion({"0123456789", std::string(kLanNonceBytes, 'n')}, secret);
  const std::string answer = EncodeLanAnswer(std::string(kLanNonceBytes, 'n'), kHome, secret);
  ASSERT_TRUE(ReadLanQuestion(question));
  EXPECT_EQ(ReadLanQuestion(question)->token_id, "0123456789");
  EXPECT_TRUE(HasLanMac(question, secret));
  ASSERT_TRUE(OpenLanAnswer(answer, secret));
  EXPECT_EQ(OpenLanAnswer(answer, secret)->address, kHome);
  for (std::size_t size = 0; size < question.size(); ++size) {
    EXPECT_FALSE(ReadLanQuestion(question.substr(0, size)));
    EXPECT_FALSE(OpenLanAnswer(answer.substr(0, std::min(size, answer.size() - 1)), secret));
  }
  for (std::size_t i = 0; i < answer.size(); ++i) {
    std::string changed = answer;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(OpenLanAnswer(changed, secret));
  }
  std::string as_answer = question;
  as_answer[1] = answer[1];
  EXPECT_FALSE(HasLanMac(as_answer, secret)) << "what is said as one thing does not pass as another";
}

}  // namespace
}  // namespace hs
