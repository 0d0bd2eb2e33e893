#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "runtime/bundle/archive/archive.h"
#include "wire/names.h"

namespace hs::bundle {
namespace {

namespace fs = std::filesystem;

struct FreeWriter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
struct FileHandle {
  int fd = -1;
  ~FileHandle() {
    if (fd >= 0) close(fd);
  }
};

std::unexpected<Error> About(const fs::path& path, const std::string& why) {
  return BadInput(CleanText(path.string(), 4096) + ": " + why);
}
std::string Errno() { return std::strerror(errno); }

class Packer {
 public:
  Packer(fs::path root, const Limits& limits) : root_(std::move(root)), limits_(limits) {}

  Result<void> Run(int out_fd) {
    auto names = Names();
    if (!names) return std::unexpected(names.error());
    writer_.reset(archive_write_new());
    const bool ready = writer_ && archive_write_set_format_pax_restricted(writer_.get()) == ARCHIVE_OK &&
                       archive_write_add_filter_zstd(writer_.get()) == ARCHIVE_OK &&
                       archive_write_set_bytes_in_last_block(writer_.get(), 1) == ARCHIVE_OK &&
                       archive_write_open_fd(writer_.get(), out_fd) == ARCHIVE_OK;
    if (!ready) return Broken("cannot begin the archive");
    for (const std::string& name : *names) {
      if (auto added = Add(name); !added) return added;
    }
    if (archive_write_close(writer_.get()) != ARCHIVE_OK) return Broken("cannot end the archive");
    return {};
  }

 private:
  // All entries relative to the root, sorted by their bytes, so that a directory comes before what is in it.
  Result<std::vector<std::string>> Names() {
    std::vector<std::string> names;
    std::error_code error;
    fs::recursive_directory_iterator walk(root_, error);
    for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
      std::string name = walk->path().lexically_relative(root_).string();
      if (!IsInnerPath(name)) return About(walk->path(), "its name is not UTF-8, or longer than 4000 bytes");
      names.push_back(std::move(name));
      if (names.size() > limits_.entries) {
        return About(root_, "has more than " + std::to_string(limits_.entries) + " entries");
      }
    }
    if (error) return About(root_, error.message());
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> Add(const std::string& name) {
    const fs::path path = root_ / name;
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return About(path, Errno());
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_mtime(entry.get(), 0, 0);
    if (S_ISDIR(info.st_mode)) {
      archive_entry_set_filetype(entry.get(), AE_IFDIR);
      archive_entry_set_perm(entry.get(), 0755);
      return Header(path, entry.get());
    }
    if (S_ISLNK(info.st_mode)) return AddLink(path, name, entry.get());
    if (!S_ISREG(info.st_mode)) return About(path, "is neither a file, a directory nor a symbolic link");
    return AddFile(path, entry.get());
  }

  Result<void> AddLink(const fs::path& path, const std::string& name, archive_entry* entry) {
    std::error_code error;
    const std::string target = fs::read_symlink(path, error).string();
    if (error) return About(path, error.message());
    if (!LinkStaysInside(name, target))
      return About(path, "links to " + CleanText(target, 256) + ", outside the bundle");
    archive_entry_set_filetype(entry, AE_IFLNK);
    archive_entry_set_perm(entry, 0777);
    archive_entry_set_symlink(entry, target.c_str());
    return Header(path, entry);
  }

  Result<void> AddFile(const fs::path& path, archive_entry* entry) {
    const FileHandle file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    struct stat info {};
    if (file.fd < 0 || fstat(file.fd, &info) != 0) return About(path, Errno());
    const auto size = static_cast<std::uint64_t>(info.st_size);
    total_ += size;
    if (total_ > limits_.bytes)
      return About(root_, "has more than " + std::to_string(limits_.bytes) + " bytes");
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, (info.st_mode & 0111) != 0 ? 0755 : 0644);
    archive_entry_set_size(entry, info.st_size);
    if (auto header = Header(path, entry); !header) return header;
    std::uint64_t done = 0;
    for (;;) {
      const ssize_t got = read(file.fd, buffer_.data(), buffer_.size());
      if (got < 0) return About(path, Errno());
      if (got == 0) break;
      done += static_cast<std::uint64_t>(got);
      if (done > size ||
          archive_write_data(writer_.get(), buffer_.data(), static_cast<std::size_t>(got)) != got)
        break;
    }
    if (archive_errno(writer_.get()) != 0) return Broken(path.string());
    if (done != size) return About(path, "changed while it was packed");
    return {};
  }

  Result<void> Header(const fs::path& path, archive_entry* entry) {
    if (archive_write_header(writer_.get(), entry) != ARCHIVE_OK) return Broken(path.string());
    return {};
  }

  std::unexpected<Error> Broken(const std::string& what) {
    const char* why = writer_ ? archive_error_string(writer_.get()) : nullptr;
    return Fail(Reaction::kRetryLater, what + ": " + (why != nullptr ? why : "unknown error"));
  }

  fs::path root_;
  Limits limits_;
  std::unique_ptr<archive, FreeWriter> writer_;
  std::uint64_t total_ = 0;
  std::vector<char> buffer_ = std::vector<char>(64 << 10);
};

}  // namespace

Result<void> PackDirectory(const fs::path& directory, const fs::path& out_file, const Limits& limits) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return About(directory, error && error != std::errc::no_such_file_or_directory ? error.message()
                            : fs::exists(directory, error)                         ? "is not a directory"
                                                                                   : "does not exist");
  }
  const FileHandle out{open(out_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  if (out.fd < 0) return Fail(Reaction::kRetryLater, out_file.string() + ": " + Errno());
  if (auto packed = Packer(directory, limits).Run(out.fd); !packed) return packed;
  if (fsync(out.fd) != 0) return Fail(Reaction::kRetryLater, out_file.string() + ": " + Errno());
  return {};
}

}  // namespace hs::bundle
