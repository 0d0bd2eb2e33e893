// Against a real HAProxy.
#include "runtime/haproxy/telemetry.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "runtime/haproxy/door_fixture_test.h"

namespace hs {
namespace {

using Loads = std::optional<std::vector<ServiceLoad>>;

class TelemetryWorld : public DoorWorld {
 protected:
  static Time Now() {
    return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
  }

  void Listen(const Box& box) {
    OnLoop([&] {
      telemetry_.reset();
      telemetry_ = std::make_unique<DoorTelemetry>(io_, box.config, Now);
      ASSERT_TRUE(telemetry_->Open());
    });
  }
  void TearDown() override {
    OnLoop([&] { telemetry_.reset(); });
    DoorWorld::TearDown();
  }

  Loads Measure() {
    std::promise<Loads> told;
    boost::asio::post(io_, [&] { telemetry_->Measure([&](Loads loads) { told.set_value(loads); }); });
    return told.get_future().get();
  }
  // What came to the service "web" since the letter box was opened, once it is `count` in all.
  DoorTotals Until(std::uint64_t count) {
    DoorTotals web;
    EXPECT_TRUE(Eventually([&] {
      if (!Measure()) return false;
      OnLoop([&] {
        const auto& totals = telemetry_->traffic().totals();
        if (totals.contains("web")) web = totals.find("web")->second;
      });
      return web.arrived >= count;
    })) << web.arrived
        << " of " << count;
    EXPECT_EQ(web.arrived, count);
    return web;
  }
  static double Ended(const DoorTotals& totals, RequestEnd how) {
    return totals.ended[static_cast<std::size_t>(how)];
  }
  static double Timed(const DoorTotals& totals) {
    return std::accumulate(totals.latency.begin(), totals.latency.end(), 0.0);
  }
  void Serve(Box& box, const std::vector<std::string>& services, const DoorServer& replica) {
    DoorTable table;
    for (const std::string& name : services) {
      DoorService service{.name = name};
      if (name == "web") service.http = HttpRoute{};
      service.servers = service.local = {replica};
      table.services.push_back(std::move(service));
    }
    Apply(box, table);
    ASSERT_TRUE(Eventually([&] {
      return Ask(box.config.door, "/", services.back() + ".internal").status == 200;
    })) << StatusOf(box);
    // HAProxy tells of a request after it answered it: one of these is not to count as one that comes later.
    std::this_thread::sleep_for(200ms);
  }
  // From here on everything is counted.
  void Base() {
    EXPECT_TRUE(Eventually([&] { return Measure().has_value(); }));
  }

  std::unique_ptr<DoorTelemetry> telemetry_;
};

TEST_F(TelemetryWorld, CountsWhatTheDoorServesOverReloadsAndNewAgents) {
  Box& box = MakeBox(1);
  Serve(box, {"web"}, StartReplica("r1", 1, 20001));
  Listen(box);
  EXPECT_FALSE(Measure()) << "the first has nothing to compare with";
  Base();
  EXPECT_FALSE(telemetry_->traffic().totals().contains("web") &&
               telemetry_->traffic().totals().find("web")->second.arrived > 0)
      << "what was before is not ours";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(box.config.door, "/").status, 200);
  const DoorTotals first = Until(20);
  EXPECT_DOUBLE_EQ(Ended(first, RequestEnd::kAnswered), 20);
  EXPECT_DOUBLE_EQ(Timed(first), 20) << "every one was timed";

  // A new service: HAProxy starts a new process, while the old one still answers a request.
  std::thread slow([&] { EXPECT_EQ(Ask(box.config.door, "/slow").status, 200); });
  EXPECT_TRUE(Eventually([&] {
    const Loads loads = Measure();
    return loads && !loads->empty() && loads->front().in_flight > 0;
  }));
  const pid_t before = WorkerOf(box);
  Serve(box, {"web", "zoo"}, {.name = "r1", .address = {Ip(1), 20001}});
  EXPECT_NE(WorkerOf(box), before);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask(box.config.door, "/").status, 200);
  slow.join();
  DoorTotals all;
  EXPECT_TRUE(Eventually([&] { return Ended(all = Until(26), RequestEnd::kAnswered) == 26; }));
  EXPECT_GT(all.latency_seconds, 1.0) << "a request over the turn of a second is timed to its end";

  // A new agent at the same place; HAProxy goes on sending to its letter box.
  Listen(box);
  Base();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(box.config.door, "/").status, 200);
  EXPECT_DOUBLE_EQ(Timed(Until(20)), 20);
}

TEST_F(TelemetryWorld, ADoorThatHangsIsSilentAndOneThatIsGoneIsIdle) {
  Box& box = MakeBox(1);
  Listen(box);
  Serve(box, {"web"}, StartReplica("r1", 1, 20001));
  Base();
  const pid_t worker = WorkerOf(box);
  Stop(worker);
  EXPECT_FALSE(Measure());
  kill(worker, SIGCONT);
  EXPECT_TRUE(Eventually([&] { return Measure().has_value(); }));
  OnLoop([&] { box.door.reset(); });  // else it would be started again
  kill(MasterOf(box), SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    const Loads loads = Measure();
    return loads && loads->empty();
  }));
}

TEST_F(TelemetryWorld, ADoorWithoutReplicasTellsOfErrors) {
  Box& box = MakeBox(1);
  Serve(box, {"web"}, StartReplica("r1", 1, 20001));
  Listen(box);
  Base();
  KillReplica("r1");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(box.config.door, "/").status, 503);
  const DoorTotals totals = Until(3);
  EXPECT_DOUBLE_EQ(Ended(totals, RequestEnd::kAnswered), 0);
  EXPECT_DOUBLE_EQ(Ended(totals, RequestEnd::kBroken) + Ended(totals, RequestEnd::kRefused), 3);
}

}  // namespace
}  // namespace hs
