#include "runtime/process/log_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "base/prng.h"

namespace hs {
namespace {

class LogReaderTest : public ::testing::Test {
 protected:
  LogReaderTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hs-logs-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
  }
  ~LogReaderTest() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ / name, std::ios::app) << bytes;
  }

  std::filesystem::path directory_;
};

constexpr WallMs kEight = 1'795'334'400'000;  // 2026-11-22T08:00:00Z
std::string At(int second, const std::string& text) {
  return fmt::format("2026-11-22T08:{:02}:{:02}.000Z o {}", second / 60, second % 60, text);
}

TEST_F(LogReaderTest, TheLastLinesAreTheSameWhereverAPieceIsCut) {
  Prng prng(3);
  std::vector<std::string> all;
  for (const char* name : {"out.log.2", "out.log.1", "out.log"}) {
    std::string bytes;
    for (int i = 0; i < 40; ++i) {
      const std::size_t size = prng.Chance(0.1) ? 0 : prng.Below(prng.Chance(0.1) ? 200'000 : 9'000);
      all.emplace_back(size, static_cast<char>('a' + prng.Below(26)));
      bytes += all.back() + "\n";
    }
    Write(name, bytes);
  }
  Write("out.log", "a line that is still being written");
  for (std::size_t n = 0; n <= all.size(); ++n)
    EXPECT_EQ(ReadLog(directory_, n), std::vector(all.end() - static_cast<std::ptrdiff_t>(n), all.end()));
  EXPECT_EQ(ReadLog(directory_, 10'000), all);
}

TEST_F(LogReaderTest, LinesFromATimeOnAreFoundAlsoBehindAClockThatWasSetBack) {
  Write("out.log.1", At(1, "old") + "\n" + At(70, "before it was set back") + "\n");
  Write("out.log", At(2, "after") + "\n" + At(71, "new") + "\n");
  constexpr WallMs kMinuteOne = kEight + 60'000;
  EXPECT_EQ(ReadLog(directory_, 10, kMinuteOne),
            (std::vector{At(70, "before it was set back"), At(71, "new")}));
  EXPECT_EQ(ReadLog(directory_, 1, kMinuteOne), std::vector{At(71, "new")});
}

// A hole of 1 TiB stands for all that nobody asked for: who reads it whole finds no memory for it.
TEST_F(LogReaderTest, NoMoreIsReadThanWasAskedFor) {
  Write("out.log", "");
  std::filesystem::resize_file(directory_ / "out.log", std::uintmax_t{1} << 40);
  Write("out.log", "\n");
  for (int i = 0; i < 3000; ++i) Write("out.log", At(i, std::string(100, 'x')) + "\n");
  EXPECT_EQ(ReadLog(directory_, 100).size(), 100u);
  EXPECT_EQ(ReadLog(directory_, 100'000, kEight + 2'990'000).size(), 10u) << "older comes before";
}

}  // namespace
}  // namespace hs
