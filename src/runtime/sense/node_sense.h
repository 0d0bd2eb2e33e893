// Measures the box and the agent itself: a handful of kernel files, read once a second.
//
// Two halves. NodeReading is what was read, counters as they stand; Difference() is pure and makes rates of
// two of them. NodeSense is the thin half that reads.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/local_load.h"
#include "runtime/sense/kept_file.h"
#include "runtime/sense/parse.h"

namespace hs {

// Counters at one instant; absent where the box does not tell.
struct NodeReading {
  Time at{};  // zero: never
  std::optional<CpuTicks> cpu;
  std::optional<MemInfo> memory;
  std::optional<PressureText> cpu_pressure;
  std::optional<PressureText> memory_pressure;
  std::optional<PressureText> io_pressure;
  std::optional<NetTotals> net;
  std::optional<DeviceTotals> device;
  std::uint64_t disk_bytes = 0;
  std::uint64_t disk_free_bytes = 0;
  double agent_cpu_seconds = 0;
  std::uint64_t agent_resident_bytes = 0;
};

// A counter that ran backwards (a device was replaced, a kernel's rounding) has not moved: rates are never
// negative. Without time between the two, or with a `before` that was never read, rates are zero and
// interval_s is 0. `ticks_per_s`: of CpuTicks.
LocalLoad Difference(const NodeReading& before, const NodeReading& after, double ticks_per_s);

class NodeSense {
 public:
  // `disk`: a path on the file system to report. `proc` and `sys` are where those are mounted.
  explicit NodeSense(const std::filesystem::path& disk, const std::string& proc = "/proc",
                     const std::string& sys = "/sys");

  NodeReading Read(Time now, ReadBuffer& buffer);

  // What this box does not tell, in words, one entry each: for the log, once.
  std::vector<std::string> Missing(ReadBuffer& buffer);

 private:
  std::filesystem::path disk_;
  KeptFile stat_;
  KeptFile meminfo_;
  KeptFile cpu_pressure_;
  KeptFile memory_pressure_;
  KeptFile io_pressure_;
  KeptFile net_;
  KeptFile device_;
  KeptFile own_memory_;
};

}  // namespace hs
