// Runs the helper program that packs and unpacks, and waits for it. Blocks: call it on a disk thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace hs {

// `homeostat-bundle` beside the running program.
std::filesystem::path DefaultBundleHelper();

// `stdin_fd` < 0: /dev/null. An error carries what the helper wrote to standard error.
Result<void> RunBundleHelper(const std::filesystem::path& helper, const std::vector<std::string>& arguments,
                             int stdin_fd);

}  // namespace hs
