#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/bundle/archive/archive.h"
#include "wire/names.h"

namespace hs::bundle {
namespace {

namespace fs = std::filesystem;

struct FreeReader {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

class Unpacker {
 public:
  Unpacker(fs::path target, const Limits& limits) : target_(std::move(target)), limits_(limits) {}

  Result<void> Run(int fd) {
    reader_.reset(archive_read_new());
    const bool ready = reader_ && archive_read_support_format_tar(reader_.get()) == ARCHIVE_OK &&
                       archive_read_support_filter_zstd(reader_.get()) == ARCHIVE_OK &&
                       archive_read_open_fd(reader_.get(), fd, 64 << 10) == ARCHIVE_OK;
    if (!ready) return Broken();
    for (std::uint64_t entries = 0;; ++entries) {
      archive_entry* entry = nullptr;
      const int status = archive_read_next_header(reader_.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      // A warning means that a name could not be converted: as bad as a damaged entry.
      if (status != ARCHIVE_OK) return Broken();
      if (entries >= limits_.entries) {
        return BadInput("the bundle has more than " + std::to_string(limits_.entries) + " entries");
      }
      if (auto done = Take(entry); !done) return done;
    }
    return MakeLinks();
  }

 private:
  Result<void> Take(archive_entry* entry) {
    const char* raw = archive_entry_pathname(entry);
    std::string name = raw != nullptr ? raw : "";
    if (archive_entry_filetype(entry) == AE_IFDIR && name.ends_with('/')) name.pop_back();
    if (!IsInnerPath(name)) return Refuse(name, "does not stay inside the bundle");
    if (archive_entry_hardlink(entry) != nullptr) return Refuse(name, "is a hard link");
    const fs::path path = target_ / name;
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        return MakeDirectory(path);
      case AE_IFREG: {
        if (auto made = MakeDirectory(path.parent_path()); !made) return made;
        return WriteFile(path, name, (archive_entry_perm(entry) & 0111) != 0);
      }
      case AE_IFLNK: {
        const char* target = archive_entry_symlink(entry);
        if (target == nullptr || !LinkStaysInside(name, target))
          return Refuse(name, "links to outside the bundle");
        links_.emplace_back(name, target);
        return {};
      }
      default:
        return Refuse(name, "is neither a file, a directory nor a symbolic link");
    }
  }

  // No link exists in the target before MakeLinks, so this cannot leave it.
  Result<void> MakeDirectory(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) return Fail(Reaction::kRetryLater, path.string() + ": " + error.message());
    return {};
  }

  Result<void> WriteFile(const fs::path& path, const std::string& name, bool executable) {
    const int fd =
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, executable ? 0755 : 0644);
    if (fd < 0 && errno == EEXIST) return Refuse(name, "is there twice");
    if (fd < 0) return Fail(Reaction::kRetryLater, path.string() + ": " + std::strerror(errno));
    auto copied = CopyData(fd, name);
    // The mode is what the bundle says, whatever the umask.
    const bool closed = fchmod(fd, executable ? 0755 : 0644) == 0;
    if (close(fd) != 0 || !closed)
      copied = Fail(Reaction::kRetryLater, path.string() + ": " + std::strerror(errno));
    return copied;
  }

  Result<void> CopyData(int fd, const std::string& name) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (;;) {
      const int status = archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (status == ARCHIVE_EOF) return {};
      if (status != ARCHIVE_OK) return Broken();
      total_ += size;
      if (offset < 0 || total_ > limits_.bytes || static_cast<std::uint64_t>(offset) > limits_.bytes) {
        return Refuse(name, "the bundle unfolds to more than " + std::to_string(limits_.bytes) + " bytes");
      }
      for (std::size_t done = 0; done < size;) {
        const ssize_t wrote = pwrite(fd, static_cast<const char*>(data) + done, size - done,
                                     static_cast<off_t>(offset) + static_cast<off_t>(done));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return Fail(Reaction::kRetryLater, name + ": " + std::strerror(errno));
        done += static_cast<std::size_t>(wrote);
      }
    }
  }

  Result<void> MakeLinks() {
    // Parents first and all of them: making a directory must not follow a link made here.
    for (const auto& [name, to] : links_) {
      if (auto made = MakeDirectory((target_ / name).parent_path()); !made) return made;
    }
    for (const auto& [name, to] : links_) {
      if (symlink(to.c_str(), (target_ / name).c_str()) == 0) continue;
      if (errno == EEXIST) return Refuse(name, "is there twice");
      return Fail(Reaction::kRetryLater, name + ": " + std::strerror(errno));
    }
    return {};
  }

  static std::unexpected<Error> Refuse(const std::string& name, const std::string& why) {
    return BadInput("the bundle's entry \"" + CleanText(name, 256) + "\" " + why);
  }
  std::unexpected<Error> Broken() {
    const char* why = reader_ ? archive_error_string(reader_.get()) : nullptr;
    return BadInput(std::string("the bundle is damaged: ") + (why != nullptr ? why : "unknown error"));
  }

  fs::path target_;
  Limits limits_;
  std::unique_ptr<archive, FreeReader> reader_;
  std::vector<std::pair<std::string, std::string>> links_;
  std::uint64_t total_ = 0;
};

}  // namespace

Result<void> UnpackInto(int archive_fd, const fs::path& target, const Limits& limits) {
  std::error_code error;
  const bool empty = fs::is_empty(target, error);
  if (error) return Fail(Reaction::kRetryLater, target.string() + ": " + error.message());
  if (!empty) return BadInput(target.string() + ": is not an empty directory");
  return Unpacker(target, limits).Run(archive_fd);
}

}  // namespace hs::bundle
