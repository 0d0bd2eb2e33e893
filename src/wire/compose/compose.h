// compose.yaml -> StackSpec.
//
// A strict clerk: every key is either understood or named as an error with its place, `FILE:LINE:COLUMN:
// KEY.PATH: what is wrong`. Nothing is silently ignored; what is accepted but means less here than elsewhere
// is a warning. All errors of a file come at once, in the order of the file, one per line, at most 20.
//
// Invariants of the result: services sorted by name, environment sorted, all that wire/codec.h asks of a
// StackSpec, and nothing else in it than what the file says.
//
// Text is interpolated as Compose does ($$, $VAR, ${VAR}, ${VAR:-default}, ${VAR:?error}, ...) with the
// caller's variables, except PORT, HOST and HOMEOSTAT_*: each replica has its own, so `$PORT` and `${PORT}`
// are left as they are and ${PORT:-8080} becomes ${PORT}.
//
// It reads no file and no environment: the bundle directories are named as written, and packing them is the
// caller's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/types.h"

namespace hs {

struct ComposeOptions {
  // The caller's environment.
  std::map<std::string, std::string> variables;
  // The stack's name when the file has no `name:`; usually that of its directory. It is lower-cased, and
  // characters that names cannot have are left out, as Compose does.
  std::string directory_name;
};

struct BundleSource {
  std::string directory;  // as written; relative to the compose file
  std::string place;      // FILE:LINE:COLUMN: services.web.x-process.bundle, for errors about it
};

struct ComposeFile {
  StackSpec stack;                              // bundle digests are zero: whoever packs fills them in
  std::map<std::string, BundleSource> bundles;  // by service; absent without a bundle
  std::vector<std::string> warnings;            // one line each, with its place
};

inline constexpr std::size_t kComposeBytesMax = 1 << 20;

Result<ComposeFile> ParseCompose(std::string_view text, std::string_view file_name,
                                 const ComposeOptions& options = {});

}  // namespace hs
