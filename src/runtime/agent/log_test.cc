#include "runtime/agent/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

namespace hs {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// Puts a pipe in the place of stderr; gtest's own words go to stdout.
class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    ASSERT_EQ(::pipe2(pipe_.data(), O_CLOEXEC), 0);
    kept_ = ::dup(STDERR_FILENO);
    ::dup2(pipe_[1], STDERR_FILENO);
    ::close(pipe_[1]);
  }
  void TearDown() override {
    ::dup2(kept_, STDERR_FILENO);
    ::close(kept_);
    if (pipe_[0] >= 0) ::close(pipe_[0]);
  }
  std::string ReadSome() {
    std::string text(1 << 20, ' ');
    const ssize_t size = ::read(pipe_[0], text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  }
  std::array<int, 2> pipe_{-1, -1};
  int kept_ = -1;
};

TEST_F(LogTest, ALineHasItsTime) {
  Log("{} replicas", 3);
  EXPECT_THAT(ReadSome(), ContainsRegex("^20[0-9-]*T[0-9:.]*Z 3 replicas\n$"));
}

TEST_F(LogTest, AReaderThatIsGoneDoesNotEndTheProcess) {
  ::close(pipe_[0]);
  pipe_[0] = -1;
  Log("nobody reads this");
  Log("nor this");
}

TEST_F(LogTest, AReaderThatStoppedDoesNotStopTheProcessAndIsToldWhatItMissed) {
  for (int i = 0; i < 20'000; ++i) Log("line {}", i);  // many times what a pipe holds
  const std::string first = ReadSome();
  EXPECT_THAT(first, HasSubstr("line 0\n"));
  EXPECT_EQ(first.back(), '\n') << "no line is cut";
  while (::fcntl(pipe_[0], F_SETFL, O_NONBLOCK) == 0 && !ReadSome().empty()) {
  }
  Log("again");
  EXPECT_THAT(ReadSome(), ContainsRegex("\\([0-9]+ lines before this one could not be written\\) again\n$"));
}

}  // namespace
}  // namespace hs
