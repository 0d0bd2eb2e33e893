#include "core/engines/door_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hs {
namespace {

NodeId Id(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  return id;
}

struct Cluster {
  MemberTable members;
  std::map<NodeId, NodeReport> reports;
  std::vector<DesiredService> services;
  Cluster() {
    for (int n = 1; n <= 3; ++n) {
      Member member;
      member.id = Id(n);
      member.meta.Edit().address = {IpAddress::V4(127, 0, 0, static_cast<std::uint8_t>(10 + n)), 7700};
      member.meta.Edit().inbound_http = 7701;
      member.meta.Edit().inbound_tcp = 7702;
      members[member.id] = member;
      reports[member.id];
    }
    DesiredService web;
    web.spec.name = "web";
    web.spec.http = HttpRoute{"shop.test", "/"};
    web.spec.ports = {{8080, true}};
    services.push_back(web);
  }
  ReplicaStatus& Run(int n, std::uint64_t id, ReplicaState state = ReplicaState::kRunning,
                     Health health = Health::kHealthy) {
    ReplicaStatus status;
    status.id = ReplicaId{id};
    status.service = "web";
    status.state = state;
    status.health = health;
    status.address = {members[Id(n)].meta->address.ip, static_cast<std::uint16_t>(20000 + id)};
    reports[Id(n)].replicas.push_back(status);
    return reports[Id(n)].replicas.back();
  }
  DoorTable Table() const {
    DoorReports seen;
    for (const auto& [id, report] : reports) seen[id] = &report;
    return BuildDoorTable({Id(1), members, services, seen});
  }
  DoorService Web() const { return Table().services.at(0); }
};

// Out of the table, nobody could tell when the last request is gone.
TEST(DoorTable, WhatIsNoLongerAskedForGetsNothingNewAndStaysUntilItHasStopped) {
  Cluster c;
  ReplicaStatus& own = c.Run(1, 1);
  c.Run(2, 2);
  c.services.clear();
  const auto web = c.Web();
  EXPECT_EQ(web.name, "web");
  EXPECT_FALSE(web.http);
  EXPECT_TRUE(web.ports.empty());
  ASSERT_EQ(web.local.size(), 1u);
  EXPECT_EQ(web.local[0].state, ServerState::kDrain);
  EXPECT_EQ(web.servers, web.local);
  own.state = ReplicaState::kDraining;
  EXPECT_EQ(c.Web(), web) << "nothing changes as it begins to drain";
  own.state = ReplicaState::kStopping;
  EXPECT_TRUE(c.Table().services.empty());
}

TEST(DoorTable, OwnReplicasAreReachedDirectlyAndOthersThroughTheirBox) {
  Cluster c;
  c.Run(1, 2);
  c.Run(1, 1);
  c.Run(2, 3);
  c.Run(2, 4);
  const DoorService web = c.Web();
  EXPECT_EQ(web.http, c.services[0].spec.http);
  EXPECT_EQ(web.ports, c.services[0].spec.ports);
  ASSERT_EQ(web.local.size(), 2U);
  EXPECT_EQ(web.local[0].name, "0000000000000001");
  EXPECT_EQ(ReplicaOf(web.local[0].name), ReplicaId{1});
  EXPECT_EQ(ReplicaOf(NodeId{}.Hex()), std::nullopt) << "another box";
  EXPECT_EQ(web.local[0].address.ToString(), "127.0.0.11:20001");
  EXPECT_FALSE(web.local[0].tls);
  ASSERT_EQ(web.servers.size(), 3U);
  EXPECT_EQ(web.servers[2].name, Id(2).Hex());
  EXPECT_EQ(web.servers[2].address.ToString(), "127.0.0.12:7701");
  EXPECT_EQ(web.servers[2].tcp_port, 7702);
  EXPECT_TRUE(web.servers[2].tls);
  EXPECT_EQ(web.servers[2].weight, 2U);
}

TEST(DoorTable, WhichReplicasGetRequests) {
  struct Row {
    const char* why;
    ReplicaState state;
    Health health;
    std::optional<ServerState> offered;
  };
  const Row rows[] = {
      {"healthy", ReplicaState::kRunning, Health::kHealthy, ServerState::kReady},
      {"adopted by a restarted agent, not asked yet", ReplicaState::kRunning, Health::kUnknown,
       ServerState::kReady},
      {"unhealthy while others are well", ReplicaState::kRunning, Health::kUnhealthy, std::nullopt},
      {"never healthy yet", ReplicaState::kStarting, Health::kUnknown, std::nullopt},
      {"no process", ReplicaState::kBackoff, Health::kUnhealthy, std::nullopt},
      {"finishing what it has", ReplicaState::kDraining, Health::kHealthy, ServerState::kDrain},
      {"asked to stop", ReplicaState::kStopping, Health::kHealthy, std::nullopt},
  };
  for (const Row& row : rows) {
    for (const int node : {1, 2}) {
      SCOPED_TRACE(std::string(row.why) + " on " + std::to_string(node));
      Cluster c;
      c.Run(3, 9);
      c.Run(node, 1, row.state, row.health);
      const DoorService web = c.Web();
      const std::string name = node == 1 ? "0000000000000001" : Id(2).Hex();
      const auto it =
          std::find_if(web.servers.begin(), web.servers.end(), [&](const auto& s) { return s.name == name; });
      ASSERT_EQ(it != web.servers.end(), row.offered.has_value());
      if (row.offered) {
        EXPECT_EQ(it->state, *row.offered);
      }
      EXPECT_EQ(web.local.size(), node == 1 && row.offered ? 1U : 0U);
    }
  }
}

TEST(DoorTable, WhichBoxesServeAndWhichAreDown) {
  struct Row {
    MemberState state;
    ServerState offered;
    const char* why;
  };
  const Row rows[] = {
      {MemberState::kAlive, ServerState::kReady, "working"},
      {MemberState::kSuspect, ServerState::kReady, "may refute"},
      {MemberState::kAgentDown, ServerState::kReady,
       "its work may live, and the door tries elsewhere if not"},
      {MemberState::kUnreachable, ServerState::kDown, "what hangs there is cut and asked elsewhere"},
      {MemberState::kDead, ServerState::kDown, "gone"},
      {MemberState::kLeft, ServerState::kDown, "gone"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    Cluster c;
    c.Run(1, 1);
    c.Run(2, 2);
    c.members[Id(2)].state = row.state;
    ASSERT_EQ(c.Web().servers.size(), 2U);
    EXPECT_EQ(c.Web().servers[1].state, row.offered);
    c.reports.erase(Id(2));
    EXPECT_EQ(c.Web().servers.size(), 1U) << "it goes with its report";
    c.reports[Id(2)];
    c.Run(2, 2);
    c.members.erase(Id(2));
    EXPECT_EQ(c.Web().servers.size(), 1U) << "a member nobody knows";
  }
}

TEST(DoorTable, SilentBoxesAreAskedWhileNobodyElseRunsTheService) {
  Cluster c;
  c.Run(2, 2);
  c.members[Id(2)].state = MemberState::kUnreachable;
  ASSERT_EQ(c.Web().servers.size(), 1U);
  EXPECT_EQ(c.Web().servers[0].state, ServerState::kReady);
  c.Run(3, 3, ReplicaState::kStarting, Health::kUnknown);
  EXPECT_EQ(c.Web().servers[0].state, ServerState::kReady) << "its successor does not serve yet";
  c.reports[Id(3)].replicas[0].state = ReplicaState::kRunning;
  ASSERT_EQ(c.Web().servers.size(), 2U);
  EXPECT_EQ(c.Web().servers[0].state, ServerState::kDown) << "now what hangs can be asked elsewhere";
  EXPECT_EQ(c.Web().servers[1].state, ServerState::kReady);
  c.reports.erase(Id(3));
  c.members[Id(2)].state = MemberState::kDead;
  EXPECT_EQ(c.Web().servers[0].state, ServerState::kDown) << "proven, not only silent";
}

TEST(DoorTable, WhenFewerThanHalfAreHealthyAllThatRunAreUsed) {
  Cluster c;
  c.Run(1, 1, ReplicaState::kRunning, Health::kUnhealthy);
  c.Run(2, 2, ReplicaState::kRunning, Health::kUnhealthy);
  c.Run(2, 3, ReplicaState::kStarting, Health::kUnknown);
  EXPECT_EQ(c.Web().local.size(), 1U);
  ASSERT_EQ(c.Web().servers.size(), 2U);
  EXPECT_EQ(c.Web().servers[1].weight, 1U) << "one that never was healthy is not used even then";
  c.Run(3, 4);
  ASSERT_EQ(c.Web().servers.size(), 3U) << "one of three could not carry it all";
  c.Run(3, 5);
  ASSERT_EQ(c.Web().servers.size(), 1U) << "two of four";
  EXPECT_EQ(c.Web().servers[0].name, Id(3).Hex());
  c.members[Id(3)].state = MemberState::kDead;
  const DoorService web = c.Web();
  ASSERT_EQ(web.servers.size(), 3U);
  EXPECT_EQ(web.servers[0].state, ServerState::kReady) << "a dead box's healthy word counts for nothing";
  EXPECT_EQ(web.servers[1].state, ServerState::kReady);
  EXPECT_EQ(web.servers[2].state, ServerState::kDown);
}

TEST(DoorTable, ReplicasOfAnOldVersionServeWhileTheyAreReplaced) {
  Cluster c;
  c.services[0].hash = SpecHash{2};
  c.Run(1, 1).spec = SpecHash{1};
  EXPECT_EQ(c.Web().servers.size(), 1U);
}

TEST(DoorTable, ServicesAreSortedAndOnesWithoutReplicasAreListed) {
  Cluster c;
  DesiredService api;
  api.spec.name = "api";
  c.services.push_back(api);
  DoorReports none;
  const DoorTable table = BuildDoorTable({Id(1), c.members, c.services, none});
  ASSERT_EQ(table.services.size(), 2U);
  EXPECT_EQ(table.services[0].name, "api");
  EXPECT_TRUE(table.services[0].servers.empty());
}

}  // namespace
}  // namespace hs
