#include "runtime/process/file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace hs {

std::uint64_t RaiseFileLimit() {
  constexpr rlim_t kEnough = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t given = limit.rlim_cur;
  limit.rlim_cur = std::max(given, std::min(limit.rlim_max, kEnough));
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? given : 0;
}

}  // namespace hs
