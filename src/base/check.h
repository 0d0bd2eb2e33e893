// HS_CHECK: a broken invariant of our own. Always on; prints where and aborts, and the supervisor restarts
// the process. Never for input from a peer, a user or a disk: those are refused with an Error (result.h).
#pragma once

#include <cstdio>
#include <cstdlib>

#define HS_CHECK(condition)                                                                  \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "%s:%d: invariant broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (0)
