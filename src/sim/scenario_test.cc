// Every tests/scenarios/NAME.txt must give the transcript NAME.out. HOMEOSTAT_RECORD=1 writes the transcripts
// anew: read the diff before committing it.
#include "sim/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/scenario_words.h"

namespace hs::sim {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> Scenarios() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(HS_SOURCE_DIR "/tests/scenarios")) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(Scenario, EveryTranscriptIsAsRecorded) {
  const auto paths = Scenarios();
  ASSERT_FALSE(paths.empty());
  for (const auto& path : paths) {
    const auto result = RunScenario(ReadFile(path));
    ASSERT_TRUE(result) << path << ": " << result.error().message;
    EXPECT_TRUE(result->passed) << path << "\n" << result->transcript;
    auto expected = path;
    expected.replace_extension(".out");
    if (std::getenv("HOMEOSTAT_RECORD") != nullptr) {
      std::ofstream(expected) << result->transcript;
    } else {
      EXPECT_EQ(ReadFile(expected), result->transcript) << path;
    }
  }
}

TEST(Scenario, ErrorsNameTheLine) {
  const auto unknown = RunScenario("boxes 2\nexplode n0\n");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message, "line 2: there is no command 'explode'");
  const auto no_box = RunScenario("boxes 2\nstart n7\n");
  ASSERT_FALSE(no_box);
  EXPECT_EQ(no_box.error().message, "line 2: there is no box 'n7'");
}

TEST(Scenario, TimesAreReadWithTheirUnits) {
  EXPECT_EQ(*ParseNanoseconds("250ms"), 250'000'000);
  EXPECT_EQ(*ParseNanoseconds("2min"), 120'000'000'000);
  EXPECT_FALSE(ParseNanoseconds("5"));
  EXPECT_FALSE(ParseNanoseconds("ms"));
  EXPECT_FALSE(ParseNanoseconds("9999999999h"));
}

}  // namespace
}  // namespace hs::sim
