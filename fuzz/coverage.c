/* g++'s coverage callback -> libFuzzer's extra counters: one byte for each place the code passes through. */
#include <stdint.h>

enum { kCounters = 1 << 16 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[kCounters];
extern const char __executable_start;

__attribute__((no_sanitize_coverage, no_sanitize("address,undefined"))) void __sanitizer_cov_trace_pc(void) {
  /* Relative to the program, so that a corpus means the same in the next run. */
  uint64_t place = (uint64_t)__builtin_return_address(0) - (uint64_t)&__executable_start;
  place *= 0x9e3779b97f4a7c15u;
  counters[place >> 48]++;
}
