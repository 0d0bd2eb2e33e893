#include "runtime/sense/node_sense.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace hs {
namespace {

double Moved(std::uint64_t before, std::uint64_t after) {
  return after > before ? static_cast<double>(after - before) : 0;
}

template <typename T, typename Parse>
std::optional<T> Parsed(KeptFile& file, ReadBuffer& buffer, Parse parse) {
  const auto text = file.Read(buffer);
  return text ? parse(*text) : std::nullopt;
}

// Without an earlier reading the shares of the interval are the kernel's own averages.
std::optional<Stall> StallOf(const std::optional<PressureText>& before,
                             const std::optional<PressureText>& after, double interval_s) {
  if (!after) return std::nullopt;
  Stall stall;
  stall.some_avg10 = after->some_avg10;
  stall.full_avg10 = after->full_avg10;
  stall.some_seconds_total = static_cast<double>(after->some_total_us) / 1e6;
  stall.full_seconds_total = static_cast<double>(after->full_total_us) / 1e6;
  if (!before || interval_s <= 0) {
    stall.some = stall.some_avg10;
    stall.full = stall.full_avg10;
    return stall;
  }
  stall.some = std::min(1.0, Moved(before->some_total_us, after->some_total_us) / 1e6 / interval_s);
  stall.full = std::min(1.0, Moved(before->full_total_us, after->full_total_us) / 1e6 / interval_s);
  return stall;
}

CpuMeasure CpuOf(const std::optional<CpuTicks>& before, const std::optional<CpuTicks>& after,
                 double ticks_per_s) {
  CpuMeasure cpu;
  if (!after) return cpu;
  cpu.cores = after->cores;
  cpu.seconds_total = static_cast<double>(after->used) / ticks_per_s;
  if (!before) return cpu;
  const double used = Moved(before->used, after->used);
  const double iowait = Moved(before->iowait, after->iowait);
  const double stolen = Moved(before->stolen, after->stolen);
  // Shares of the ticks that passed, not of the clock: the two do not tick together.
  const double passed = used + iowait + stolen + Moved(before->idle, after->idle);
  if (passed <= 0) return cpu;
  cpu.used_cores = used / passed * cpu.cores;
  cpu.iowait_cores = iowait / passed * cpu.cores;
  cpu.stolen_cores = stolen / passed * cpu.cores;
  return cpu;
}

NetMeasure NetOf(const std::optional<NetTotals>& before, const std::optional<NetTotals>& after,
                 double interval_s) {
  NetMeasure net;
  if (!after) return net;
  net.receive_bytes_total = after->receive_bytes;
  net.receive_packets_total = after->receive_packets;
  net.transmit_bytes_total = after->transmit_bytes;
  net.transmit_packets_total = after->transmit_packets;
  if (!before || interval_s <= 0) return net;
  net.receive_bytes_per_s = Moved(before->receive_bytes, after->receive_bytes) / interval_s;
  net.receive_packets_per_s = Moved(before->receive_packets, after->receive_packets) / interval_s;
  net.transmit_bytes_per_s = Moved(before->transmit_bytes, after->transmit_bytes) / interval_s;
  net.transmit_packets_per_s = Moved(before->transmit_packets, after->transmit_packets) / interval_s;
  return net;
}

std::optional<DeviceMeasure> DeviceOf(const std::optional<DeviceTotals>& before,
                                      const std::optional<DeviceTotals>& after, double interval_s) {
  if (!after) return std::nullopt;
  DeviceMeasure device;
  device.read_bytes_total = after->read_bytes;
  device.written_bytes_total = after->written_bytes;
  if (!before || interval_s <= 0) return device;
  device.read_bytes_per_s = Moved(before->read_bytes, after->read_bytes) / interval_s;
  device.write_bytes_per_s = Moved(before->written_bytes, after->written_bytes) / interval_s;
  device.busy = std::min(1.0, Moved(before->busy_ms, after->busy_ms) / 1e3 / interval_s);
  return device;
}

double OwnCpuSeconds() {
  timespec spent{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent) != 0) return 0;
  return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e9;
}

// Empty where the file system has no device of its own (tmpfs, overlay, btrfs: major number 0).
std::string DeviceFile(const std::filesystem::path& disk, const std::string& sys) {
  struct stat about {};
  if (::stat(disk.c_str(), &about) != 0 || major(about.st_dev) == 0) return "";
  return fmt::format("{}/dev/block/{}:{}/stat", sys, major(about.st_dev), minor(about.st_dev));
}

}  // namespace

LocalLoad Difference(const NodeReading& before, const NodeReading& after, double ticks_per_s) {
  LocalLoad load;
  const bool is_first = before.at == Time{};
  load.interval_s = !is_first && after.at > before.at ? ToSeconds(after.at - before.at) : 0;
  load.cpu = CpuOf(load.interval_s > 0 ? before.cpu : std::nullopt, after.cpu, ticks_per_s);
  load.cpu.stall = StallOf(before.cpu_pressure, after.cpu_pressure, load.interval_s);
  if (after.memory) {
    load.memory.total_bytes = after.memory->total_bytes;
    load.memory.available_bytes = after.memory->available_bytes;
  }
  load.memory.stall = StallOf(before.memory_pressure, after.memory_pressure, load.interval_s);
  load.disk.total_bytes = after.disk_bytes;
  load.disk.free_bytes = after.disk_free_bytes;
  load.disk.device = DeviceOf(before.device, after.device, load.interval_s);
  load.disk.stall = StallOf(before.io_pressure, after.io_pressure, load.interval_s);
  load.net = NetOf(before.net, after.net, load.interval_s);
  load.agent.cpu_seconds_total = after.agent_cpu_seconds;
  load.agent.resident_bytes = after.agent_resident_bytes;
  if (load.interval_s > 0)
    load.agent.used_cores =
        std::max(0.0, after.agent_cpu_seconds - before.agent_cpu_seconds) / load.interval_s;
  return load;
}

NodeSense::NodeSense(const std::filesystem::path& disk, const std::string& proc, const std::string& sys)
    : disk_(disk),
      stat_(proc + "/stat"),
      meminfo_(proc + "/meminfo"),
      cpu_pressure_(proc + "/pressure/cpu"),
      memory_pressure_(proc + "/pressure/memory"),
      io_pressure_(proc + "/pressure/io"),
      net_(proc + "/net/dev"),
      device_(DeviceFile(disk, sys)),
      own_memory_(proc + "/self/statm") {}

NodeReading NodeSense::Read(Time now, ReadBuffer& buffer) {
  NodeReading reading;
  reading.at = now;
  reading.cpu = Parsed<CpuTicks>(stat_, buffer, ParseStat);
  reading.memory = Parsed<MemInfo>(meminfo_, buffer, ParseMemInfo);
  reading.cpu_pressure = Parsed<PressureText>(cpu_pressure_, buffer, ParsePressure);
  reading.memory_pressure = Parsed<PressureText>(memory_pressure_, buffer, ParsePressure);
  reading.io_pressure = Parsed<PressureText>(io_pressure_, buffer, ParsePressure);
  reading.net = Parsed<NetTotals>(net_, buffer, ParseNetDev);
  reading.device = Parsed<DeviceTotals>(device_, buffer, ParseBlockStat);
  struct statvfs disk {};
  if (::statvfs(disk_.c_str(), &disk) == 0) {
    reading.disk_bytes = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
    reading.disk_free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  }
  reading.agent_cpu_seconds = OwnCpuSeconds();
  const auto resident = Parsed<std::uint64_t>(own_memory_, buffer, ParseResidentPages);
  reading.agent_resident_bytes = resident.value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return reading;
}

std::vector<std::string> NodeSense::Missing(ReadBuffer& buffer) {
  const NodeReading reading = Read({}, buffer);
  std::vector<std::string> words;
  const auto say = [&](bool there, const std::string& path, const char* without) {
    if (!there) words.push_back(fmt::format("{} says nothing: {}", path, without));
  };
  say(reading.cpu.has_value(), stat_.path(), "the load of the CPU is not known");
  say(reading.memory.has_value(), meminfo_.path(), "free memory is not known");
  say(reading.cpu_pressure.has_value(), cpu_pressure_.path(), "pressure on the CPU is not known (psi=1?)");
  say(reading.memory_pressure.has_value(), memory_pressure_.path(),
      "pressure on memory is not known (psi=1?)");
  say(reading.io_pressure.has_value(), io_pressure_.path(), "pressure on disks is not known (psi=1?)");
  say(reading.net.has_value(), net_.path(), "network traffic is not known");
  say(reading.device.has_value(), device_.path().empty() ? disk_.string() : device_.path(),
      "no block device to count the disk's traffic on");
  return words;
}

}  // namespace hs
