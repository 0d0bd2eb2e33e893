// A compose file from disk, with the caller's environment filled in.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "wire/compose/compose.h"

namespace hs {

// Errors name the file, and the place in it.
Result<ComposeFile> ReadComposeFile(const std::filesystem::path& path);

}  // namespace hs
