#include "runtime/haproxy/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

DoorConfig Config() {
  DoorConfig config;
  config.dir = "/d";
  config.certificate_pem = "/d/node.pem";
  config.ca_pem = "/d/ca.crt";
  return config;
}

ServerRun Local(std::uint16_t port, ServerState state = ServerState::kReady) {
  return {{IpAddress::V4(127, 0, 0, 1), port}, false, 1, state};
}

Backends One(const ServerRun& server) { return {{"b_web", {{"r1", server}}}}; }

TEST(HaproxyCommands, EqualStatesNeedNothing) {
  EXPECT_THAT(RuntimeCommands(One(Local(1)), One(Local(1)), Config()), IsEmpty());
}

struct Row {
  const char* why;
  Backends have;
  Backends want;
  std::vector<std::string> commands;
};

TEST(HaproxyCommands, EachDifferenceHasItsCommands) {
  const Backends empty = {{"b_web", {}}};
  const Backends own = {{"b_web", {{kOwnServer, {{}, false, 2, ServerState::kReady}}}}};
  ServerRun heavy = Local(1);
  heavy.weight = 7;
  ServerRun remote = Local(1);
  remote.tls = true;
  const std::vector<Row> rows = {
      {"a new replica",
       empty,
       One(Local(1)),
       {"add server b_web/r1 127.0.0.1:1 weight 1", "set server b_web/r1 state ready"}},
      {"another node, over mutual TLS",
       empty,
       One(remote),
       {"add server b_web/r1 127.0.0.1:1 weight 1 ssl crt /d/node.pem ca-file /d/ca.crt verify required alpn "
        "web proto h1 pool-max-conn 256 pool-purge-delay 5s",
        "set server b_web/r1 state ready"}},
      {"replicas on this node, by its own socket",
       empty,
       own,
       {"add server b_web/own unix@/d/own.sock weight 2 proto h1 pool-max-conn 256 pool-purge-delay 5s",
        "set server b_web/own state ready"}},
      {"no use in adding what drains", empty, One(Local(1, ServerState::kDrain)), {}},
      {"draining lets requests finish",
       One(Local(1)),
       One(Local(1, ServerState::kDrain)),
       {"set server b_web/r1 state drain"}},
      {"down cuts hanging requests",
       One(Local(1)),
       One(Local(1, ServerState::kDown)),
       {"set server b_web/r1 state maint", "shutdown sessions server b_web/r1"}},
      {"back in service",
       One(Local(1, ServerState::kDown)),
       One(Local(1)),
       {"set server b_web/r1 state ready"}},
      {"gone from the table",
       One(Local(1)),
       empty,
       {"set server b_web/r1 state maint", "del server b_web/r1"}},
      {"a second try to delete", One(Local(1, ServerState::kDown)), empty, {"del server b_web/r1"}},
      {"restarted on another port",
       One(Local(1)),
       One(Local(2)),
       {"set server b_web/r1 addr 127.0.0.1 port 2"}},
      {"a node with more replicas", One(Local(1)), One(heavy), {"set server b_web/r1 weight 7"}},
      {"a backend that comes with a reload", {}, One(Local(1)), {}},
      {"a backend that goes with a reload", One(Local(1)), {}, {}},
  };
  for (const Row& row : rows)
    EXPECT_EQ(RuntimeCommands(row.have, row.want, Config()), row.commands) << row.why;
}

TEST(HaproxyCommands, WhoIsNewComesBeforeWhoIsCut) {
  const Backends have = {{"b_web", {{"r1", Local(1)}}}};
  const Backends want = {{"b_web", {{"r1", Local(1, ServerState::kDown)}, {"r2", Local(2)}}}};
  EXPECT_THAT(RuntimeCommands(have, want, Config()),
              ElementsAre("add server b_web/r2 127.0.0.1:2 weight 1", "set server b_web/r2 state ready",
                          "set server b_web/r1 state maint", "shutdown sessions server b_web/r1"));
}

TEST(HaproxyCommands, AllRequestsForALocalReplicaMeetInTheInboundBackend) {
  DoorTable have{{{.name = "web"}}};
  DoorTable want = have;
  want.services[0].local = {
      {.name = "r1", .address = *Endpoint::Parse("127.0.0.1:9")},
      {.name = "r2", .address = *Endpoint::Parse("127.0.0.1:8"), .state = ServerState::kDrain}};
  want.services[0].servers = want.services[0].local;
  EXPECT_THAT(
      RuntimeCommands(have, want, Config()),
      ElementsAre(
          "add server in_web/r1 127.0.0.1:9 weight 1 maxconn 16 pool-max-conn 256 pool-purge-delay 2s",
          "set server in_web/r1 state ready",
          "add server b_web/own unix@/d/own.sock weight 1 proto h1 pool-max-conn 256 pool-purge-delay 5s",
          "set server b_web/own state ready"));
  DoorTable gone = want;
  gone.services[0].local.clear();
  EXPECT_THAT(RuntimeCommands(want, gone, Config()),
              ElementsAre("set server b_web/own state maint", "del server b_web/own",
                          "set server in_web/r1 state maint", "del server in_web/r1",
                          "set server in_web/r2 state maint", "del server in_web/r2"));
}

TEST(HaproxyCommands, WhereOnlyDrainingReplicasAreLeftOtherDoorsAreStillServed) {
  DoorTable have{{{.name = "web"}}};
  have.services[0].local = {{.name = "r1", .address = *Endpoint::Parse("127.0.0.1:9")}};
  DoorTable want = have;
  want.services[0].local[0].state = ServerState::kDrain;
  EXPECT_THAT(RuntimeCommands(have, want, Config()), ElementsAre("set server b_web/own state drain"));
  want.services[0].local.push_back({.name = "r2", .address = *Endpoint::Parse("127.0.0.1:8")});
  EXPECT_THAT(RuntimeCommands(have, want, Config()), ::testing::Contains("set server in_web/r1 state drain"));
}

TEST(HaproxyCommands, TheStateHaproxyTellsIsRead) {
  const std::string text =
      "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state ...\n"
      "5 in_web 1 r1 127.0.0.77 2 0 1 1 0 1 0 0 0 0 0 0 - 19001 - 0 0 - - 0\n"
      "5 in_web 2 r2 127.0.0.77 0 1 1 1 0 1 0 0 0 0 0 0 - 19002 - 0 0 - - 0\n"
      "2 b_web 1 own - 2 0 2 2 3 1 0 2 0 0 0 0 - 0 - 0 0 - - 0\n"
      "2 b_web 2 n2 127.0.0.78 2 8 3 3 1 1 0 0 0 0 0 0 - 18082 - 1 0 - - 0\n\n";
  const Result<Backends> state = ParseServersState(text);
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->at("in_web").at("r1").state, ServerState::kReady);
  EXPECT_EQ(state->at("in_web").at("r2").state, ServerState::kDown);
  EXPECT_EQ(state->at("b_web").at(kOwnServer), (ServerRun{{}, false, 2, ServerState::kReady}));
  EXPECT_EQ(state->at("b_web").at("n2"),
            (ServerRun{*Endpoint::Parse("127.0.0.78:18082"), true, 3, ServerState::kDrain}));
}

TEST(HaproxyCommands, AnAnswerThatIsNotAStateIsRefused) {
  EXPECT_FALSE(ParseServersState(""));
  EXPECT_FALSE(ParseServersState("Unknown command\n"));
  EXPECT_FALSE(ParseServersState("1\n5 in_web 1 r1\n"));
  EXPECT_FALSE(ParseServersState("1\n5 in_web 1 r1 localhost 2 0 1 1 0 1 0 0 0 0 0 0 - 99999 - 0 0 - - 0\n"));
}

TEST(HaproxyCommands, RoutesAreChangedOneByOne) {
  EXPECT_THAT(MapCommands({{"*/", "a"}, {"old/", "a"}}, {{"*/", "b"}, {"new/", "a"}}, "/d/routes.map"),
              ElementsAre("set map /d/routes.map */ b", "add map /d/routes.map new/ a",
                          "del map /d/routes.map old/"));
  EXPECT_EQ(ParseMap("0x55 */ b\n0x56 new/ a\n\n"), (Routes{{"*/", "b"}, {"new/", "a"}}));
}

TEST(HaproxyCommands, ARefusedCommandIsNoticed) {
  EXPECT_TRUE(IsAccepted("add server b/r", "New server registered.\n\n"));
  EXPECT_FALSE(IsAccepted("add server b/r", "'ca-file' : unable to load /d/ca.crt.\n\n"));
  EXPECT_FALSE(
      IsAccepted("del server b/r", "Server still has connections attached to it, cannot remove it.\n\n"));
  EXPECT_TRUE(IsAccepted("set server b/r weight 2", "\n"));
  EXPECT_FALSE(IsAccepted("set server b/r weight 2", "No such server.\n\n"));
}

}  // namespace
}  // namespace hs
