#include "runtime/agent/disk_check.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace hs {
namespace {

// More than one page of the database's log.
constexpr std::size_t kTestBytes = 64 << 10;

// 0, or why it failed.
int WriteAndSync(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const std::string bytes(kTestBytes, 'x');
  int error = 0;
  for (std::size_t done = 0; error == 0 && done < bytes.size();) {
    const ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno != EINTR) error = errno;
    if (wrote > 0) done += static_cast<std::size_t>(wrote);
  }
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  if (::close(fd) != 0 && error == 0) error = errno;
  ::unlink(path.c_str());
  return error;
}

DiskChecked Failed(DiskChecked check, const std::string& path, int error) {
  check.fault = FaultOf(error);
  check.reason = path + ": " + std::strerror(error);
  return check;
}

}  // namespace

DiskFault FaultOf(int error) {
  if (error == ENOSPC || error == EDQUOT) return DiskFault::kFull;
  return error == EROFS ? DiskFault::kReadOnly : DiskFault::kFailing;
}

DiskFault FaultIn(std::string_view words) {
  for (const int error : {ENOSPC, EDQUOT, EROFS, EIO}) {
    if (words.find(std::strerror(error)) != std::string_view::npos) return FaultOf(error);
  }
  static constexpr std::array<std::pair<std::string_view, DiskFault>, 3> kOfSqlite{{
      {"database or disk is full", DiskFault::kFull},
      {"readonly database", DiskFault::kReadOnly},
      {"disk I/O error", DiskFault::kFailing},
  }};
  for (const auto& [said, fault] : kOfSqlite) {
    if (words.find(said) != std::string_view::npos) return fault;
  }
  return DiskFault::kNone;
}

DiskChecked LookAtDisk(const std::string& directory) {
  DiskChecked check;
  struct statvfs disk {};
  if (::statvfs(directory.c_str(), &disk) != 0) return Failed(check, directory, errno);
  check.total_bytes = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
  check.free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (::access(directory.c_str(), W_OK) != 0) return Failed(check, directory, errno);
  return check;
}

DiskChecked TestDisk(const std::string& directory) {
  const std::string path = directory + "/disk.test";
  const int error = WriteAndSync(path);
  DiskChecked check = LookAtDisk(directory);
  if (check.fault != DiskFault::kNone) return check;
  if (error != 0) return Failed(check, path, error);
  check.written = true;
  return check;
}

}  // namespace hs
