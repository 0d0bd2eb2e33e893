// A directory <-> one file of tar and zstd, by libarchive.
//
// Packing is a photograph: what matters for running is kept (names, bytes, the executable bit, symbolic
// links), what differs between two people with the same files is not (times, owners, order). So equal trees
// give equal bytes, with one version of zstd.
//
// Unpacking trusts nothing: only plain files, directories and symbolic links that stay inside; no absolute
// path, no
// "..", no device, no hard link, bounded in number and size. Links are made last, so that nothing can be
// written through one. It works in an empty directory only, and leaves what it had written when it fails: the
// caller removes the directory.
//
// Names are UTF-8; the calling program must have a UTF-8 LC_CTYPE (libarchive converts names by it).
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace hs::bundle {

struct Limits {
  std::uint64_t bytes = std::uint64_t{8} << 30;  // of all files together, unpacked
  std::uint64_t entries = 200'000;
};

// Writes `out_file` afresh, synced. Errors name the entry.
Result<void> PackDirectory(const std::filesystem::path& directory, const std::filesystem::path& out_file,
                           const Limits& limits = {});

// Reads the archive from an open file.
Result<void> UnpackInto(int archive_fd, const std::filesystem::path& target, const Limits& limits = {});

// A path of an archive that stays inside and is in its one normal form: a/b/c.
bool IsInnerPath(std::string_view path);
// True when a link at `path` (inner, normal) that points to `target` stays inside.
bool LinkStaysInside(std::string_view path, std::string_view target);

}  // namespace hs::bundle
