#include "runtime/agent/footprint.h"

#include <link.h>
#include <malloc.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace hs {
namespace {

// What the loader relocated (and made read-only afterwards) lies in segments that may be written: those that
// may not are as the file has them.
int UnmapConstantSegments(dl_phdr_info* object, std::size_t, void*) {
  const std::uintptr_t page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t vdso = ::getauxval(AT_SYSINFO_EHDR);  // the kernel's, of no file
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    if (begin <= vdso && vdso < end) continue;
    ::madvise(reinterpret_cast<void*>(begin), end - begin,
              MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr)
  }
  return 0;
}

}  // namespace

void AllocateSparingly() {
  // Few threads allocate: one arena keeps the resident size down.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 10);
  // Small pieces join their free neighbours at once. Kept apart ("fast bins") they are joined whenever more
  // than a kilobyte is asked for, which costs more than it saves.
  ::mallopt(M_MXFAST, 0);
}

void GiveBackUnused() {
  ::dl_iterate_phdr(UnmapConstantSegments, nullptr);
  ::malloc_trim(0);
}

}  // namespace hs
