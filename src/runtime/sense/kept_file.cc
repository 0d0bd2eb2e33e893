#include "runtime/sense/kept_file.h"

#include <fcntl.h>
#include <unistd.h>

namespace hs {

std::optional<std::string_view> KeptFile::Read(ReadBuffer& buffer) {
  if (path_.empty()) return std::nullopt;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool fresh = !fd_;
    if (fresh) fd_ = Fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_) return std::nullopt;
    const ssize_t got = pread(fd_.get(), buffer.data(), ReadBuffer::kBytes, 0);
    if (got >= 0) return std::string_view(buffer.data(), static_cast<std::size_t>(got));
    fd_ = Fd();
    if (fresh) break;
  }
  return std::nullopt;
}

}  // namespace hs
