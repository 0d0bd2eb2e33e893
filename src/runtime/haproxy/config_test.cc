#include "runtime/haproxy/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

DoorConfig Config() {
  DoorConfig config;
  config.dir = "/var/lib/homeostat/door";
  config.door = *Endpoint::Parse("127.0.0.11:8080");
  config.inbound_ip = IpAddress::V4(127, 0, 0, 11);
  config.certificate_pem = "/var/lib/homeostat/node.pem";
  config.ca_pem = "/var/lib/homeostat/ca.crt";
  return config;
}

DoorTable Shop() {
  DoorService web{.name = "web", .http = HttpRoute{"Shop.example", "/"}};
  web.local = {{.name = "r1", .address = *Endpoint::Parse("127.0.0.11:20001")}};
  web.servers = {{.name = "r1", .address = *Endpoint::Parse("127.0.0.11:20001")},
                 {.name = "n2",
                  .address = *Endpoint::Parse("127.0.0.12:7701"),
                  .tls = true,
                  .tcp_port = 7702,
                  .weight = 3}};
  DoorService redis{.name = "redis", .ports = {{6379, false}}};
  redis.servers = {
      {.name = "n2", .address = *Endpoint::Parse("127.0.0.12:7701"), .tls = true, .tcp_port = 7702}};
  return {{redis, web}};
}

const DoorPorts kPorts{7701, 7702};

TEST(HaproxyConfig, LocalReplicasAreReachedByTheOwnSocketAndOtherNodesOverMutualTls) {
  const std::string config = RenderConfig(Shop(), Config(), kPorts);
  EXPECT_THAT(
      config,
      HasSubstr("\n  server own unix@/var/lib/homeostat/door/own.sock weight 1 proto h1 pool-max-conn 256 "
                "pool-purge-delay 5s\n"));
  EXPECT_THAT(config,
              HasSubstr("\n  server n2 127.0.0.12:7701 weight 3 ssl crt /var/lib/homeostat/node.pem ca-file "
                        "/var/lib/homeostat/ca.crt verify required alpn web proto h1 pool-max-conn 256 "
                        "pool-purge-delay 5s\n"));
  EXPECT_THAT(config,
              HasSubstr("\n  server n2 127.0.0.12:7702 weight 1 ssl"));  // bytes enter by the other listener
}

TEST(HaproxyConfig, InboundHoldsLocalReplicasOnly) {
  const std::string config = RenderConfig(Shop(), Config(), kPorts);
  const std::string inbound = config.substr(config.find("backend in_web"));
  EXPECT_THAT(inbound, HasSubstr("server r1 127.0.0.11:20001 weight 1 maxconn 16 "));
  EXPECT_THAT(inbound, Not(HasSubstr("server n2")));
}

TEST(HaproxyConfig, ServersThatDrainOrAreDownAreNotGivenToAFreshWorker) {
  DoorTable table = Shop();
  table.services[1].servers[0].state = ServerState::kDrain;
  table.services[1].local[0].state = ServerState::kDown;
  EXPECT_THAT(RenderConfig(table, Config(), kPorts), Not(HasSubstr("server r1")));
}

TEST(HaproxyConfig, TheShapeStaysWhenOnlyServersChangeAndNotWhenAServiceComes) {
  DoorTable fewer = Shop();
  fewer.services[1].servers.clear();
  DoorTable other = Shop();
  other.services.push_back({.name = "zoo"});
  const std::string shape = ShapeOf(RenderConfig(Shop(), Config(), kPorts));
  EXPECT_EQ(ShapeOf(RenderConfig(fewer, Config(), kPorts)), shape);
  EXPECT_NE(ShapeOf(RenderConfig(other, Config(), kPorts)), shape);
}

TEST(HaproxyConfig, ARouteChangeKeepsTheShape) {
  DoorTable moved = Shop();
  moved.services[1].http->path = "/shop";
  EXPECT_EQ(ShapeOf(RenderConfig(moved, Config(), kPorts)), ShapeOf(RenderConfig(Shop(), Config(), kPorts)));
}

TEST(HaproxyConfig, ANameCannotBringInLines) {
  DoorTable table = Shop();
  table.services[0].name = "evil\n  bind :80";
  table.services[1].servers[0].name = "r1 backup\nglobal";
  const std::string config = RenderConfig(table, Config(), kPorts);
  EXPECT_THAT(config, Not(HasSubstr("evil")));
  EXPECT_THAT(config, Not(HasSubstr("backup")));
  EXPECT_THAT(Problems(table, Config()), SizeIs(1));
}

TEST(HaproxyConfig, APortHeldByAnotherProgramIsLeftOutAndTheRestServed) {
  const std::set<Endpoint> taken = {*Endpoint::Parse("127.0.0.11:6379")};
  const std::string config = RenderConfig(Shop(), Config(), kPorts, taken);
  EXPECT_THAT(config, Not(HasSubstr("frontend p_6379")));
  EXPECT_THAT(config, HasSubstr("frontend door"));
}

TEST(HaproxyConfig, BindsAreReadBackFromTheText) {
  EXPECT_THAT(BindsOf(RenderConfig(Shop(), Config(), kPorts)),
              ::testing::UnorderedElementsAre(
                  *Endpoint::Parse("127.0.0.11:8080"), *Endpoint::Parse("127.0.0.11:6379"),
                  *Endpoint::Parse("127.0.0.11:7701"), *Endpoint::Parse("127.0.0.11:7702")));
}

TEST(HaproxyConfig, TwoServicesOnOnePortOrRouteAreNamed) {
  DoorTable table = Shop();
  table.services.push_back({.name = "zoo", .http = HttpRoute{"shop.example", ""}, .ports = {{6379, true}}});
  EXPECT_THAT(Problems(Shop(), Config()), IsEmpty());
  EXPECT_THAT(Problems(table, Config()),
              ::testing::ElementsAre(HasSubstr("service zoo asks for port 6379, which service redis has"),
                                     HasSubstr("service zoo asks for host 'shop.example'")));
}

TEST(HaproxyConfig, BoxesWithReplicasMayClaimUrgency) {
  EXPECT_EQ(BoxesOf(Shop()), (Routes{{"127.0.0.11", "box"}, {"127.0.0.12", "box"}}));
  const std::string config = RenderConfig(Shop(), Config(), kPorts);
  EXPECT_THAT(config, HasSubstr("  acl inside src 127.0.0.0/8 ::1\n"
                                "  acl inside src,strcmp(txn.to) eq 0\n"
                                "  acl inside src,map_ip(/var/lib/homeostat/door/boxes.map) -m found\n"));
  EXPECT_THAT(config,
              HasSubstr("regsub(\"u=[0-2]\",\"u=3\",g)]' if { req.fhdr(priority) -m reg u=[0-2] } !inside"));
}

TEST(HaproxyRoutes, KeysEndWithASlashSoThatAPrefixEndsAtASegment) {
  DoorTable table = Shop();
  table.services.push_back({.name = "api", .http = HttpRoute{"", "/api/"}});
  const Routes routes = RoutesOf(table);
  EXPECT_EQ(routes.at("shop.example/"), "web");
  EXPECT_EQ(routes.at("*/api/"), "api");
  EXPECT_EQ(routes.at("web.internal/"), "web");
}

TEST(HaproxyRoutes, ARouteWithBlanksIsRefused) {
  DoorTable table = Shop();
  table.services[1].http->path = "/a b\nevil/ web";
  EXPECT_THAT(RenderRoutes(RoutesOf(table)), Not(HasSubstr("evil")));
}

TEST(HaproxyConfig, WordsCannotEndALine) { EXPECT_EQ(EscapeWord("/a b\n;#\"c"), "/a\\ b\\;\\#\\\"c"); }

}  // namespace
}  // namespace hs
