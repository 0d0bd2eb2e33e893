#include "runtime/bundle/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/prng.h"
#include "runtime/bundle/archive/archive.h"

namespace hs {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ReadFile(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}
void WriteFile(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

class BundleTest : public ::testing::Test {
 protected:
  BundleTest() {
    std::string name = (fs::temp_directory_path() / "hs-bundle-XXXXXX").string();
    root_ = mkdtemp(name.data());
    fs::create_directory(root_ / "out");
  }
  ~BundleTest() override { fs::remove_all(root_); }

  void MakeTree(const fs::path& at) {
    WriteFile(at / "run.sh", "#!/bin/sh\n");
    fs::permissions(at / "run.sh", fs::perms::owner_all);
    WriteFile(at / "public/index.html", "<p>");
    WriteFile(at / "public/\xc3\xa4 b.txt", std::string(100'000, 'x'));
    WriteFile(at / ".hidden", "");
    fs::create_directory(at / "empty");
    fs::create_symlink("../run.sh", at / "public/start");
  }
  PackedBundle Pack(const fs::path& directory) {
    auto packed =
        PackBundle(directory, root_ / (directory.filename().string() + ".tar.zst"), HS_BUNDLE_HELPER);
    EXPECT_TRUE(packed) << packed.error().message;
    return packed ? *packed : PackedBundle{};
  }
  BundleStore Store() { return BundleStore::Open(root_ / "store", HS_BUNDLE_HELPER).value(); }
  std::vector<std::string> Left() {
    std::vector<std::string> names;
    for (const auto& file : fs::directory_iterator(root_ / "store"))
      names.push_back(file.path().filename().string());
    return names;
  }

  fs::path root_;
};

TEST_F(BundleTest, ComesBackAsItWas) {
  MakeTree(root_ / "tree");
  const PackedBundle packed = Pack(root_ / "tree");
  EXPECT_EQ(packed.bytes, fs::file_size(packed.path));
  const BundleStore store = Store();
  EXPECT_FALSE(store.Has(packed.digest));
  ASSERT_TRUE(store.AddFile(packed.path, packed.digest));
  EXPECT_TRUE(store.AddFile(packed.path, packed.digest)) << "twice is as good as once";
  EXPECT_TRUE(store.Has(packed.digest));
  EXPECT_THAT(store.List(), ElementsAre(packed.digest));
  const auto unpacked = store.Unpack(packed.digest, root_ / "out");
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_EQ(ReadFile(root_ / "out/public/index.html"), "<p>");
  EXPECT_EQ(ReadFile(root_ / "out/public/\xc3\xa4 b.txt").size(), 100'000u);
  EXPECT_TRUE(fs::is_directory(root_ / "out/empty"));
  EXPECT_TRUE(fs::exists(root_ / "out/.hidden"));
  EXPECT_EQ(fs::read_symlink(root_ / "out/public/start"), "../run.sh");
  EXPECT_EQ(access((root_ / "out/run.sh").c_str(), X_OK), 0);
  EXPECT_EQ(fs::status(root_ / "out/public/index.html").permissions(), fs::perms(0644));
}

TEST_F(BundleTest, EqualTreesHaveEqualDigestsWhateverTheirTimesAndOrder) {
  MakeTree(root_ / "one");
  WriteFile(root_ / "two/public/\xc3\xa4 b.txt", "made first here");
  MakeTree(root_ / "two");
  fs::last_write_time(root_ / "two/run.sh", fs::file_time_type::clock::now() - std::chrono::hours(99));
  fs::permissions(root_ / "two/run.sh", fs::perms(0755));
  const PackedBundle one = Pack(root_ / "one");
  EXPECT_EQ(one.digest, Pack(root_ / "two").digest);
  WriteFile(root_ / "two/.hidden", "x");
  EXPECT_NE(one.digest, Pack(root_ / "two").digest);
}

TEST_F(BundleTest, RefusesToPackWhatCannotBeTheSameElsewhere) {
  const auto why = [&](const std::string& name) {
    const auto packed = PackBundle(root_ / name, root_ / "x", HS_BUNDLE_HELPER);
    return packed ? "packed" : packed.error().message;
  };
  EXPECT_THAT(why("none"), HasSubstr("none: does not exist"));
  WriteFile(root_ / "file", "");
  EXPECT_THAT(why("file"), HasSubstr("file: is not a directory"));
  fs::create_directory(root_ / "a");
  fs::create_symlink("/etc/passwd", root_ / "a/l");
  EXPECT_THAT(why("a"), HasSubstr("a/l: links to /etc/passwd, outside the bundle"));
  fs::create_directories(root_ / "b/d");
  fs::create_symlink("../../x", root_ / "b/d/l");
  EXPECT_THAT(why("b"), HasSubstr("b/d/l: links to ../../x, outside"));
  fs::create_directory(root_ / "c");
  ASSERT_EQ(mkfifo((root_ / "c/pipe").c_str(), 0600), 0);
  EXPECT_THAT(why("c"), HasSubstr("c/pipe: is neither a file"));
  WriteFile(root_ / "d/\xff", "");
  EXPECT_THAT(why("d"), HasSubstr("its name is not UTF-8"));
  EXPECT_FALSE(fs::exists(root_ / "x")) << "a failed pack leaves nothing";
}

// --------------------------------------------------------------------------------------------------- the
// store

TEST_F(BundleTest, TakesNoBytesThatDoNotHaveTheAnnouncedDigest) {
  MakeTree(root_ / "tree");
  const PackedBundle packed = Pack(root_ / "tree");
  const std::string bytes = ReadFile(packed.path);
  const BundleStore store = Store();
  {
    auto incoming = store.Receive(packed.digest).value();
    ASSERT_TRUE(incoming.Write(std::string_view(bytes).substr(0, bytes.size() - 1)));
    const auto committed = incoming.Commit();
    ASSERT_FALSE(committed) << "a byte is missing";
    EXPECT_THAT(committed.error().message, HasSubstr("announced was " + packed.digest.Hex()));
  }
  { auto given_up = store.Receive(packed.digest).value(); }
  EXPECT_THAT(Left(), IsEmpty());
  auto incoming = store.Receive(packed.digest).value();
  for (std::size_t at = 0; at < bytes.size(); at += 7)
    ASSERT_TRUE(incoming.Write(std::string_view(bytes).substr(at, 7)));
  ASSERT_TRUE(incoming.Commit());
  EXPECT_TRUE(store.Has(packed.digest));
}

TEST_F(BundleTest, AStartRemovesWhatWasHalfWritten) {
  WriteFile(root_ / "store/.incoming-1-2-abc", "half");
  WriteFile(Store().DraftPath(Digest{}), "half of an upload");
  WriteFile(root_ / "store/README", "not ours");
  EXPECT_THAT(Store().List(), IsEmpty());
  EXPECT_THAT(Left(), ElementsAre("README"));
}

TEST_F(BundleTest, DamageOnDiskIsNoticedAndNeverUnpacked) {
  MakeTree(root_ / "tree");
  const PackedBundle packed = Pack(root_ / "tree");
  const BundleStore store = Store();
  ASSERT_TRUE(store.AddFile(packed.path, packed.digest));
  std::string bytes = ReadFile(packed.path);
  bytes[bytes.size() / 2] ^= 1;
  WriteFile(store.Path(packed.digest), bytes);
  const auto unpacked = store.Unpack(packed.digest, root_ / "out");
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().reaction, Reaction::kRetryLater);
  EXPECT_THAT(unpacked.error().message, HasSubstr("damaged on disk"));
  EXPECT_TRUE(fs::is_empty(root_ / "out"));
  EXPECT_FALSE(store.Has(packed.digest)) << "so that it is fetched again";
}

TEST_F(BundleTest, AMissingHelperIsSaidPlainly) {
  fs::create_directory(root_ / "tree");
  const auto packed = PackBundle(root_ / "tree", root_ / "x", root_ / "no-such-program");
  ASSERT_FALSE(packed);
  EXPECT_THAT(packed.error().message, HasSubstr("no-such-program: No such file"));
}

// ---------------------------------------------------------------------------------------------- evil
// archives

struct EvilEntry {
  const char* name;
  unsigned type = AE_IFREG;
  const char* link = nullptr;
  const char* hardlink = nullptr;
  std::size_t bytes = 3;
};

class EvilArchive : public BundleTest {
 protected:
  std::string Unpack(const std::vector<EvilEntry>& entries, const bundle::Limits& limits = {}) {
    const fs::path path = root_ / "evil";
    archive* writer = archive_write_new();
    archive_write_set_format_pax_restricted(writer);
    archive_write_add_filter_zstd(writer);
    EXPECT_EQ(archive_write_open_filename(writer, path.c_str()), ARCHIVE_OK);
    for (const EvilEntry& evil : entries) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, evil.name);
      archive_entry_set_filetype(entry, evil.type);
      archive_entry_set_perm(entry, 06755);
      if (evil.link != nullptr) archive_entry_set_symlink(entry, evil.link);
      if (evil.hardlink != nullptr) archive_entry_set_hardlink(entry, evil.hardlink);
      const bool data = evil.type == AE_IFREG && evil.hardlink == nullptr;
      archive_entry_set_size(entry, data ? static_cast<la_int64_t>(evil.bytes) : 0);
      EXPECT_EQ(archive_write_header(writer, entry), ARCHIVE_OK) << evil.name;
      const std::string bytes(data ? evil.bytes : 0, 'x');
      archive_write_data(writer, bytes.data(), bytes.size());
      archive_entry_free(entry);
    }
    archive_write_free(writer);
    return UnpackFile(path, limits);
  }

  std::string UnpackFile(const fs::path& path, const bundle::Limits& limits = {}) {
    fs::remove_all(root_ / "out");
    fs::create_directory(root_ / "out");
    const int fd = open(path.c_str(), O_RDONLY);
    const auto result = bundle::UnpackInto(fd, root_ / "out", limits);
    close(fd);
    return result ? "unpacked" : result.error().message;
  }
};

TEST_F(EvilArchive, IsRefusedAndWritesNothingOutside) {
  struct Row {
    std::vector<EvilEntry> entries;
    const char* error;
    const char* why;
  };
  const std::string absolute = (root_ / "absolute").string();
  const Row rows[] = {
      {{{"../escaped"}}, "\"../escaped\" does not stay inside", "climbs out"},
      {{{"a/../../escaped"}}, "does not stay inside", "climbs out on a detour"},
      {{{absolute.c_str()}}, "does not stay inside", "absolute"},
      {{{"./a"}}, "does not stay inside", "not the normal form, which could be a second name of one file"},
      {{{"l", AE_IFLNK, "/etc"}}, "links to outside", "an absolute link"},
      {{{"l", AE_IFLNK, ".."}}, "links to outside", "a link that climbs out"},
      {{{"d/l", AE_IFLNK, "x/../../.."}},
       "links to outside",
       "climbs after descending, which a link could divert"},
      {{{"a"}, {"b", AE_IFREG, nullptr, "a"}}, "is a hard link", "could name a file outside"},
      {{{"b", AE_IFREG, nullptr, "/etc/passwd"}}, "is a hard link", "to a file outside"},
      {{{"p", AE_IFIFO}}, "is neither a file", "a pipe would block its reader"},
      {{{"n", AE_IFCHR}}, "is neither a file", "a device"},
      {{{"a"}, {"a"}}, "is there twice", "which one is meant?"},
      {{{"l", AE_IFLNK, "d"}, {"d", AE_IFDIR}, {"l/f"}}, "\"l\" is there twice", "writes through a link"},
  };
  for (const Row& row : rows) EXPECT_THAT(Unpack(row.entries), HasSubstr(row.error)) << row.why;
  EXPECT_FALSE(fs::exists(root_ / "escaped"));
  EXPECT_FALSE(fs::exists(absolute));
}

TEST_F(EvilArchive, ABombIsStoppedByItsUnpackedSize) {
  EXPECT_THAT(Unpack({{"big", AE_IFREG, nullptr, nullptr, 10 << 20}}, {.bytes = 1 << 20}),
              HasSubstr("unfolds to more than 1048576 bytes"));
  const EvilEntry half{"a", AE_IFREG, nullptr, nullptr, 700'000};
  const EvilEntry other_half{"b", AE_IFREG, nullptr, nullptr, 700'000};
  EXPECT_THAT(Unpack({half, other_half}, {.bytes = 1 << 20}), HasSubstr("unfolds to more than"))
      << "all files together";
  EXPECT_THAT(Unpack({{"a"}, {"b"}, {"c"}}, {.entries = 2}), HasSubstr("more than 2 entries"));
}

TEST_F(EvilArchive, SpecialBitsAreDropped) {
  ASSERT_EQ(Unpack({{"f"}}), "unpacked");
  EXPECT_EQ(fs::status(root_ / "out/f").permissions(), fs::perms(0755));
}

TEST_F(EvilArchive, OnlyAnEmptyDirectoryIsFilled) {
  ASSERT_EQ(Unpack({{"f"}}), "unpacked");
  const int fd = open((root_ / "evil").c_str(), O_RDONLY);
  const auto again = bundle::UnpackInto(fd, root_ / "out");
  close(fd);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("is not an empty directory"));
}

TEST_F(EvilArchive, DamageOfAnyKindIsAnErrorOrHarmless) {
  MakeTree(root_ / "tree");
  const std::string bytes = ReadFile(Pack(root_ / "tree").path);
  Prng prng(3);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = bytes;
    if (prng.Chance(0.5)) {
      damaged.resize(prng.Below(bytes.size()));
    } else {
      damaged[prng.Below(damaged.size())] ^= static_cast<char>(1 + prng.Below(255));
    }
    WriteFile(root_ / "damaged", damaged);
    refused += UnpackFile(root_ / "damaged") == "unpacked" ? 0 : 1;
  }
  EXPECT_GT(refused, 200) << "damage that tar's and zstd's checks let pass is caught by the digest before";
}

}  // namespace
}  // namespace hs
