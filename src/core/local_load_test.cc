#include "core/local_load.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

ReplicaMeasure Replica(std::uint64_t id, const std::string& service, double cores,
                       std::uint64_t memory_bytes) {
  ReplicaMeasure replica;
  replica.id = ReplicaId{id};
  replica.service = service;
  replica.used_cores = cores;
  replica.memory_bytes = memory_bytes;
  return replica;
}

TEST(LocalLoad, OthersAreToldWhatIsUsed) {
  LocalLoad load;
  load.cpu.cores = 4;
  load.cpu.used_cores = 1.5;
  load.memory = {.total_bytes = 1000, .available_bytes = 400, .stall = {}};
  load.disk.device = DeviceMeasure{.read_bytes_per_s = 10, .write_bytes_per_s = 20};
  load.net = {.receive_bytes_per_s = 3, .transmit_bytes_per_s = 4};
  load.cpu.stall = Stall{.some = 0.25};
  load.agent.lag_max_s = 0.003;
  const NodeLoad told = ToNodeLoad(NodeId{{7}}, load);
  EXPECT_EQ(told.node, NodeId{{7}});
  EXPECT_FLOAT_EQ(told.cpu, 1.5);
  EXPECT_FLOAT_EQ(told.cores, 4);
  EXPECT_EQ(told.memory_used_bytes, 600U);
  EXPECT_FLOAT_EQ(told.disk_bytes_s, 30);
  EXPECT_FLOAT_EQ(told.net_bytes_s, 7);
  EXPECT_FLOAT_EQ(told.pressure_cpu, 0.25);
  EXPECT_FLOAT_EQ(told.lag_ms, 3);
}

TEST(LocalLoad, UnknownPressureIsBelowZeroAndNotNone) {
  const NodeLoad told = ToNodeLoad({}, LocalLoad{});
  EXPECT_LT(told.pressure_cpu, 0);
  EXPECT_LT(told.pressure_memory, 0);
  EXPECT_LT(told.pressure_io, 0);
}

TEST(LocalLoad, MoreAvailableThanThereIsMeansNothingUsed) {
  LocalLoad load;
  load.memory = {.total_bytes = 100, .available_bytes = 200, .stall = {}};
  EXPECT_EQ(ToNodeLoad({}, load).memory_used_bytes, 0U);
}

TEST(LocalLoad, ReplicasAreAddedUpByService) {
  LocalLoad load;
  load.replicas = {Replica(1, "web", 0.5, 100), Replica(2, "api", 1, 10), Replica(3, "web", 0.25, 50)};
  const auto services = ToServiceLoads(load);
  ASSERT_EQ(services.size(), 2U);
  EXPECT_EQ(services[0].service, "api");
  EXPECT_EQ(services[1].service, "web");
  EXPECT_FLOAT_EQ(services[1].cpu, 0.75);
  EXPECT_EQ(services[1].memory_bytes, 150U);
  EXPECT_EQ(services[1].replicas, 2U);
}

}  // namespace
}  // namespace hs
