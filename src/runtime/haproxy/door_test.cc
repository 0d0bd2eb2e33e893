#include "runtime/haproxy/door.h"

#include <gmock/gmock.h>

#include "runtime/haproxy/door_fixture_test.h"
#include "runtime/haproxy/limiter.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

TEST_F(DoorWorld, ARequestTakesTwoHopsOverMutualTlsAndKeepsTheClientsAddress) {
  Box& near = MakeBox(1);
  Box& far = MakeBox(2);
  const DoorServer replica = StartReplica("far-1", 2, 20001);
  Apply(far, Web({replica}, {replica}, {{9000, false}, {9001, true}}));
  Apply(near, Web({Inbound(far, "n2")}, {}, {{9000, false}, {9001, true}}));
  EXPECT_TRUE(Eventually([&] { return Ask(near.config.door, "/x").status == 200; }))
      << StatusOf(near) << StatusOf(far);
  EXPECT_THAT(Ask(near.config.door, "/x").text, HasSubstr("far-1 xff=['127.0.0.1']"));
  EXPECT_THAT(Ask({Ip(1), 9000}, "/x").text, HasSubstr("far-1 xff=None"));  // bytes as they are
  EXPECT_THAT(Ask({Ip(1), 9001}, "/x").text, HasSubstr("far-1 xff=['127.0.0.1']"));
  EXPECT_EQ(Ask(near.config.door, "/x", "web.internal").status, 200);
}

TEST_F(DoorWorld, AStrangerWithoutACertificateIsRefusedAtTheInboundListener) {
  Box& box = MakeBox(1);
  const DoorServer replica = StartReplica("r1", 1, 20001);
  Apply(box, Web({replica}, {replica}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  const auto speak = [&](const std::string& words) {
    const std::string at = Ip(1).ToString() + ":" + std::to_string(box.ports.http);
    const std::string out = folder_ + "/out";
    const std::string command =
        "cd " + folder_ +
        " && printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -alpn web " + words +
        " -connect " + at + " > " + out + " 2>/dev/null";
    (void)!std::system(command.c_str());
    std::ifstream file(out);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_THAT(speak("-cert node.pem"), HasSubstr("r1 xff"));
  EXPECT_EQ(speak(""), "");
  ASSERT_EQ(
      std::system(("cd " + folder_ +
                   " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout s.key "
                   "-out s.crt -subj /CN=ca 2>/dev/null && cat s.crt s.key > stranger.pem")
                      .c_str()),
      0);
  EXPECT_EQ(speak("-cert stranger.pem"), "");
}

TEST_F(DoorWorld, ServersComeAndGoWithoutAReload) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  const DoorServer two = StartReplica("r2", 1, 20002);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  const pid_t worker = WorkerOf(box);
  ASSERT_GT(worker, 0);
  Apply(box, Web({two}, {two}));
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").text.find("r2 xff") != std::string::npos; }));
  Apply(box, Web({}, {}));
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 503; }));
  EXPECT_THAT(Ask(box.config.door, "/").text,
              HasSubstr("etry-"));  // HAProxy writes header names in lower case
  Apply(box, Web({one, two}, {one, two}));
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; }));
  EXPECT_EQ(WorkerOf(box), worker);
  EXPECT_TRUE(Eventually([&] { return StatusOf(box).empty(); })) << StatusOf(box);
}

TEST_F(DoorWorld, ADrainedServerFinishesItsRequestAndADownOneIsCut) {
  Box& box = MakeBox(1);
  DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  auto running = std::async(std::launch::async, [&] { return Ask(box.config.door, "/slow"); });
  usleep(200'000);
  one.state = ServerState::kDrain;
  Apply(box, Web({one}, {one}));
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 503; }));
  EXPECT_EQ(running.get().status, 200);

  one.state = ServerState::kReady;
  Apply(box, Web({one}, {one}));
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; }));
  const auto start = std::chrono::steady_clock::now();
  auto hanging = std::async(std::launch::async, [&] { return Ask(box.config.door, "/hang"); });
  usleep(200'000);
  one.state = ServerState::kDown;
  Apply(box, Web({one}, {one}));
  EXPECT_NE(hanging.get().status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(DoorWorld, ADrainedReplicaIsToldAsIdleASecondAfterItsLastRequest) {
  Box& box = MakeBox(1);
  DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  using Clock = std::chrono::steady_clock;
  Clock::time_point answered;
  std::thread slow([&] {
    EXPECT_EQ(Ask(box.config.door, "/slow").status, 200);
    answered = Clock::now();
  });
  usleep(200'000);
  const DoorServer two = StartReplica("r2", 1, 20002);
  one.state = ServerState::kDrain;
  Apply(box, Web({one, two}, {one, two}));
  EXPECT_TRUE(Eventually([&] { return IdleAt(box) == "r1"; }));
  const auto told = Clock::now();
  slow.join();
  EXPECT_GT(told - answered, std::chrono::milliseconds(900));
  EXPECT_LT(told - answered, std::chrono::milliseconds(2500));
}

TEST_F(DoorWorld, WhatHangsOnABoxThatFellSilentIsAnsweredByAnotherWhenThatIsSafe) {
  Box& near = MakeBox(1);
  Box& far = MakeBox(2);
  const DoorServer silent = StartReplica("r2", 2, 20002);
  const DoorServer well = StartReplica("r1", 1, 20001);
  Apply(far, Web({silent}, {silent}));
  DoorServer inbound = Inbound(far, "n2");
  Apply(near, Web({inbound}, {}));
  ASSERT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 200; })) << StatusOf(near);
  Stop(replicas_["r2"]);  // takes connections and never answers
  auto get = std::async(std::launch::async, [&] { return Ask(near.config.door, "/a"); });
  auto post = std::async(std::launch::async, [&] { return Ask(near.config.door, "/b", "any", "POST"); });
  usleep(300'000);
  inbound.state = ServerState::kDown;
  const auto cut_at = std::chrono::steady_clock::now();
  Apply(near, Web({well, inbound}, {well}));
  const Answer repeated = get.get();
  EXPECT_EQ(repeated.status, 200) << repeated.text;
  EXPECT_THAT(repeated.text, HasSubstr("r1 xff"));
  const Answer cut = post.get();
  EXPECT_NE(cut.status, 200) << "it may have been done: never twice";
  EXPECT_LT(std::chrono::steady_clock::now() - cut_at, std::chrono::seconds(3));
  kill(replicas_["r2"], SIGCONT);
  inbound.state = ServerState::kReady;
  Apply(near, Web({inbound}, {}));
  EXPECT_TRUE(Eventually([&] { return Ask(near.config.door, "/").text.find("r2 xff") != std::string::npos; }))
      << "back in service";
}

TEST_F(DoorWorld, ARemovedNodeIsTurnedAwayAtTheInboundListenerWithoutAReload) {
  Box& near = MakeBox(1);
  Box& far = MakeBox(2);
  const DoorServer replica = StartReplica("far-1", 2, 20001);
  const std::vector<PublishedPort> ports = {{9000, false}};
  DoorTable at_far = Web({replica}, {replica}, ports);
  Apply(far, at_far);
  Apply(near, Web({Inbound(far, "n2")}, {}, ports));
  ASSERT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 200; })) << StatusOf(near);
  ASSERT_TRUE(Eventually([&] { return Ask({Ip(1), 9000}, "/").status == 200; }));
  const pid_t worker = WorkerOf(far);
  // The certificate of both boxes has this name.
  at_far.refused = {kCertifiedNode};
  Apply(far, at_far);
  EXPECT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 403; }));
  EXPECT_TRUE(Eventually([&] { return Ask({Ip(1), 9000}, "/").status == 0; }));
  OnLoop([&] { far.door.reset(); });  // a new agent finds it so
  OpenDoor(far);
  Apply(far, at_far);
  EXPECT_TRUE(Eventually([&] { return StatusOf(far).empty(); })) << StatusOf(far);
  EXPECT_EQ(Ask(near.config.door, "/").status, 403);
  at_far.refused = {};
  Apply(far, at_far);
  EXPECT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 200; }));
  EXPECT_EQ(WorkerOf(far), worker);
}

TEST_F(DoorWorld, RoutesPreferTheHostThenTheLongestPrefixAndMoveWithoutAReload) {
  Box& box = MakeBox(1);
  const DoorServer a = StartReplica("a1", 1, 20001);
  const DoorServer b = StartReplica("b1", 1, 20002);
  DoorTable table{{{.name = "a", .http = HttpRoute{"", "/"}, .local = {a}},
                   {.name = "b", .http = HttpRoute{"", "/api"}, .local = {b}}}};
  Apply(box, table);
  const auto who = [&](const std::string& path, const std::string& host) {
    const Answer answer = Ask(box.config.door, path, host);
    return answer.status == 200 ? answer.text.substr(answer.text.find("\r\n\r\n") + 4, 2)
                                : std::to_string(answer.status);
  };
  ASSERT_TRUE(Eventually([&] { return who("/", "any") == "a1"; })) << StatusOf(box);
  EXPECT_EQ(who("/api", "any"), "b1");
  EXPECT_EQ(who("/api/x?y=1", "any:8080"), "b1");
  EXPECT_EQ(who("/apis", "any"), "a1");
  EXPECT_EQ(who("/", "B.internal"), "b1");
  EXPECT_EQ(who("/", "unknown.internal"), "404");  // one service's requests never reach another
  const pid_t worker = WorkerOf(box);
  table.services[0].http = HttpRoute{"shop.example", "/"};
  Apply(box, table);
  EXPECT_TRUE(Eventually([&] { return who("/", "any") == "404"; }));
  EXPECT_EQ(who("/api", "shop.example"), "a1");
  EXPECT_EQ(WorkerOf(box), worker);
}

TEST_F(DoorWorld, AReloadKeepsRunningRequestsAndServers) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  DoorTable table = Web({one}, {one});
  Apply(box, table);
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  auto running = std::async(std::launch::async, [&] { return Ask(box.config.door, "/slow"); });
  usleep(100'000);
  const pid_t worker = WorkerOf(box);
  table.services.push_back({.name = "zoo", .local = {one}});
  Apply(box, table);
  int failed = 0;
  EXPECT_TRUE(Eventually([&] {
    failed += Ask(box.config.door, "/").status != 200;
    return Ask(box.config.door, "/", "zoo.internal").status == 200;
  }));
  EXPECT_EQ(failed, 0);
  EXPECT_NE(WorkerOf(box), worker);
  EXPECT_EQ(running.get().status, 200);
}

TEST_F(DoorWorld, NoGetFailsWhenAReplicaIsKilledUnderLoad) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  const DoorServer two = StartReplica("r2", 1, 20002);
  Apply(box, Web({one, two}, {one, two}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  std::atomic<int> failed = 0, done = 0;
  std::atomic<bool> stop = false;
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      for (; !stop; ++done) failed += Ask(box.config.door, "/").status != 200;
    });
  }
  Eventually([&] { return done > 50; });
  KillReplica("r1");
  const int killed_at = done;
  Eventually([&] { return done > killed_at + 100; });
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_GT(done, killed_at + 100);
  EXPECT_EQ(failed, 0) << "of " << done;
}

TEST_F(DoorWorld, ANodeWhoseReplicasDiedSendsIdempotentRequestsElsewhere) {
  Box& near = MakeBox(1);
  Box& empty = MakeBox(2);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(empty, Web({}, {}));
  Apply(near, Web({one, Inbound(empty, "n2")}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 200; })) << StatusOf(near);
  ASSERT_TRUE(Eventually([&] { return StatusOf(empty).empty(); })) << StatusOf(empty);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Ask(near.config.door, "/").status, 200);
  Apply(near, Web({Inbound(empty, "n2")}, {}));
  EXPECT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 503; }));
}

TEST_F(DoorWorld, ClientsShareTheConnectionsToOtherNodes) {
  Box& near = MakeBox(1);
  Box& far = MakeBox(2);
  const DoorServer replica = StartReplica("far-1", 2, 20001);
  Apply(far, Web({replica}, {replica}));
  Apply(near, Web({}, {}));
  ASSERT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 503; })) << StatusOf(near);
  Apply(near, Web({Inbound(far, "n2")}, {}));  // added at run time, which inherits no defaults
  ASSERT_TRUE(Eventually([&] { return Ask(near.config.door, "/").status == 200; }))
      << StatusOf(near) << StatusOf(far);
  const std::uint64_t before = ConnectionsOf(far);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Ask(near.config.door, "/").status, 200);
  EXPECT_LT(ConnectionsOf(far) - before, 10u);  // each request here comes from a client of its own
}

TEST_F(DoorWorld, AReplicasLimitHoldsForAllDoorsAndWhoFindsNoRoomIsRefusedAtOnce) {
  Box& box = MakeBox(1);
  Box& other = MakeBox(2);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  Apply(other, Web({Inbound(box, "n1")}, {}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  ASSERT_TRUE(Eventually([&] { return Ask(other.config.door, "/").status == 200; })) << StatusOf(other);
  // 16 each, at both doors, of a second each: the limit is 16 for both together.
  std::vector<std::future<Answer>> asked;
  for (int i = 0; i < 32; ++i) {
    const Endpoint door = i % 2 ? box.config.door : other.config.door;
    asked.push_back(std::async(std::launch::async, [door] { return Ask(door, "/slow"); }));
  }
  int served = 0, refused = 0;
  for (auto& answer : asked) {
    const Answer got = answer.get();
    served += got.status == 200;
    refused += got.status == 503;
    if (got.status == 503) {
      EXPECT_THAT(got.text, HasSubstr("retry-after: 1"));
    }
  }
  EXPECT_GE(served, 16);
  EXPECT_LE(served, 24) << "the limit grows by less than half in that time";
  EXPECT_EQ(served + refused, 32);
  // Refusals are counted for each service where clients meet them.
  int counted = 0;
  for (const Box* door : {&box, &other}) {
    const std::string table = AskWorker(*door, "show table budget");
    ASSERT_THAT(table, HasSubstr(" gpc1="));
    counted += std::atoi(table.c_str() + table.find(" gpc1=") + 6);
  }
  EXPECT_EQ(counted, refused);
}

TEST_F(DoorWorld, ARoomThatIsFullRefusesTheLessUrgentFirst) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  OnLoop([&] { box.door.reset(); });  // no agent: the numbers stay as they are set here
  const auto tell =
      [&](const std::string& command) {  // a master that has just started forgets who was asking
        return Eventually([&] { return AskWorker(box, command) == "\n"; });
      };
  ASSERT_TRUE(tell("set maxconn server in_web/r1 1"));
  ASSERT_TRUE(tell("set map " + RoomsPath(box.config) + " web 2"));
  const auto ask = [&](const std::string& urgency) {
    return std::async(std::launch::async, [&, urgency] {
      return Ask(box.config.door, "/slow", "any", "GET",
                 urgency.empty() ? "" : "Priority: " + urgency + "\r\n")
          .status;
    });
  };
  const auto count = [&](const std::string& server) {
    const auto counts = ParseCounts(AskWorker(box, "show stat in_web 6 -1"));
    for (const ServerCount& each : *counts) {
      if (each.server == server) return server == "BACKEND" ? each.queued : each.inside;
    }
    return 0U;
  };
  auto inside = ask("");
  EXPECT_TRUE(Eventually([&] { return count("r1") == 1; }));
  auto waits = ask("");
  EXPECT_TRUE(Eventually([&] { return count("BACKEND") == 1; }));
  EXPECT_EQ(Ask(box.config.door, "/", "any", "GET", "Priority: u=7\r\n").status, 503)
      << "half full is full for it";
  EXPECT_EQ(inside.get(), 200);
  EXPECT_EQ(waits.get(), 503) << "nobody waits longer than the deadline";
}

TEST_F(DoorWorld, UrgencyIsPassedOnFromBoxesAndCutFromOutside) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  const auto told = [&](const std::string& urgency) {
    const std::string text = Ask(box.config.door, "/", "any", "GET", urgency).text;
    return text.find("priority=") == std::string::npos ? text : text.substr(text.find("priority="));
  };
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  EXPECT_EQ(told("Priority: u=0, i\r\n"), "priority=['u=0, i'] service=None") << "loopback is this box";
  EXPECT_EQ(told(""), "priority=None service=None");
  // Loopback is all a test has: what the rule does to others is seen in the configuration.
  const std::string config = RenderConfig(Web({one}, {one}), box.config, box.ports);
  EXPECT_THAT(config, HasSubstr("acl inside src,map_ip(" + BoxesPath(box.config) + ") -m found"));
}

TEST_F(DoorWorld, ABoxWithoutADoorServesOthersDoorsAndDoesNotMissTheMapsOfOne) {
  Box& door = MakeBox(1);
  Box& box = MakeBox(2);
  box.config.door = {};
  OpenDoor(box);
  const DoorServer one = StartReplica("r1", 2, 20001);
  Apply(box, Web(std::vector<DoorServer>{}, {one}));
  Apply(door, Web({Inbound(box, "n2")}, {}));
  ASSERT_TRUE(Eventually([&] { return Ask(door.config.door, "/").status == 200; })) << StatusOf(box);
  ASSERT_TRUE(Eventually([&] { return StatusOf(box).empty(); })) << StatusOf(box);
  DoorTable moved = Web(std::vector<DoorServer>{}, {one});
  moved.services[0].http = HttpRoute{"shop.example", "/"};
  moved.services[0].servers = {Inbound(door, "n1")};  // a box with replicas: the map of boxes would change
  Apply(box, moved);
  EXPECT_FALSE(Eventually([&] { return StatusOf(box) != ""; }, 1s)) << StatusOf(box);
}

TEST_F(DoorWorld, ConnectionsOfPlainTcpLeaveRoomForHttp) {
  boxes_[1].config.connections_max = 40;
  Box& box = MakeBox(1);
  const DoorServer replica = StartReplica("r1", 1, 20001);
  Apply(box, Web({replica}, {replica}, {{9000, false}}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  // More than HAProxy holds in all, and nobody says a word.
  std::vector<int> idle;
  for (int i = 0; i < 60; ++i) idle.push_back(Connect({Ip(1), 9000}));
  EXPECT_EQ(std::ranges::count(idle, -1), 0) << "who finds no room waits";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask(box.config.door, "/").status, 200);
  for (const int fd : idle) close(fd);
  EXPECT_EQ(Ask({Ip(1), 9000}, "/").status, 200) << "and those who wait are taken when others go";
}

}  // namespace
}  // namespace hs
