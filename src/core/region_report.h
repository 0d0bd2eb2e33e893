// What a controller says of its region: to its own nodes, and to all others in place of its nodes' reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/types.h"

namespace hs {

// How many replicas of a service one node of a region has.
struct ServiceAtNode {
  NodeId node;
  std::uint32_t staying = 0;   // planned to be there, healthy or not
  std::uint32_t running = 0;   // could serve
  std::uint32_t well = 0;      // of these, not known to be unhealthy
  std::uint32_t draining = 0;  // out of the doors, and still finishing what they have
  friend bool operator==(const ServiceAtNode&, const ServiceAtNode&) = default;
};

// What those outside a region need to know of a service in it.
struct ServiceInRegion {
  std::string service;
  std::uint32_t healthy = 0;
  std::uint32_t starting = 0;
  std::uint32_t draining = 0;
  ReplicaId keeper;                  // one that is healthy and stays; zero: none
  std::vector<ServiceAtNode> nodes;  // sorted by node
  friend bool operator==(const ServiceInRegion&, const ServiceInRegion&) = default;
};

// What a region may have: replicas.NAME of a service, and its part of each hard maximum.
struct RegionShare {
  RegionId region = 0;
  std::vector<Allotment> allotments;  // sorted by subject
  friend bool operator==(const RegionShare&, const RegionShare&) = default;
};

// The controller's word on its region as a whole. What follows `levels` is empty while there is one region.
struct RegionReport {
  RegionId region = 0;
  PlanStamp stamp;
  std::vector<Shortage> shortages;
  std::vector<std::string> pending;       // what is on its way to the steady state; empty when steady
  std::vector<ServiceLevel> levels;       // sorted by service
  std::vector<ServiceInRegion> services;  // sorted by service
  std::vector<Allotment> held;            // by all its nodes together; sorted by subject
  PlanStamp follows;                      // the division by which its nodes hold their parts
  std::vector<RegionShare> division;      // of the steward: among all regions; sorted by region
  std::uint64_t division_sequence = 0;    // of its last change, in the stamp's term
  std::uint64_t documents = 0;  // digest of the intent that all its present nodes hold; 0: not known
  friend bool operator==(const RegionReport&, const RegionReport&) = default;
};

}  // namespace hs
