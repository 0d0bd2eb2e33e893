#include "runtime/agent/follow_log.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <fstream>
#include <thread>

namespace hs {
namespace {

struct Seen {
  std::vector<std::string> lines;
  bool ended = false;
  bool elsewhere = false;  // told of on another thread than this
};

class WritesDown final : public LogSink {
 public:
  explicit WritesDown(Seen& seen) : seen_(seen) {}
  ~WritesDown() override { Look(); }
  bool Line(WallMs at_ms, std::string_view line) override {
    Look();
    seen_.lines.push_back(std::to_string(at_ms % 1000) + " " + std::string(line));
    return true;
  }
  bool Full() const override { return false; }
  void OnRoom(std::function<void()> resume) override { resume(); }
  void End() override { seen_.ended = true; }
  void OnGone(std::function<void()>) override {}

 private:
  void Look() { seen_.elsewhere |= std::this_thread::get_id() != here_; }
  Seen& seen_;
  std::thread::id here_ = std::this_thread::get_id();
};

TEST(FollowLog, LinesAreReadElsewhereAndHandedOutOnTheLoop) {
  std::string pattern = (std::filesystem::temp_directory_path() / "hs-follow-XXXXXX").string();
  const std::filesystem::path directory = mkdtemp(pattern.data());
  std::ofstream(directory / "out.log") << "2026-11-22T08:36:11.123Z o one\n2026-11-22T08:36:11.456Z o two\n";
  boost::asio::io_context loop;
  boost::asio::thread_pool reading(1);
  Seen seen;
  FollowLog(loop, reading, directory, LogQuery{.replica = {}, .lines = 10},
            std::make_shared<WritesDown>(seen));
  EXPECT_TRUE(seen.lines.empty());
  reading.join();
  EXPECT_TRUE(seen.lines.empty()) << "the loop has not run yet";
  loop.run();
  EXPECT_EQ(seen.lines, (std::vector<std::string>{"123 one", "456 two"}));
  EXPECT_TRUE(seen.ended);
  EXPECT_FALSE(seen.elsewhere);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace hs
