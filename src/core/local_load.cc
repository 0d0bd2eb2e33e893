#include "core/local_load.h"

#include <algorithm>
#include <map>

namespace hs {
namespace {

float SomeOrUnknown(const std::optional<Stall>& stall) {
  return stall ? static_cast<float>(stall->some) : -1.0F;
}

}  // namespace

NodeLoad ToNodeLoad(NodeId node, const LocalLoad& load) {
  NodeLoad told;
  told.node = node;
  told.cpu = static_cast<float>(load.cpu.used_cores);
  told.cores = static_cast<float>(load.cpu.cores);
  told.memory_total_bytes = load.memory.total_bytes;
  told.memory_used_bytes =
      load.memory.total_bytes - std::min(load.memory.available_bytes, load.memory.total_bytes);
  told.disk_free_bytes = load.disk.free_bytes;
  told.disk_total_bytes = load.disk.total_bytes;
  if (const auto& device = load.disk.device)
    told.disk_bytes_s = static_cast<float>(device->read_bytes_per_s + device->write_bytes_per_s);
  told.net_bytes_s = static_cast<float>(load.net.receive_bytes_per_s + load.net.transmit_bytes_per_s);
  told.pressure_cpu = SomeOrUnknown(load.cpu.stall);
  told.pressure_memory = SomeOrUnknown(load.memory.stall);
  told.pressure_io = SomeOrUnknown(load.disk.stall);
  told.lag_ms = static_cast<float>(load.agent.lag_max_s * 1e3);
  return told;
}

std::vector<ServiceLoad> ToServiceLoads(const LocalLoad& load) {
  std::map<std::string, ServiceLoad> services;
  for (const ReplicaMeasure& replica : load.replicas) {
    ServiceLoad& service = services[replica.service];
    service.cpu += static_cast<float>(replica.used_cores);
    service.memory_bytes += replica.memory_bytes;
    ++service.replicas;
  }
  std::vector<ServiceLoad> told;
  for (auto& [name, service] : services) {
    service.service = name;
    told.push_back(std::move(service));
  }
  return told;
}

}  // namespace hs
