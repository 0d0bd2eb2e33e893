"""Boxes whose calendars are wrong: a library that stands in for what tells the time of day, built where a test runs.

    clocks = Clocks(cluster.directory)
    node.env = clocks.env("n1")      # before it starts
    clocks.set("n1", 365 * 86400)    # a year ahead from now on, also while it runs

Monotonic time stays as it is, as on a real box whose calendar is set.
"""

import os
import struct
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static const volatile int64_t *skew;
__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("SKEW_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *at = mmap(0, sizeof *skew, PROT_READ, MAP_SHARED, file, 0);
  if (at != MAP_FAILED) skew = at;
  close(file);
}
int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, at);
  if (clock == CLOCK_REALTIME && skew) at->tv_sec += *skew;
  return result;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return result;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


class Clocks:
    def __init__(self, directory):
        self.directory, self.library = directory, os.path.join(directory, "skew.so")
        source = os.path.join(directory, "skew.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"], check=True)

    def path(self, name):
        return os.path.join(self.directory, f"skew-of-{name}")

    def env(self, name):
        if not os.path.exists(self.path(name)):
            self.set(name, 0)
        return {"LD_PRELOAD": self.library, "SKEW_FILE": self.path(name)}

    def set(self, name, seconds):
        """Eight bytes that every process of the box has mapped."""
        with open(self.path(name), "r+b" if os.path.exists(self.path(name)) else "w+b", buffering=0) as file:
            file.write(struct.pack("=q", seconds))
