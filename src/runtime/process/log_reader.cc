#include "runtime/process/log_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/process/spawn.h"

namespace hs {
namespace {

struct LogFile {
  Fd fd;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
};

// Oldest first, each held open: a rotation in between renames them but takes none away.
std::vector<LogFile> OpenAll(const std::filesystem::path& dir) {
  std::vector<LogFile> files;
  for (const char* name : {"out.log", "out.log.1", "out.log.2"}) {
    LogFile file{Fd(open((dir / name).c_str(), O_RDONLY | O_CLOEXEC))};
    struct stat info;
    if (!file.fd || fstat(file.fd.get(), &info) != 0) continue;
    file.inode = info.st_ino;
    file.size = static_cast<std::uint64_t>(info.st_size);
    const bool seen =
        std::any_of(files.begin(), files.end(), [&](const LogFile& f) { return f.inode == file.inode; });
    if (!seen) files.push_back(std::move(file));  // seen: it was renamed while we looked
  }
  std::reverse(files.begin(), files.end());
  return files;
}

std::string ReadAt(const LogFile& file, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  const ssize_t got = pread(file.fd.get(), bytes.data(), size, static_cast<off_t>(offset));
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

// Whole lines only; returns the bytes they take.
std::size_t SplitLines(const std::string& bytes, std::vector<std::string>& lines) {
  std::size_t at = 0;
  for (std::size_t end; (end = bytes.find('\n', at)) != std::string::npos; at = end + 1) {
    lines.push_back(bytes.substr(at, end - at));
  }
  return at;
}

// A file's whole lines from its end on, read piece by piece: of 30 MB mostly a few lines are wanted.
class BackwardReader {
 public:
  explicit BackwardReader(const LogFile& file) : file_(file), at_(file.size) {}

  // Those of the next piece, newest first: none where a line is longer. Nothing: the file was read.
  std::optional<std::vector<std::string>> NextPiece() {
    if (at_ == 0) return std::nullopt;
    constexpr std::size_t kPiece = 64 * 1024;
    const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(at_, kPiece));
    at_ -= size;
    std::string bytes = ReadAt(file_, at_, size);
    if (bytes.size() < size) {  // what comes before would not fit to what was read
      at_ = 0;
      return std::nullopt;
    }
    bytes += rest_;
    bytes.resize(bytes.rfind('\n') + 1);  // behind it somebody still writes
    std::vector<std::string> lines;
    while (!bytes.empty()) {
      const std::size_t end = bytes.size() - 1;
      const std::size_t before = end == 0 ? std::string::npos : bytes.rfind('\n', end - 1);
      if (before == std::string::npos && at_ > 0) break;  // it begins in the piece before
      lines.push_back(bytes.substr(before + 1, end - (before + 1)));
      bytes.resize(before + 1);
    }
    rest_ = std::move(bytes);
    return lines;
  }

 private:
  const LogFile& file_;
  std::uint64_t at_;  // what follows was read
  std::string rest_;  // of it, the line whose beginning was not
};

std::string TimeWords(WallMs at_ms) {
  const time_t seconds = static_cast<time_t>(at_ms / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, at_ms % 1000);
}

}  // namespace

std::vector<std::string> ReadLog(const std::filesystem::path& dir, std::size_t n,
                                 std::optional<WallMs> since) {
  std::vector<std::string> newest_first;
  const std::string from = since ? TimeWords(*since) : "";
  std::vector<LogFile> files = OpenAll(dir);
  bool goes_on = n > 0;
  for (auto file = files.rbegin(); file != files.rend() && goes_on; ++file) {
    BackwardReader reader(*file);
    while (goes_on) {
      std::optional<std::vector<std::string>> lines = reader.NextPiece();
      if (!lines) break;
      std::size_t wanted = 0;
      for (std::string& line : *lines) {
        if (line < from) continue;
        ++wanted;
        newest_first.push_back(std::move(line));
        if (newest_first.size() == n) break;
      }
      // A whole piece is older than asked for: so is what comes before. Not one line: clocks are set back.
      goes_on = newest_first.size() < n && (lines->empty() || wanted > 0);
    }
  }
  std::reverse(newest_first.begin(), newest_first.end());
  return newest_first;
}

LogMark LogEnd(const std::filesystem::path& dir) {
  const std::vector<LogFile> files = OpenAll(dir);
  if (files.empty()) return {};
  return {files.back().inode, files.back().size};
}

std::vector<std::string> ReadLogAfter(const std::filesystem::path& dir, LogMark& mark,
                                      std::size_t max_bytes) {
  const std::vector<LogFile> files = OpenAll(dir);
  auto file =
      std::find_if(files.begin(), files.end(), [&](const LogFile& f) { return f.inode == mark.inode; });
  if (file == files.end()) {
    file = files.begin();  // nothing read yet, or rotated out of sight
    mark.offset = 0;
  }
  std::vector<std::string> lines;
  std::size_t left = std::max<std::size_t>(max_bytes, 64 * 1024);  // longer than any line the shim writes
  for (; file != files.end() && left > 0; ++file) {
    if (mark.inode != file->inode) mark = {file->inode, 0};
    const std::uint64_t behind = file->size > mark.offset ? file->size - mark.offset : 0;
    const std::size_t take = static_cast<std::size_t>(std::min<std::uint64_t>(behind, left));
    const std::size_t used = SplitLines(ReadAt(*file, mark.offset, take), lines);
    mark.offset += used;
    left -= take;
    if (take < behind) break;  // the rest of this file comes before the next
  }
  return lines;
}

}  // namespace hs
