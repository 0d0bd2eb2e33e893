// A file of the kernel's that is read again and again: opened once, read from its start each time.
//
// Opening costs several times what reading does. A file that cannot be read is tried afresh at each call: a
// cgroup that came later, a process id that now belongs to another process (its old file answers ESRCH).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/process/spawn.h"

namespace hs {

// Where texts are read to; one for all files that are read one after the other.
class ReadBuffer {
 public:
  // /proc/stat of a box with 256 cores has 20 kB before the interrupts. Pages never read to cost nothing.
  static constexpr std::size_t kBytes = 64 << 10;
  char* data() { return bytes_.get(); }

 private:
  std::unique_ptr<char[]> bytes_ = std::make_unique_for_overwrite<char[]>(kBytes);
};

class KeptFile {
 public:
  KeptFile() = default;
  explicit KeptFile(std::string path) : path_(std::move(path)) {}

  // The text, up to the size of the buffer; absent when it cannot be read. Valid until the buffer is read to
  // again. One call of the kernel: these files are made anew at each read from their start, so a second call
  // could see another moment.
  std::optional<std::string_view> Read(ReadBuffer& buffer);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  Fd fd_;
};

}  // namespace hs
