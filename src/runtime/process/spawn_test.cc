#include "runtime/process/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

namespace hs {
namespace {

// A shim without the descriptor of its lock would run on while others think that nothing runs.
TEST(Spawn, WithoutRoomForItsDescriptorsNothingIsStarted) {
  const Fd lock(open("/dev/null", O_RDWR | O_CLOEXEC));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<Fd> all;
  for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) all.emplace_back(fd);
  SpawnRequest request;
  request.argv = {"/bin/true"};
  request.fd4 = lock.get();
  const Result<pid_t> refused = SpawnProgram(request);
  all.pop_back();
  const Result<pid_t> started = SpawnProgram(request);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(refused ? "" : refused.error().message, ::testing::HasSubstr("Too many open files"));
  ASSERT_TRUE(started) << started.error().message;
  if (refused) waitpid(*refused, nullptr, 0);
  waitpid(*started, nullptr, 0);
}

}  // namespace
}  // namespace hs
