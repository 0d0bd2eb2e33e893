#include "runtime/agent/enter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace hs {
namespace {

class EnterTest : public testing::Test {
 protected:
  EnterTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hs-enter-XXXXXX").string();
    options_.data_dir = ::mkdtemp(pattern.data());
    options_.discovery = false;
    directory_.emplace(DataDir::Open(options_.data_dir).value());
  }
  ~EnterTest() override { std::filesystem::remove_all(options_.data_dir); }

  Result<Entry> Enter() { return EnterCluster(loop_, *directory_, options_, "box"); }

  boost::asio::io_context loop_;
  AgentOptions options_;
  std::optional<DataDir> directory_;
};

TEST_F(EnterTest, AClusterIsFormedUntilItsFirstDocumentsAreOnDisk) {
  const Entry first = Enter().value();
  EXPECT_TRUE(first.formed);
  const Entry again = Enter().value();
  EXPECT_TRUE(again.formed) << "the first start ended before it wrote them";
  EXPECT_EQ(again.identity.node, first.identity.node);
  FinishForming(*directory_);
  EXPECT_FALSE(Enter().value().formed) << "one whose documents are lost is not formed again";
}

TEST_F(EnterTest, ABoxThatJoinsAfterAFormingThatFailedFormsNothing) {
  const Identity formed = Enter().value().identity;
  // As a joiner would: what was left of the forming lies beside the identity of another node.
  ASSERT_TRUE(RenewNode(*directory_, formed));
  EXPECT_FALSE(Enter().value().formed);
}

// A member that hangs up; whoever tries to join it gives up.
class DeafMember {
 public:
  explicit DeafMember(boost::asio::io_context& loop) : acceptor_(loop, {Address(), 0}) {
    acceptor_.async_accept([this, &loop](const boost::system::error_code& failure, const auto&) {
      asked_ = asked_ || !failure;
      loop.stop();
    });
  }
  bool asked() const { return asked_; }
  std::string Token() const {
    const Endpoint here{IpAddress::V4(127, 0, 0, 1), acceptor_.local_endpoint().port()};
    return ToText(NewToken({}, {here}));
  }

 private:
  static boost::asio::ip::address Address() { return boost::asio::ip::make_address("127.0.0.1"); }
  boost::asio::ip::tcp::acceptor acceptor_;
  bool asked_ = false;
};

TEST_F(EnterTest, AJoinerAsksNobodyBeforeItHasRoomForTheAnswer) {
  DeafMember member(loop_);
  options_.join = member.Token();
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{32 * 1024, limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto entry = Enter();
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  ASSERT_FALSE(entry);
  EXPECT_THAT(entry.error().message, testing::HasSubstr("joining.room"));
  EXPECT_FALSE(member.asked());
  EXPECT_FALSE(Enter());
  EXPECT_TRUE(member.asked()) << "with room it does";
  EXPECT_FALSE(directory_->Has("joining.room"));
}

TEST_F(EnterTest, ATryToJoinAfterOneCutShortIsTheSameNode) {
  DeafMember member(loop_);
  options_.join = member.Token();
  EXPECT_FALSE(Enter());
  ASSERT_TRUE(directory_->Has("joining")) << "it is on disk before anybody is asked";
  const NewNode drawn = KeepNewNode(*directory_).value();
  const NewNode again = KeepNewNode(*directory_).value();
  EXPECT_EQ(again.node, drawn.node);
  EXPECT_EQ(again.public_key_pem, drawn.public_key_pem);
  ASSERT_TRUE(directory_->Write("joining", "half a li"));
  EXPECT_NE(KeepNewNode(*directory_).value().node, drawn.node);
}

}  // namespace
}  // namespace hs
