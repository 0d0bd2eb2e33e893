#include "runtime/agent/footprint.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace hs {

void AllocateSparingly() {
  // Few threads allocate: one arena keeps the resident size down.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

void GiveBackUnused() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char rights[5] = {};
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &begin, &end, rights,
                    &path_at) < 3)
      continue;
    // A file's code, mapped privately: each page can be read again from the file.
    const bool is_file = path_at > 0 && line.c_str()[path_at] == '/';
    if (!is_file || std::string_view(rights) != "r-xp") continue;
    ::madvise(reinterpret_cast<void*>(begin), end - begin,
              MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr)
  }
  ::malloc_trim(0);
}

}  // namespace hs
