#include "runtime/agent/disk_check.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace hs {
namespace {

TEST(DiskCheck, WhatTheWordsOfAFailureSay) {
  struct Row {
    const char* words;
    DiskFault fault;
  };
  for (const Row& row : {
           Row{"/data/bundles/.incoming-1: No space left on device", DiskFault::kFull},
           Row{"could not be started: /data/replicas/1/spec: Disk quota exceeded", DiskFault::kFull},
           Row{"the local store: database or disk is full", DiskFault::kFull},
           Row{"/data/x: Read-only file system", DiskFault::kReadOnly},
           Row{"cannot write to the local store: attempt to write a readonly database", DiskFault::kReadOnly},
           Row{"the local store: disk I/O error (Input/output error)", DiskFault::kFailing},
           Row{"the local store: disk I/O error (No space left on device)", DiskFault::kFull},
           Row{"exec: No such file or directory", DiskFault::kNone},
           Row{"", DiskFault::kNone},
       }) {
    EXPECT_EQ(FaultIn(row.words), row.fault) << row.words;
  }
}

TEST(DiskCheck, ADirectoryWithRoomTakesATestWriteAndIsLeftAsItWas) {
  std::string pattern = (std::filesystem::temp_directory_path() / "hs-disk-XXXXXX").string();
  const std::string directory = ::mkdtemp(pattern.data());
  const DiskChecked check = TestDisk(directory);
  EXPECT_EQ(check.fault, DiskFault::kNone) << check.reason;
  EXPECT_TRUE(check.written);
  EXPECT_GT(check.total_bytes, check.free_bytes);
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  EXPECT_FALSE(LookAtDisk(directory).written);
  std::filesystem::remove_all(directory);
  EXPECT_EQ(TestDisk(directory).fault, DiskFault::kFailing) << "the directory is gone";
}

// In a child with mounts of its own; what it saw is its exit code.
int SeenOnASmallDisk(const std::string& directory) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
  if (::mount("hs-test", directory.c_str(), "tmpfs", 0, "size=256k") != 0) return 77;
  if (!TestDisk(directory).written) return 1;
  std::ofstream(directory + "/ballast") << std::string(256 << 10, 'x');
  const DiskChecked full = TestDisk(directory);
  if (full.fault != DiskFault::kFull || full.written || full.free_bytes != 0) return 2;
  std::filesystem::remove(directory + "/ballast");
  if (!TestDisk(directory).written) return 3;
  if (::mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return 77;
  if (TestDisk(directory).fault != DiskFault::kReadOnly) return 4;
  if (LookAtDisk(directory).fault != DiskFault::kReadOnly) return 5;
  return 0;
}

TEST(DiskCheck, ASmallDiskThatIsFilledFreedAndMadeReadOnly) {
  std::string pattern = (std::filesystem::temp_directory_path() / "hs-disk-XXXXXX").string();
  const std::string directory = ::mkdtemp(pattern.data());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(SeenOnASmallDisk(directory));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  std::filesystem::remove_all(directory);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no mounts here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace hs
