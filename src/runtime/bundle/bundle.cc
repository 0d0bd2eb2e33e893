#include "runtime/bundle/bundle.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace hs {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".tar.zst";
constexpr std::string_view kTemporary = ".incoming-";

class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  ~FileHandle() {
    if (fd_ >= 0) close(fd_);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// SHA-256 of bytes that come in pieces.
class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new()) {
    good_ = EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  }
  void Add(const void* bytes, std::size_t size) {
    good_ = good_ && EVP_DigestUpdate(context_.get(), bytes, size) == 1;
  }
  // The zero digest when OpenSSL failed, which equals no announced one.
  Digest Finish() {
    Digest digest;
    if (!good_ || EVP_DigestFinal_ex(context_.get(), digest.bytes.data(), nullptr) != 1) return Digest{};
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
  bool good_ = false;
};

std::unexpected<Error> DiskError(const fs::path& path) {
  return Fail(Reaction::kRetryLater, path.string() + ": " + std::strerror(errno));
}

// Calls `take` with each piece from the present position to the end.
template <typename Take>
Result<void> ReadPieces(int fd, const fs::path& path, Take take) {
  std::vector<char> buffer(64 << 10);
  for (;;) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return DiskError(path);
    if (got == 0) return {};
    Result<void> taken = take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    if (!taken) return taken;
  }
}

Result<Digest> DigestOf(int fd, const fs::path& path) {
  Hasher hasher;
  auto read = ReadPieces(fd, path, [&](std::string_view bytes) -> Result<void> {
    hasher.Add(bytes.data(), bytes.size());
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return hasher.Finish();
}

// So that the name itself survives a power cut.
Result<void> SyncDirectory(const fs::path& directory) {
  const FileHandle handle(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.get() < 0 || fsync(handle.get()) != 0) return DiskError(directory);
  return {};
}

}  // namespace

Result<Digest> DigestOfFile(const fs::path& file) {
  const FileHandle handle(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (handle.get() < 0) return DiskError(file);
  return DigestOf(handle.get(), file);
}

Result<PackedBundle> PackBundle(const fs::path& directory, const fs::path& out_file, const fs::path& helper) {
  // Names of options cannot be mistaken for it: a path that begins with - is still an argument by position.
  if (auto packed = RunBundleHelper(helper, {"pack", directory.string(), out_file.string()}, -1); !packed) {
    std::error_code ignored;
    fs::remove(out_file, ignored);
    return std::unexpected(packed.error());
  }
  auto digest = DigestOfFile(out_file);
  if (!digest) return std::unexpected(digest.error());
  std::error_code error;
  const std::uint64_t bytes = fs::file_size(out_file, error);
  if (error) return Fail(Reaction::kRetryLater, out_file.string() + ": " + error.message());
  if (bytes > kBundleBytesMax) {
    fs::remove(out_file, error);
    return BadInput(directory.string() + ": the bundle has " + std::to_string(bytes) + " bytes, at most " +
                    std::to_string(kBundleBytesMax));
  }
  return PackedBundle{*digest, out_file, bytes};
}

// ----------------------------------------------------------------------------------------------------
// Incoming

struct BundleStore::Incoming::State {
  State(int fd, fs::path temporary_path, fs::path final_name, const Digest& digest)
      : file(fd),
        temporary(std::move(temporary_path)),
        final_path(std::move(final_name)),
        announced(digest) {}
  ~State() {
    std::error_code ignored;
    if (!committed) fs::remove(temporary, ignored);
  }
  FileHandle file;
  fs::path temporary;
  fs::path final_path;
  Digest announced;
  Hasher hasher;
  std::uint64_t bytes = 0;
  bool committed = false;
};

BundleStore::Incoming::Incoming(std::unique_ptr<State> state) : state_(std::move(state)) {}
BundleStore::Incoming::~Incoming() = default;
BundleStore::Incoming::Incoming(Incoming&&) noexcept = default;
BundleStore::Incoming& BundleStore::Incoming::operator=(Incoming&&) noexcept = default;

Result<void> BundleStore::Incoming::Write(std::string_view bytes) {
  State& state = *state_;
  state.bytes += bytes.size();
  if (state.bytes > kBundleBytesMax) {
    return BadInput("the bundle is larger than " + std::to_string(kBundleBytesMax) + " bytes");
  }
  state.hasher.Add(bytes.data(), bytes.size());
  while (!bytes.empty()) {
    const ssize_t wrote = write(state.file.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return DiskError(state.temporary);
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<void> BundleStore::Incoming::Commit() {
  State& state = *state_;
  HS_CHECK(!state.committed);
  const Digest digest = state.hasher.Finish();
  if (digest != state.announced) {
    return BadInput("the bundle's bytes have the digest " + digest.Hex() + ", announced was " +
                    state.announced.Hex());
  }
  if (fsync(state.file.get()) != 0) return DiskError(state.temporary);
  if (rename(state.temporary.c_str(), state.final_path.c_str()) != 0) return DiskError(state.final_path);
  state.committed = true;
  return SyncDirectory(state.final_path.parent_path());
}

// -------------------------------------------------------------------------------------------------
// BundleStore

Result<BundleStore> BundleStore::Open(fs::path directory, fs::path helper) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (!error) fs::permissions(directory, fs::perms::owner_all, error);
  fs::directory_iterator files;
  if (!error) files = fs::directory_iterator(directory, error);
  if (error) return Fail(Reaction::kRetryLater, directory.string() + ": " + error.message());
  for (const auto& file : files) {
    if (file.path().filename().string().starts_with(kTemporary)) fs::remove(file.path(), error);
  }
  return BundleStore(std::move(directory), std::move(helper));
}

fs::path BundleStore::Path(const Digest& digest) const {
  return directory_ / (digest.Hex() + std::string(kSuffix));
}

bool BundleStore::Has(const Digest& digest) const {
  std::error_code error;
  return fs::is_regular_file(Path(digest), error);
}

std::vector<Digest> BundleStore::List() const {
  std::vector<Digest> digests;
  std::error_code error;
  for (fs::directory_iterator file(directory_, error), end; !error && file != end; file.increment(error)) {
    const std::string name = file->path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    const auto digest = Digest::FromHex(std::string_view(name).substr(0, name.size() - kSuffix.size()));
    if (digest) digests.push_back(*digest);
  }
  std::sort(digests.begin(), digests.end());
  return digests;
}

fs::path BundleStore::DraftPath(const Digest& digest) const {
  // Distinct for all objects and threads of this process; another process of this directory there is none.
  static std::atomic<std::uint64_t> counter{0};
  return directory_ / (std::string(kTemporary) + std::to_string(getpid()) + "-" +
                       std::to_string(counter.fetch_add(1)) + "-" + digest.Short());
}

Result<BundleStore::Incoming> BundleStore::Receive(const Digest& announced) const {
  fs::path temporary = DraftPath(announced);
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return DiskError(temporary);
  return Incoming(std::make_unique<Incoming::State>(fd, std::move(temporary), Path(announced), announced));
}

Result<void> BundleStore::AddFile(const fs::path& file, const Digest& announced) const {
  if (Has(announced)) return {};
  const FileHandle handle(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (handle.get() < 0) return DiskError(file);
  auto incoming = Receive(announced);
  if (!incoming) return std::unexpected(incoming.error());
  auto copied =
      ReadPieces(handle.get(), file, [&](std::string_view bytes) { return incoming->Write(bytes); });
  if (!copied) return copied;
  return incoming->Commit();
}

Result<void> BundleStore::Remove(const Digest& digest) const {
  std::error_code error;
  fs::remove(Path(digest), error);
  if (error) return Fail(Reaction::kRetryLater, Path(digest).string() + ": " + error.message());
  return {};
}

Result<void> BundleStore::Unpack(const Digest& digest, const fs::path& target) const {
  const fs::path path = Path(digest);
  const FileHandle handle(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (handle.get() < 0) return DiskError(path);
  const auto present = DigestOf(handle.get(), path);
  if (!present) return std::unexpected(present.error());
  if (*present != digest) {
    if (auto removed = Remove(digest); !removed) return removed;
    return Fail(Reaction::kRetryLater, path.string() + ": damaged on disk, and removed");
  }
  // The helper reads the very file that was verified, not whatever has its name by then.
  if (lseek(handle.get(), 0, SEEK_SET) != 0) return DiskError(path);
  return RunBundleHelper(helper_, {"unpack", target.string()}, handle.get());
}

}  // namespace hs
