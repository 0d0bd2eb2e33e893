#include "runtime/haproxy/stats.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// As HAProxy 2.6.12 answered `show stat -1 2 -1`: four requests, of which two ended with 5xx.
constexpr std::string_view kRecorded =
    R"(# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,
b_web,BACKEND,0,0,1,1,999,5,309,296,0,0,,0,0,6,0,UP,1,1,0,,0,1,0,,1,4,0,,4,,1,4,,4,,,,0,2,0,0,2,0,,,,4,0,0,0,0,0,0,0,,,0,0,0,0,
t_db,BACKEND,0,0,3,3,999,7,0,0,0,0,,2,0,6,0,UP,1,1,0,,0,1,0,,1,5,0,,0,,1,0,,0,,,,,,,,,,,,,,0,0,0,0,0,0,-1,,,0,0,0,0,

)";

WorkerStats Worker(pid_t pid, std::vector<BackendStats> backends) { return {pid, std::move(backends)}; }

// A door over time: counts as HAProxy would have them, lines as they come.
struct Door {
  DoorTraffic traffic;
  Time now{1000s};
  BackendStats web{.name = "b_web"};
  pid_t pid = 10;

  Door() { EXPECT_FALSE(traffic.Take(now, {Worker(pid, {web})})) << "a base line, not a load"; }

  void Answers(int count, int ms, std::string_view rest = "200 {} -- -") {
    for (int i = 0; i < count; ++i)
      traffic.Add(now, fmt::format(fmt::runtime("b_web " + std::string(rest)), ms * 1000));
    web.arrived += static_cast<std::uint64_t>(count);
    web.ended += static_cast<std::uint64_t>(count);
  }
  ServiceLoad Second(std::vector<WorkerStats> others = {}) {
    now += 1s;
    others.push_back(Worker(pid, {web}));
    const auto loads = traffic.Take(now, others);
    EXPECT_TRUE(loads);
    return loads->empty() ? ServiceLoad{} : loads->front();
  }
};

TEST(HaproxyStats, ColumnsAreFoundByTheirNames) {
  const auto backends = ParseStats(kRecorded);
  ASSERT_TRUE(backends) << backends.error().message;
  ASSERT_THAT(*backends, SizeIs(2));
  EXPECT_EQ(backends->at(0),
            (BackendStats{.name = "b_web", .in_flight = 1, .arrived = 5, .ended = 4, .server_errors = 2}));
  EXPECT_EQ(backends->at(1),
            (BackendStats{.name = "t_db", .in_flight = 3, .arrived = 7, .connect_failures = 2}));
  const auto other = ParseStats(
      "# "
      "pxname,new,svname,eresp,econ,hrsp_5xx,req_tot,stot,scur,qcur,\nb_x,?,FRONTEND,,,,,,,,\nb_x,?,BACKEND,"
      "1,2,3,4,5,6,7,\n\n");
  ASSERT_TRUE(other);
  EXPECT_THAT(*other, ElementsAre(BackendStats{"b_x", 7, 6, 5, 4, 3, 2, 1}));
}

TEST(HaproxyStats, HalfAnAnswerIsNone) {
  for (std::size_t size = 0; size < kRecorded.size(); ++size)
    EXPECT_FALSE(ParseStats(kRecorded.substr(0, size))) << size;
  for (const char* garbage :
       {"", "\n\n", "Unknown command\n\n", "# pxname,svname,\nb_web,BACKEND,\n\n", "b_web,BACKEND,1,2\n\n",
        "# pxname,svname,qcur,scur,stot,req_tot,hrsp_5xx,econ,eresp\nb_web,BACKEND,x,,,,,,\n\n",
        "# pxname,svname,qcur,scur,stot,req_tot,hrsp_5xx,econ,eresp\nb_web,BACKEND,-1,,,,,,\n\n"})
    EXPECT_FALSE(ParseStats(garbage)) << garbage;
}

TEST(RequestLine, SaysHowARequestEnded) {
  const struct {
    const char* rest;
    RequestEnd end;
    const char* why;
  } kRows[] = {
      {"200 1500 -- -", RequestEnd::kAnswered, "an answer"},
      {"404 1500 -- -", RequestEnd::kAnswered, "so is that"},
      {"500 1500 -- -", RequestEnd::kFailed, "the replica failed"},
      {"503 1500 -- -", RequestEnd::kFailed, "the replica's own word"},
      {"503 1500 -- 1", RequestEnd::kRefused, "an inbound listener refused"},
      {"503 1500 sQ -", RequestEnd::kRefused, "waited in the queue for too long"},
      {"503 1500 PR -", RequestEnd::kRefused, "a rule of ours"},
      {"503 1500 LR -", RequestEnd::kRefused, "a rule of ours"},
      {"503 1500 SC -", RequestEnd::kBroken, "no replica was reached"},
      {"502 1500 SH -", RequestEnd::kBroken, "the connection broke"},
      {"504 1500 sH -", RequestEnd::kBroken, "it took too long"},
      {"200 1500 SD -", RequestEnd::kBroken, "cut in the middle"},
      {"-1 1500 CR -", RequestEnd::kLeft, "the client went"},
      {"-1 1500 CH -", RequestEnd::kLeft, "the client went while a replica worked"},
      {"200 1500 CD -", RequestEnd::kAnswered, "the client went while it was answered"},
  };
  for (const auto& row : kRows) {
    const std::string line = std::string("b_web ") + row.rest + "\n";
    const auto request = ParseRequestLine(line);
    ASSERT_TRUE(request) << row.rest;
    EXPECT_EQ(request->end, row.end) << row.rest << ": " << row.why;
    EXPECT_EQ(request->backend, "b_web");
    EXPECT_DOUBLE_EQ(request->seconds, 0.0015);
  }
  EXPECT_EQ(ParseRequestLine("b_web 200 -30 -- -")->seconds, 0) << "the clock was set back";
}

TEST(RequestLine, GarbageIsCountedAndChangesNothing) {
  Door door;
  for (const char* garbage :
       {"", "\n", "b_web", "b_web 200 5 --", "b_web 200 5 -- - more", "b_web x 5 -- -", "b_web 200 5us -- -",
        "b_web 99999 5 -- -", "b_web 200 5 - -", " 200 5 -- -", "b_web 200 99999999999999999999 -- -"})
    door.traffic.Add(door.now, garbage);
  door.traffic.Add(door.now, std::string_view("b_web\0x 200 5 -- -", 18));
  EXPECT_EQ(door.traffic.lines_refused(), 12u);
  door.traffic.Add(door.now, "door 404 50 LR -");  // no backend
  EXPECT_EQ(door.Second().arrivals_s, 0);
}

TEST(DoorTraffic, CountsComeFromStatisticsAndTimesFromLines) {
  Door door;
  door.now += 900ms;
  door.Answers(98, 10);
  door.Answers(2, 200);
  door.web.arrived += 3;  // still under way
  door.web.in_flight = 3;
  door.now -= 900ms;
  const ServiceLoad load = door.Second();
  EXPECT_FLOAT_EQ(load.arrivals_s, 103);
  EXPECT_FLOAT_EQ(load.completions_s, 100);
  EXPECT_FLOAT_EQ(load.refused_s, 0);
  EXPECT_NEAR(LatencyQuantile(load.latency, 0.5), 0.010, 0.001);
  EXPECT_NEAR(LatencyQuantile(load.latency, 0.99), 0.200, 0.02);
  // 98 x 10 ms and 2 x 200 ms in a second, and three more, whom one finds rather among the slow ones.
  EXPECT_NEAR(load.in_flight, 1.38 + 3 * 0.0325, 0.005);
}

TEST(DoorTraffic, ASampleStandsForTheWhole) {
  Door door;
  door.now += 500ms;
  door.Answers(60, 10);
  door.Answers(40, 1, "503 {} -- 1");
  door.web.ended += 900;  // whose lines were not sent
  door.web.arrived += 900;
  door.now -= 500ms;
  const ServiceLoad load = door.Second();
  EXPECT_FLOAT_EQ(load.arrivals_s, 1000);
  EXPECT_FLOAT_EQ(load.completions_s, 600);
  EXPECT_FLOAT_EQ(load.refused_s, 400);
  ASSERT_THAT(load.latency, SizeIs(1));
  EXPECT_EQ(load.latency[0].second, 600u) << "without the refused";
  EXPECT_NEAR(load.in_flight, 6.4, 0.01);
}

TEST(DoorTraffic, WithoutLinesTheStatusIsWhatIsKnown) {
  Door door;
  door.web.arrived = door.web.ended = 50;
  door.web.server_errors = 20;
  const ServiceLoad load = door.Second();
  EXPECT_FLOAT_EQ(load.arrivals_s, 50);
  EXPECT_FLOAT_EQ(load.completions_s, 50) << "5xx of replicas are answers too";
  EXPECT_FLOAT_EQ(load.errors_s, 20);
  EXPECT_THAT(load.latency, IsEmpty());
}

TEST(DoorTraffic, ASteadyStreamHasAsManyInFlightAsLittlesLawSays) {
  Door door;
  door.web.arrived = door.web.in_flight = 10;
  door.Second();
  for (int second = 0; second < 3; ++second) {
    const Time began = door.now;
    for (int i = 0; i < 100; ++i) {  // one each 10 ms, 100 ms each: ten are inside at any time
      door.now = began + 10ms * i;
      door.Answers(1, 100);
    }
    door.now = began;
    EXPECT_NEAR(door.Second().in_flight, 10, 0.3);
  }
}

TEST(DoorTraffic, RequestsThatHangAreInFlight) {
  Door door;
  door.web.arrived = door.web.in_flight = 7;
  EXPECT_NEAR(door.Second().in_flight, 3.5, 0.01) << "came within the second";
  EXPECT_NEAR(door.Second().in_flight, 7, 0.01);
  EXPECT_NEAR(door.Second().in_flight, 7, 0.01);
  // They end half-way through the next second.
  door.now += 500ms;
  for (int i = 0; i < 7; ++i) door.traffic.Add(door.now, "b_web 200 3000000 -- -");
  door.web.ended = 7;
  door.web.in_flight = 0;
  door.now -= 500ms;
  EXPECT_NEAR(door.Second().in_flight, 3.5, 0.01);
}

TEST(DoorTraffic, AReloadLosesNothingAndInventsNothing) {
  Door door;
  door.Answers(100, 5);
  EXPECT_FLOAT_EQ(door.Second().arrivals_s, 100);
  // 40 more at the old process, which keeps one that hangs; 60 at the new one.
  BackendStats old = door.web;
  old.arrived += 41;
  old.ended += 40;
  old.in_flight = 1;
  door.web = BackendStats{.name = "b_web"};
  door.pid = 11;
  door.Answers(60, 5);
  const ServiceLoad load = door.Second({Worker(10, {old})});
  EXPECT_FLOAT_EQ(load.arrivals_s, 101);
  // The old one answers its last and ends before anyone asks again.
  door.traffic.Add(door.now, "b_web 200 900000 -- -");
  const ServiceLoad after = door.Second();
  EXPECT_FLOAT_EQ(after.completions_s, 1);
  EXPECT_FLOAT_EQ(after.arrivals_s, 0);
}

TEST(DoorTraffic, ARestartOfHaproxyCountsFromNothing) {
  Door door;
  door.Answers(100, 5);
  door.Second();
  door.web = BackendStats{.name = "b_web"};
  door.pid = 99;
  door.Answers(30, 5);
  EXPECT_FLOAT_EQ(door.Second().arrivals_s, 30);
  // Even under a process id that was there before.
  door.web = BackendStats{.name = "b_web"};
  door.Answers(20, 5);
  EXPECT_FLOAT_EQ(door.Second().arrivals_s, 20);
}

TEST(DoorTraffic, ANewAgentBeginsWithABaseLine) {
  DoorTraffic traffic;
  const Time now{1000s};
  const BackendStats web{.name = "b_web", .in_flight = 4, .arrived = 1'000'000, .ended = 999'996};
  traffic.Add(now, "b_web 200 10 -- -");
  EXPECT_FALSE(traffic.Take(now, {Worker(10, {web})}));
  const auto loads = traffic.Take(now + 1s, {Worker(10, {web})});
  ASSERT_THAT(*loads, SizeIs(1));
  EXPECT_EQ(loads->front().arrivals_s, 0);
  EXPECT_FLOAT_EQ(loads->front().in_flight, 4) << "they are still there";
}

TEST(DoorTraffic, WithoutHaproxyThereIsNoTraffic) {
  Door door;
  door.web.in_flight = door.web.arrived = 5;
  door.Second();
  door.now += 1s;
  EXPECT_THAT(*door.traffic.Take(door.now, {}), IsEmpty());
  door.now += 1s;
  EXPECT_THAT(*door.traffic.Take(door.now, {}), IsEmpty());
}

TEST(DoorTraffic, QueuesOfBothFloorsAddUpAndInboundArrivalsDoNot) {
  Door door;
  door.web.queued = 2;
  door.web.in_flight = door.web.arrived = 2;
  const BackendStats inbound{.name = "in_web", .queued = 5, .in_flight = 9, .arrived = 1000, .ended = 991};
  const ServiceLoad load = door.Second({Worker(9, {inbound})});
  EXPECT_FLOAT_EQ(load.queued, 7);
  EXPECT_FLOAT_EQ(load.arrivals_s, 2);
}

TEST(DoorTraffic, ConnectionsOfTcpAreTraffic) {
  DoorTraffic traffic;
  Time now{1000s};
  BackendStats db{.name = "t_db"};
  traffic.Take(now, {Worker(1, {db})});
  db.arrived = 10;
  db.in_flight = 4;
  db.connect_failures = 1;
  const auto loads = traffic.Take(now + 1s, {Worker(1, {db})});
  ASSERT_THAT(*loads, SizeIs(1));
  EXPECT_EQ(loads->front().service, "db");
  EXPECT_FLOAT_EQ(loads->front().arrivals_s, 10);
  EXPECT_FLOAT_EQ(loads->front().completions_s, 5);
  EXPECT_FLOAT_EQ(loads->front().errors_s, 1);
  EXPECT_FLOAT_EQ(loads->front().in_flight, 2);
}

TEST(DoorTraffic, RatesAreOverTheTimeThatPassed) {
  Door door;
  door.Answers(100, 5);
  door.now += 3s;
  EXPECT_FLOAT_EQ(door.Second().arrivals_s, 25);
}

TEST(DoorTraffic, NamesWithoutEndTakeNoMemoryWithoutEnd) {
  Door door;
  for (std::size_t i = 0; i < DoorTraffic::kBackendsMax + 10; ++i)
    door.traffic.Add(door.now, fmt::format("b_{} 200 10 -- -", i));
  door.now += 1s;
  EXPECT_LE(door.traffic.Take(door.now, {})->size(), DoorTraffic::kBackendsMax);
  EXPECT_LE(door.traffic.totals().size(), DoorTraffic::kBackendsMax);
}

}  // namespace
}  // namespace hs
