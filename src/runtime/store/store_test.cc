#include "runtime/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A codec of the test's own: key, and the token's id as the content.
StoreCodec TestCodec() {
  return {[](const Document& document) {
            const auto* token = std::get_if<TokenDoc>(&document.body);
            return document.key + "|" + (token ? token->id : "");
          },
          [](std::string_view bytes) -> Result<Document> {
            const auto bar = bytes.find('|');
            if (bar == std::string_view::npos) return BadInput("no bar");
            Document document{std::string(bytes.substr(0, bar)), Stamp{1},
                              TokenDoc{std::string(bytes.substr(bar + 1)), {}}};
            return document;
          }};
}

Document Doc(const std::string& key, const std::string& content) {
  return {key, Stamp{1}, TokenDoc{content, {}}};
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hs-store-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/store.db";
  }
  ~StoreTest() override {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  StoreContent Open() {
    store_.reset();
    StoreContent content;
    auto opened = Store::Open(loop_, path_, TestCodec(), content);
    if (opened) {
      store_ = std::move(*opened);
    } else {
      ADD_FAILURE() << opened.error().message;
    }
    return content;
  }

  Result<void> Persist(std::vector<Document> documents) {
    std::optional<Result<void>> answer;
    store_->Persist(std::move(documents), [&](Result<void> result) { answer = result; });
    loop_.restart();
    const auto guard = boost::asio::make_work_guard(loop_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!answer && std::chrono::steady_clock::now() < deadline) loop_.run_one_for(std::chrono::seconds(1));
    return answer ? *answer : Fail(Reaction::kRetryLater, "no answer");
  }

  static std::vector<std::string> Keys(const StoreContent& content) {
    std::vector<std::string> keys;
    for (const Document& document : content.documents) keys.push_back(document.key);
    return keys;
  }

  void Sql(const std::string& sql) {
    store_.reset();
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
  }

  boost::asio::io_context loop_;
  std::string directory_;
  std::string path_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ItsFilesAreForItsOwnerAlone) {
  std::ofstream(path_) << "";  // as an earlier release made it
  std::filesystem::permissions(path_, std::filesystem::perms(0644));
  Open();
  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    const auto mode = static_cast<unsigned>(file.status().permissions());
    EXPECT_EQ(mode & 0077u, 0u) << file.path();
  }
}

TEST_F(StoreTest, WhatWasPersistedIsThereAfterAReopen) {
  EXPECT_THAT(Open().documents, IsEmpty());
  ASSERT_TRUE(Persist({Doc("b", "1"), Doc("a", "1")}));
  ASSERT_TRUE(Persist({Doc("b", "2")}));
  const NodeId node = *NodeId::FromHex("000102030405060708090a0b0c0d0e0f");
  store_->SavePeers({{node, *Endpoint::Parse("10.0.0.1:7700")}});
  const StoreContent content = Open();
  EXPECT_THAT(content.warnings, IsEmpty());
  ASSERT_THAT(Keys(content), ElementsAre("a", "b"));
  EXPECT_EQ(content.documents[1], Doc("b", "2"));
  EXPECT_THAT(content.peers, ElementsAre(std::pair(node, *Endpoint::Parse("10.0.0.1:7700"))));
  ASSERT_TRUE(Persist({Document{"a", {}, std::monostate{}, {}}}));
  EXPECT_THAT(Keys(Open()), ElementsAre("b")) << "without a stamp: deleted";
}

TEST_F(StoreTest, ManyWritesThatWaitTogetherAreAllAnsweredAndAllKept) {
  Open();
  int answered = 0;
  for (int i = 0; i < 200; ++i) {
    store_->Persist({Doc("k" + std::to_string(i), "x")},
                    [&](const Result<void>& result) { answered += result.has_value(); });
  }
  ASSERT_TRUE(Persist({Doc("last", "x")}));
  EXPECT_EQ(answered, 200);
  EXPECT_EQ(Open().documents.size(), 201u);
}

TEST_F(StoreTest, ARowChangedOnDiskIsReportedAndLeftOutAndTheOthersAreKept) {
  Open();
  ASSERT_TRUE(Persist({Doc("a", "good"), Doc("b", "good"), Doc("c", "good")}));
  Sql("UPDATE documents SET body = 'b|evil' WHERE key = 'b'");
  const StoreContent content = Open();
  EXPECT_THAT(Keys(content), ElementsAre("a", "c"));
  EXPECT_THAT(content.warnings, ElementsAre(HasSubstr("'b' is damaged")));
  ASSERT_TRUE(Persist({Doc("b", "good")}));
  EXPECT_THAT(Open().warnings, IsEmpty()) << "a copy from elsewhere repairs it";
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsMovedAsideAndTheStoreStartsEmpty) {
  std::ofstream(path_) << std::string(8192, 'x');
  const StoreContent content = Open();
  EXPECT_THAT(content.documents, IsEmpty());
  ASSERT_THAT(content.warnings, ElementsAre(HasSubstr("moved to " + path_ + ".corrupt-")));
  ASSERT_TRUE(Persist({Doc("a", "1")}));
  EXPECT_THAT(Keys(Open()), ElementsAre("a"));
}

TEST_F(StoreTest, ATornFileStillOpensAndServesOnlyWhatIsWhole) {
  Open();
  std::vector<Document> documents;
  for (int i = 0; i < 300; ++i)
    documents.push_back(Doc("key" + std::to_string(1000 + i), std::string(500, 'v')));
  ASSERT_TRUE(Persist(documents));
  store_.reset();
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(12 * 4096);
    file << std::string(20 * 4096, '\x5a');
  }
  const StoreContent content = Open();
  EXPECT_THAT(content.warnings, testing::Contains(HasSubstr("damaged")));
  EXPECT_LT(content.documents.size(), 300u);
  for (const Document& document : content.documents)
    EXPECT_EQ(document, Doc(document.key, std::string(500, 'v')));
  ASSERT_TRUE(Persist(documents));
  EXPECT_EQ(Open().documents.size(), 300u);
}

TEST_F(StoreTest, AFullDiskFailsTheWriteSaysSoAndLosesNothing) {
  Open();
  ASSERT_TRUE(Persist({Doc("a", "1")}));
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tiny{64 * 1024, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tiny);
  const auto full = Persist({Doc("big", std::string(1'000'000, 'x'))});
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(full);
  EXPECT_THAT(full.error().message, HasSubstr("local store"));
  ASSERT_TRUE(Persist({Doc("b", "1")})) << "it goes on when there is room again";
  EXPECT_THAT(Keys(Open()), ElementsAre("a", "b"));
}

TEST_F(StoreTest, ADirectoryThatIsNotThereIsAClearError) {
  StoreContent content;
  const auto opened = Store::Open(loop_, directory_ + "/no/store.db", TestCodec(), content);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("/no/store.db"));
}

}  // namespace
}  // namespace hs
