// What becomes of a box's HAProxy: taken over, ended, killed, stuck, refused, not there.
#include <fmt/format.h>

#include "runtime/haproxy/door_fixture_test.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

TEST_F(DoorWorld, ANewAgentTakesHaproxyOverAsItRuns) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  const DoorServer two = StartReplica("r2", 1, 20002);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  const pid_t worker = WorkerOf(box);
  const DoorPorts ports = box.ports;
  OnLoop([&] { box.door.reset(); });
  EXPECT_EQ(Ask(box.config.door, "/").status, 200);
  OpenDoor(box);
  EXPECT_EQ(box.ports, ports);
  Apply(box, Web({two}, {two}));
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").text.find("r2 xff") != std::string::npos; }));
  EXPECT_EQ(WorkerOf(box), worker);
}

TEST_F(DoorWorld, ANodeThatLeavesTakesItsHaproxyAlong) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  std::promise<void> ended;
  OnLoop([&] { box.door->Shutdown([&] { ended.set_value(); }); });
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(8)), std::future_status::ready);
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 0; }))
      << "its worker ends a moment later";
}

TEST_F(DoorWorld, HaproxyIsStartedAgainWhenItDies) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200 && StatusOf(box).empty(); }))
      << StatusOf(box);
  const pid_t master = MasterOf(box);
  kill(master, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200 && MasterOf(box) != master; }))
      << StatusOf(box);
}

TEST_F(DoorWorld, ARefusedConfigurationAndAPortInUseLeaveTheOldOneServing) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200; })) << StatusOf(box);
  Apply(box, Web({one}, {one}, {{20001, true}}));  // the replica itself has this port
  EXPECT_TRUE(Eventually([&] {
    return StatusOf(box).find("service web cannot listen on") != std::string::npos;
  })) << StatusOf(box);
  EXPECT_NE(StatusOf(box).find(" (pid "), std::string::npos) << "who has it is named: " << StatusOf(box);
  EXPECT_EQ(Ask(box.config.door, "/").status, 200);

  std::filesystem::rename(folder_ + "/node.pem", folder_ + "/away.pem");
  DoorTable table = Web({one}, {one});
  table.services.push_back({.name = "zoo"});
  const pid_t worker = WorkerOf(box);
  Apply(box, table);
  EXPECT_TRUE(Eventually([&] {
    return StatusOf(box).find("HAProxy refuses the new configuration") != std::string::npos;
  })) << StatusOf(box);
  EXPECT_EQ(Ask(box.config.door, "/").status, 200);
  EXPECT_EQ(WorkerOf(box), worker);
  std::filesystem::rename(folder_ + "/away.pem", folder_ + "/node.pem");
  EXPECT_TRUE(Eventually([&] { return StatusOf(box).empty(); })) << StatusOf(box);
}

TEST_F(DoorWorld, AStuckWorkerIsSaidAndReplacedThoughNothingChanges) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] { return Ask(box.config.door, "/").status == 200 && StatusOf(box).empty(); }))
      << StatusOf(box);
  const pid_t worker = WorkerOf(box);
  Stop(worker);
  EXPECT_TRUE(Eventually([&] { return StatusOf(box).find("does not answer") != std::string::npos; }, 12s));
  EXPECT_TRUE(
      Eventually([&] { return StatusOf(box).empty() && Ask(box.config.door, "/").status == 200; }, 30s))
      << StatusOf(box);
  EXPECT_NE(WorkerOf(box), worker);
}

TEST_F(DoorWorld, OnlyAHaproxyWithItsConfigurationCountsAsRunningIt) {
  DoorConfig config;
  config.dir = folder_;
  const struct {
    const char* what;
    std::vector<std::string> argv;
    bool runs;
  } rows[] = {
      {"as it is started", {"/usr/sbin/haproxy", "-W", "-f", ConfigPath(config), "-sf", "1"}, true},
      {"somebody reads the file", {"less", ConfigPath(config)}, false},
      {"an option that is called the same", {"vim", "-f", ConfigPath(config)}, false},
      {"the file is not its configuration", {"haproxy", "-L", ConfigPath(config)}, false},
      {"another configuration", {"haproxy", "-f", ConfigPath(config) + ".new"}, false},
  };
  for (const auto& row : rows) {
    // It stands still, whatever it is called.
    std::vector<std::string> words = {"bash", "-c", "exec -a \"$0\" sh -c 'kill -STOP $$' \"$@\""};
    words.insert(words.end(), row.argv.begin(), row.argv.end());
    const pid_t pid = SpawnProgram(words);
    ASSERT_GT(pid, 0);
    EXPECT_TRUE(Eventually([&] {
      return ReadText(fmt::format("/proc/{}/cmdline", pid)).starts_with(row.argv[0] + '\0');
    })) << row.what;
    EXPECT_EQ(ProcessesOf(config), row.runs ? std::vector<pid_t>{pid} : std::vector<pid_t>{}) << row.what;
    std::ofstream(PidPath(config)) << pid;
    EXPECT_EQ(RunningMaster(config), row.runs ? pid : 0) << row.what;
    End(pid);
  }
}

TEST_F(DoorWorld, AHaproxyWithoutItsFilesIsReplaced) {
  Box& box = MakeBox(1);
  const DoorServer one = StartReplica("r1", 1, 20001);
  Apply(box, Web({one}, {one}));
  ASSERT_TRUE(Eventually([&] {
    return Ask(box.config.door, "/").status == 200 && MasterOf(box) > 0 && StatusOf(box).empty();
  })) << StatusOf(box);
  const pid_t master = MasterOf(box);
  for (const std::string& path : {PidPath(box.config), MasterSocketPath(box.config), ConfigPath(box.config)})
    std::filesystem::remove(path);
  DoorTable table = Web({one}, {one});
  table.services.push_back({.name = "zoo"});
  Apply(box, table);
  // It may only be starting: that long it is waited for.
  EXPECT_TRUE(Eventually([&] { return MasterOf(box) > 0 && MasterOf(box) != master; }, 25s)) << StatusOf(box);
  EXPECT_TRUE(Eventually([&] { return StatusOf(box).empty() && Ask(box.config.door, "/").status == 200; }))
      << StatusOf(box);
}

TEST_F(DoorWorld, ATakenDoorIsSaidBeforeAnythingIsServed) {
  Box& box = MakeBox(1);
  const ListenSockets holder = Listen(box.config.door).value();
  Apply(box, {});
  EXPECT_TRUE(Eventually([&] {
    return StatusOf(box).find("the door cannot listen on " + box.config.door.ToString()) == 0;
  })) << StatusOf(box);
  EXPECT_NE(StatusOf(box).find(" (pid "), std::string::npos) << StatusOf(box);
  ::close(holder.tcp);
  ::close(holder.udp);
  EXPECT_TRUE(Eventually([&] { return StatusOf(box).empty(); })) << StatusOf(box);
}

TEST_F(DoorWorld, AMissingHaproxyIsSaidWithWhatToDo) {
  Box& box = MakeBox(1);
  OnLoop([&] { box.door.reset(); });
  box.config.binary = "/nonexistent/haproxy";
  OpenDoor(box);
  Apply(box, Web({}, {}));
  EXPECT_TRUE(Eventually([&] {
    return StatusOf(box) == "haproxy is not installed: apt-get install haproxy";
  })) << StatusOf(box);
}

}  // namespace
}  // namespace hs
