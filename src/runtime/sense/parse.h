// What the kernel's files say, as numbers. Pure functions of text: nothing here opens a file.
//
// The text is input like any other: it may be cut off, be of another kernel, or hold numbers of any size.
// What does not parse is absent; a number too large for its type is the largest; nothing throws or aborts.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace hs {

// /proc/stat (proc(5)), in clock ticks since the box's start.
struct CpuTicks {
  std::uint64_t used = 0;  // user, nice, system, irq, softirq; guests are within user
  std::uint64_t idle = 0;
  std::uint64_t iowait = 0;
  std::uint64_t stolen = 0;
  std::uint32_t cores = 0;  // lines "cpuN"
  std::uint64_t forks = 0;  // processes and threads ever made; 0: not told
  friend bool operator==(const CpuTicks&, const CpuTicks&) = default;
};
std::optional<CpuTicks> ParseStat(std::string_view text);

struct MemInfo {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  // at most total_bytes
  friend bool operator==(const MemInfo&, const MemInfo&) = default;
};
// /proc/meminfo. Absent without MemTotal and MemAvailable.
std::optional<MemInfo> ParseMemInfo(std::string_view text);

struct PressureText {
  double some_avg10 = 0;  // share, 0 to 1
  double full_avg10 = 0;
  std::uint64_t some_total_us = 0;
  std::uint64_t full_total_us = 0;  // 0 where the kernel has no such line (cpu before 5.13)
  friend bool operator==(const PressureText&, const PressureText&) = default;
};
// /proc/pressure/* and a cgroup's *.pressure. Absent without the line "some".
std::optional<PressureText> ParsePressure(std::string_view text);

struct NetTotals {
  std::uint64_t receive_bytes = 0;
  std::uint64_t receive_packets = 0;
  std::uint64_t transmit_bytes = 0;
  std::uint64_t transmit_packets = 0;
  friend bool operator==(const NetTotals&, const NetTotals&) = default;
};
// /proc/net/dev: the sum of the interfaces that carry traffic to and from the box. Left out are loopback and,
// unless there is nothing else, those through which the same bytes pass a second time: bridges and the inner
// ends of containers' links (veth*, docker*, br-*, virbr*, ifb*, cni*).
std::optional<NetTotals> ParseNetDev(std::string_view text);

struct DeviceTotals {
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t busy_ms = 0;
  friend bool operator==(const DeviceTotals&, const DeviceTotals&) = default;
};
// /sys/dev/block/MAJOR:MINOR/stat (Documentation/block/stat.rst): one device's line of /proc/diskstats.
std::optional<DeviceTotals> ParseBlockStat(std::string_view text);

struct ProcessStat {
  pid_t parent = 0;
  char state = '?';
  std::uint64_t own_ticks = 0;     // user and system time of its threads
  std::uint64_t reaped_ticks = 0;  // of the children it has waited for, and theirs
  std::uint64_t start_ticks = 0;   // since the box's start
  std::uint64_t resident_pages = 0;
  friend bool operator==(const ProcessStat&, const ProcessStat&) = default;
};
// /proc/PID/stat. The name may hold anything, parentheses too.
std::optional<ProcessStat> ParseProcessStat(std::string_view text);

// /proc/PID/statm: resident pages.
std::optional<std::uint64_t> ParseResidentPages(std::string_view text);

// A line "NAME NUMBER": of a cgroup's cpu.stat or memory.stat.
std::optional<std::uint64_t> ParseKeyed(std::string_view text, std::string_view name);
// The text is one number: memory.current.
std::optional<std::uint64_t> ParseNumber(std::string_view text);
// One process id a line: cgroup.procs. A last line that is cut off is left out.
std::vector<pid_t> ParsePids(std::string_view text);

}  // namespace hs
