#include "runtime/agent/enter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
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

}  // namespace
}  // namespace hs
