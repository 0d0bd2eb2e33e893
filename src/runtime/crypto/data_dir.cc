#include "runtime/crypto/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace hs {
namespace {

std::unexpected<Error> FileError(const std::string& what, const std::string& path, int error) {
  std::string message = what + " " + path + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT)
    message += "; free some space, or name another directory with --data";
  if (error == EROFS || error == EACCES || error == EPERM)
    message += "; name a writable directory with --data";
  return Fail(error == ENOSPC || error == EDQUOT ? Reaction::kRetryLater : Reaction::kFixInput,
              std::move(message));
}

// mkdir -p, private.
int MakeDirectories(const std::string& path) {
  for (std::size_t slash = 1; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    if (::mkdir(path.substr(0, slash).c_str(), 0700) != 0 && errno != EEXIST) return errno;
  }
  return 0;
}

std::string ReadAll(int fd, int& error) {
  std::string bytes;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    error = count < 0 ? errno : 0;
    if (count <= 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(count));
  }
}

int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

}  // namespace

Result<DataDir> DataDir::Open(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (const int error = MakeDirectories(path))
    return FileError("cannot make the data directory", path, error);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FileError("cannot use the data directory", path, errno);
  if (!S_ISDIR(info.st_mode)) return FileError("cannot use the data directory", path, ENOTDIR);
  if ((info.st_mode & 077) != 0 && ::chmod(path.c_str(), 0700) != 0) {
    return FileError("cannot make private the data directory", path, errno);
  }
  const std::string lock_path = path + "/lock";
  const int fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("cannot write to the data directory: cannot open", lock_path, errno);
  DataDir directory(path, fd);
  int error = 0;
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FileError("cannot lock", lock_path, errno);
    std::string holder = ReadAll(fd, error);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return Fail(Reaction::kRetryLater, "the data directory " + path + " is in use by " +
                                           (holder.empty() ? "another homeostat" : "process " + holder) +
                                           "; stop it, or name another directory with --data");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0) return FileError("cannot write", lock_path, errno);
  if ((error = WriteAll(fd, pid)) != 0) return FileError("cannot write", lock_path, error);
  return directory;
}

DataDir::~DataDir() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}
DataDir::DataDir(DataDir&& other) noexcept
    : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}
DataDir& DataDir::operator=(DataDir&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_fd_, other.lock_fd_);
  return *this;
}

bool DataDir::Has(std::string_view name) const { return ::access(PathOf(name).c_str(), F_OK) == 0; }

Result<std::string> DataDir::Read(std::string_view name) const {
  const std::string path = PathOf(name);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError("cannot read", path, errno);
  int error = 0;
  std::string bytes = ReadAll(fd, error);
  ::close(fd);
  if (error != 0) return FileError("cannot read", path, error);
  return bytes;
}

Result<void> DataDir::Write(std::string_view name, std::string_view bytes) const {
  const std::string path = PathOf(name);
  const std::string beside = path + ".new";
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("cannot write", beside, errno);
  int error = WriteAll(fd, bytes);
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(beside.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(beside.c_str());
    return FileError("cannot write", path, error);
  }
  const int directory = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return FileError("cannot sync", path_, errno);
  error = ::fsync(directory) != 0 ? errno : 0;
  ::close(directory);
  if (error != 0) return FileError("cannot sync", path_, error);
  return {};
}

void DataDir::Remove(std::string_view name) const { ::unlink(PathOf(name).c_str()); }

}  // namespace hs
