#include "runtime/process/replica_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <vector>

namespace hs {
namespace fs = std::filesystem;
namespace {

std::unexpected<Error> DiskError(const fs::path& path, int error) {
  return Fail(Reaction::kRetryLater, fmt::format("{}: {}", path.string(), strerror(error)));
}

void SyncDir(const fs::path& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

Result<void> Own(const fs::path& root, uid_t owner, gid_t group) {
  std::error_code error;
  if (lchown(root.c_str(), owner, group) != 0) return DiskError(root, errno);
  for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    if (lchown(it->path().c_str(), owner, group) != 0) return DiskError(it->path(), errno);
  }
  return {};
}

}  // namespace

Result<std::string> ReadFile(const fs::path& path, std::size_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return DiskError(path, errno);
  std::string bytes;
  char chunk[4096];
  ssize_t got;
  while ((got = read(fd, chunk, sizeof chunk)) > 0 && bytes.size() <= max_bytes) {
    bytes.append(chunk, static_cast<std::size_t>(got));
  }
  const int error = errno;
  close(fd);
  if (got < 0) return DiskError(path, error);
  if (bytes.size() > max_bytes)
    return BadInput(fmt::format("{}: larger than {} bytes", path.string(), max_bytes));
  return bytes;
}

Result<void> WriteFile(const fs::path& path, const std::string& bytes, bool sync) {
  const fs::path draft = path.string() + ".tmp";
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return DiskError(draft, errno);
  errno = 0;
  const bool written = write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
                       (!sync || fsync(fd) == 0);
  const int error = errno != 0 ? errno : ENOSPC;
  close(fd);
  if (!written) {
    unlink(draft.c_str());
    return DiskError(path, error);
  }
  if (rename(draft.c_str(), path.c_str()) != 0) return DiskError(path, errno);
  if (sync) SyncDir(path.parent_path());
  return {};
}

ReplicaDir::ReplicaDir(const fs::path& data_dir, ReplicaId id)
    : data_(data_dir), name_(fmt::format("{:016x}", id.value)), path_(data_dir / "replicas" / name_) {}

fs::path ReplicaDir::ended_path() const { return data_ / "ended" / name_; }

Result<void> ReplicaDir::Prepare(const std::string& encoded_spec, std::uint32_t restarts,
                                 const Digest& bundle, const UnpackBundle& unpack, uid_t owner,
                                 gid_t group) const {
  std::error_code error;
  const bool fresh = fs::create_directories(path_, error);
  if (error) return DiskError(path_, error.value());
  if (fresh) SyncDir(path_.parent_path());
  const Result<std::string> present = ReadSpec();
  if (!present || *present != encoded_spec) {
    if (Result<void> done = WriteFile(path_ / "spec", encoded_spec, true); !done) return done;
  }
  if (Result<void> done = WriteFile(path_ / "restarts", std::to_string(restarts), false); !done) return done;
  if (fs::exists(work(), error)) return {};
  // Made under another name first: work/ is there only when it is complete.
  const fs::path draft = path_ / "work.tmp";
  fs::remove_all(draft, error);
  if (!fs::create_directory(draft, error)) return DiskError(draft, error.value());
  if (bundle) {
    if (!unpack) return BadInput("this node cannot unpack bundles");
    if (Result<void> done = unpack(bundle, draft); !done) {
      fs::remove_all(draft, error);
      return done;
    }
  }
  if (owner != static_cast<uid_t>(-1)) {
    if (Result<void> done = Own(draft, owner, group); !done) return done;
  }
  if (rename(draft.c_str(), work().c_str()) != 0) return DiskError(work(), errno);
  return {};
}

Result<std::string> ReplicaDir::ReadSpec() const { return ReadFile(path_ / "spec", 16 << 20); }

std::uint32_t ReplicaDir::ReadRestarts() const {
  const std::string text = ReadFile(path_ / "restarts").value_or("");
  std::uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::optional<Endpoint> ReplicaDir::ReadAddress() const {
  const Result<std::string> text = ReadFile(path_ / "address");
  if (!text) return std::nullopt;
  const Result<Endpoint> address = Endpoint::Parse(*text);
  return address ? std::optional(*address) : std::nullopt;
}

fs::path ReplicaDir::ReadCgroup() const { return ReadFile(path_ / "cgroup").value_or(""); }

std::optional<ShimPids> ReplicaDir::ReadPids() const {
  std::istringstream text(ReadFile(path_ / "pid").value_or(""));
  ShimPids pids;
  text >> pids.child.pid >> pids.child.start >> pids.shim.pid >> pids.shim.start;
  if (!text || pids.child.pid <= 1 || pids.shim.pid <= 1) return std::nullopt;
  return pids;
}

std::optional<ReplicaEnd> ReplicaDir::ReadEnd() const {
  std::istringstream text(ReadFile(path_ / "exit").value_or(""));
  std::string kind;
  ReplicaEnd end;
  if (!(text >> kind)) return std::nullopt;
  if (kind == "code" && text >> end.exit_code) return end;
  if (kind == "signal" && text >> end.term_signal) return end;
  if (kind == "exec" && std::getline(text >> std::ws, end.start_error) && !end.start_error.empty())
    return end;
  return std::nullopt;
}

WallMs ReplicaDir::StartedMs() const {
  struct stat info;
  if (stat((path_ / "pid").c_str(), &info) != 0) return 0;
  return static_cast<WallMs>(info.st_mtim.tv_sec) * 1000 + info.st_mtim.tv_nsec / 1'000'000;
}

void ReplicaDir::WriteAddress(const Endpoint& address) const {
  // Lost only if the disk is full, and then an adopted replica is found without its address and probed in
  // vain.
  (void)WriteFile(path_ / "address", address.ToString(), false);
}

void ReplicaDir::WriteCgroup(const fs::path& group) const {
  (void)WriteFile(path_ / "cgroup", group.string(), false);
}

int ReplicaDir::TakeLock() const {
  const int fd = open((path_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void ReplicaDir::Retire() const {
  std::error_code error;
  const fs::path ended = ended_path();
  fs::create_directories(ended, error);
  for (const char* log : {"out.log", "out.log.1", "out.log.2", "exit"}) {
    rename((path_ / log).c_str(), (ended / log).c_str());
  }
  fs::remove_all(path_, error);
  std::vector<std::pair<fs::file_time_type, fs::path>> all;
  for (fs::directory_iterator it(data_ / "ended", error), end; !error && it != end; it.increment(error)) {
    all.emplace_back(fs::last_write_time(it->path(), error), it->path());
  }
  std::sort(all.rbegin(), all.rend());
  for (std::size_t i = kEndedKept; i < all.size(); ++i) fs::remove_all(all[i].second, error);
}

}  // namespace hs
