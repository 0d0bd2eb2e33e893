#include "runtime/sense/node_sense.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace hs {
namespace {

constexpr double kTicks = 100;

Time At(double seconds) {
  return Time(1000h) + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

NodeReading First() {
  NodeReading reading;
  reading.at = At(1);
  reading.cpu = CpuTicks{.used = 1000, .idle = 5000, .iowait = 100, .stolen = 10, .cores = 4, .forks = 1};
  reading.memory = MemInfo{1000, 600};
  reading.cpu_pressure = PressureText{0.5, 0.25, 1'000'000, 500'000};
  reading.net = NetTotals{1000, 10, 2000, 20};
  reading.device = DeviceTotals{4096, 8192, 100};
  reading.agent_cpu_seconds = 5;
  return reading;
}

TEST(Difference, IsAMeanOverTheInterval) {
  NodeReading after = First();
  after.at = At(3);
  after.cpu = CpuTicks{.used = 1200, .idle = 5500, .iowait = 180, .stolen = 30, .cores = 4, .forks = 9};
  after.cpu_pressure = PressureText{0.4, 0.2, 2'000'000, 900'000};
  after.net = NetTotals{3000, 30, 6000, 60};
  after.device = DeviceTotals{8192, 16384, 1100};
  after.agent_cpu_seconds = 5.5;
  const LocalLoad load = Difference(First(), after, kTicks);
  EXPECT_DOUBLE_EQ(load.interval_s, 2);
  EXPECT_DOUBLE_EQ(load.cpu.used_cores, 1);  // 200 of 800 ticks of 4 cores
  EXPECT_DOUBLE_EQ(load.cpu.iowait_cores, 0.4);
  EXPECT_DOUBLE_EQ(load.cpu.stolen_cores, 0.1);
  EXPECT_DOUBLE_EQ(load.cpu.seconds_total, 12);
  ASSERT_TRUE(load.cpu.stall);
  EXPECT_DOUBLE_EQ(load.cpu.stall->some, 0.5);
  EXPECT_DOUBLE_EQ(load.cpu.stall->full, 0.2);
  EXPECT_DOUBLE_EQ(load.cpu.stall->some_avg10, 0.4);
  EXPECT_DOUBLE_EQ(load.net.receive_bytes_per_s, 1000);
  EXPECT_DOUBLE_EQ(load.net.transmit_packets_per_s, 20);
  ASSERT_TRUE(load.disk.device);
  EXPECT_DOUBLE_EQ(load.disk.device->read_bytes_per_s, 2048);
  EXPECT_DOUBLE_EQ(load.disk.device->write_bytes_per_s, 4096);
  EXPECT_DOUBLE_EQ(load.disk.device->busy, 0.5);
  EXPECT_DOUBLE_EQ(load.agent.used_cores, 0.25);
}

TEST(Difference, TheFirstReadingHasTotalsAndNoRates) {
  const LocalLoad load = Difference(NodeReading{}, First(), kTicks);
  EXPECT_EQ(load.interval_s, 0);
  EXPECT_EQ(load.cpu.used_cores, 0);
  EXPECT_EQ(load.cpu.cores, 4);
  EXPECT_EQ(load.net.receive_bytes_per_s, 0);
  EXPECT_EQ(load.net.receive_bytes_total, 1000U);
  EXPECT_EQ(load.agent.used_cores, 0);
  EXPECT_DOUBLE_EQ(load.cpu.stall->some, 0.5);  // the kernel's average, for want of better
}

TEST(Difference, CountersThatRanBackwardsHaveNotMoved) {
  NodeReading after = First();
  after.at = At(2);
  after.cpu = CpuTicks{.used = 1, .idle = 5100, .iowait = 0, .stolen = 0, .cores = 4};
  after.net = NetTotals{};
  after.device = DeviceTotals{};
  after.cpu_pressure = PressureText{};
  after.agent_cpu_seconds = 1;
  const LocalLoad load = Difference(First(), after, kTicks);
  EXPECT_EQ(load.cpu.used_cores, 0);
  EXPECT_EQ(load.net.receive_bytes_per_s, 0);
  EXPECT_EQ(load.disk.device->write_bytes_per_s, 0);
  EXPECT_EQ(load.cpu.stall->some, 0);
  EXPECT_EQ(load.agent.used_cores, 0);
}

TEST(Difference, ShareOfTimeIsNeverMoreThanAll) {
  NodeReading after = First();
  after.at = At(1.5);
  after.cpu_pressure = PressureText{0, 0, 90'000'000, 90'000'000};
  after.device = DeviceTotals{4096, 8192, 100'000};
  const LocalLoad load = Difference(First(), after, kTicks);
  EXPECT_EQ(load.cpu.stall->some, 1);
  EXPECT_EQ(load.disk.device->busy, 1);
}

TEST(Difference, WhatTheBoxDoesNotTellIsAbsent) {
  NodeReading after;
  after.at = At(2);
  const LocalLoad load = Difference(First(), after, kTicks);
  EXPECT_FALSE(load.cpu.stall);
  EXPECT_FALSE(load.memory.stall);
  EXPECT_FALSE(load.disk.stall);
  EXPECT_FALSE(load.disk.device);
  EXPECT_EQ(load.cpu.cores, 0);
}

TEST(NodeSense, ReadsThisBox) {
  ReadBuffer buffer;
  NodeSense sense(std::filesystem::temp_directory_path());
  const NodeReading reading = sense.Read(At(1), buffer);
  ASSERT_TRUE(reading.cpu);
  EXPECT_GT(reading.cpu->used, 0U);
  ASSERT_TRUE(reading.memory);
  EXPECT_GT(reading.memory->available_bytes, 1U << 20);
  EXPECT_GT(reading.disk_bytes, 0U);
  EXPECT_GE(reading.disk_bytes, reading.disk_free_bytes);
  EXPECT_GT(reading.agent_cpu_seconds, 0);
  EXPECT_GT(reading.agent_resident_bytes, 1U << 20);
}

TEST(NodeSense, SaysWhatAnOldKernelDoesNotTell) {
  std::string pattern = (std::filesystem::temp_directory_path() / "hs_sense_XXXXXX").string();
  const std::filesystem::path proc = mkdtemp(pattern.data());
  std::ofstream(proc / "stat") << "cpu 1 2 3 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8\n";
  std::ofstream(proc / "meminfo") << "MemTotal: 10 kB\nMemAvailable: 5 kB\n";
  ReadBuffer buffer;
  NodeSense sense(proc, proc.string(), proc.string());
  const NodeReading reading = sense.Read(At(1), buffer);
  EXPECT_TRUE(reading.cpu && reading.memory);
  EXPECT_FALSE(reading.cpu_pressure || reading.memory_pressure || reading.io_pressure || reading.net);
  std::string all;
  for (const auto& words : sense.Missing(buffer)) all += words + "\n";
  EXPECT_NE(all.find("pressure on the CPU is not known"), std::string::npos) << all;
  EXPECT_EQ(all.find("free memory"), std::string::npos) << all;
  // A file that appears later is read.
  std::filesystem::create_directory(proc / "pressure");
  std::ofstream(proc / "pressure" / "cpu") << "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
  EXPECT_TRUE(sense.Read(At(2), buffer).cpu_pressure);
  std::filesystem::remove_all(proc);
}

}  // namespace
}  // namespace hs
