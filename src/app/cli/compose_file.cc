#include "app/cli/compose_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "app/cli/context.h"

namespace hs {

Result<ComposeFile> ReadComposeFile(const std::filesystem::path& path) {
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) {
    return BadInput(fmt::format("{} is a directory; name the file in it: {}", path.string(),
                                (path / "compose.yaml").string()));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return BadInput(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
  std::string text(kComposeBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kComposeBytesMax)
    return BadInput(fmt::format("{} is larger than {} KiB", path.string(), kComposeBytesMax >> 10));
  ComposeOptions options;
  options.variables = ProcessEnvironment();
  options.directory_name =
      std::filesystem::absolute(path).lexically_normal().parent_path().filename().string();
  return ParseCompose(text, path.string(), options);
}

}  // namespace hs
