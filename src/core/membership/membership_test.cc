// Clusters in virtual time: how soon what happened is known, at what cost, and that nobody healthy is
// accused. Cuts and sleeps are in membership_cut_test.cc, kills, deaths and leaves in
// membership_ends_test.cc.
#include "core/membership/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "core/membership/membership_test_support.h"

namespace hs {
namespace {

bool AllGone(MiniNetwork& net, int j) {
  return net.AllSee(j, MemberState::kUnreachable) || net.AllSee(j, MemberState::kAgentDown);
}

Spread SilenceAt(int n, int rounds, std::string& accused) {
  std::vector<Duration> times;
  MiniNetwork net(1000);
  net.Grow(n);
  for (int round = 0; round < rounds; ++round) {
    const int victim = 1 + round % (n - 1);
    net.changes.clear();
    net.PowerOff(victim);
    times.push_back(net.RunUntil([&] { return AllGone(net, victim); }, 20s));
    if (accused.empty()) accused = Accused(net, [&](int i) { return i != victim; });
    net.Start(victim, {0, (victim + 1) % n});
    net.Run(3s + std::chrono::milliseconds(37 * round));
  }
  return SpreadOf(times);
}

TEST(Membership, SilenceIsKnownToAllWithinTheBars) {
  std::string accused;
  const Spread at16 = SilenceAt(16, 100, accused);
  const Spread at64 = SilenceAt(64, 60, accused);
  std::printf("silence known to all: 16 nodes %ld ms (p99 %ld), 64 nodes %ld ms (p99 %ld)\n",
              ToMs(at16.median), ToMs(at16.p99), ToMs(at64.median), ToMs(at64.p99));
  EXPECT_LE(at16.median, 1200ms);
  EXPECT_LE(at64.median, 1500ms);
  EXPECT_LE(at64.p99, 3s);
  EXPECT_EQ(accused, "");
}

TEST(Membership, EachLifeNumbersItsQuestionsElsewhere) {
  const auto first_question = [](std::uint64_t boot) {
    MembershipSelf self{.id = *NodeId::FromHex("00000000000000000000000000000001"), .boot_id = BootId{boot}};
    Membership membership({}, self, Prng(1), Time{});
    const Endpoint there{IpAddress::V4(10, 0, 0, 2), 7700};
    for (const auto& output : membership.Step({Time{}, 0}, Membership::Seeds{{{NodeId{}, there}}})) {
      const auto* send = std::get_if<SendDatagram>(&output);
      const auto* ping = send == nullptr ? nullptr : std::get_if<Ping>(&send->message.body);
      if (ping != nullptr) return std::int64_t{ping->sequence};
    }
    return std::int64_t{0};
  };
  ASSERT_NE(first_question(1), 0);
  EXPECT_GT(std::abs(first_question(1) - first_question(2)), 1000)
      << "a recorded answer to one answers none of the other";
}

TEST(Membership, AJoinIsKnownToAllWithin200Ms) {
  std::vector<Duration> times;
  MiniNetwork net(7);
  net.Grow(44);
  for (int i = 44; i < 64; ++i) {
    net.Start(i, {i % 40}, i % 2 == 0);
    times.push_back(net.RunUntil([&] { return net.AllSee(i, MemberState::kAlive) && net.AllAgree(); }, 10s));
    net.Run(200ms);
  }
  std::printf("join known by all: median %ld ms, p99 %ld ms\n", ToMs(SpreadOf(times).median),
              ToMs(SpreadOf(times).p99));
  EXPECT_LE(SpreadOf(times).median, 200ms);
}

TEST(Membership, SteadyTrafficTimesDetectionIsHalfOfSerfs) {
  for (const auto& [n, detection_s, serf] : {std::tuple{16, 1.2, 306 * 7.3}, {64, 1.5, 278 * 9.4}}) {
    MiniNetwork net(11);
    net.Grow(n);
    net.Run(10s);
    net.bytes = net.datagrams = net.link_bytes = 0;
    net.Run(120s);
    const double udp = static_cast<double>(net.bytes) / 120 / n;
    const double link = static_cast<double>(net.link_bytes) / 120 / n;
    std::printf("steady at %d nodes: %.0f B/s in %.1f datagrams, %.0f B/s on links, per node\n", n, udp,
                static_cast<double>(net.datagrams) / 120 / n, link);
    EXPECT_LE((udp + link) * detection_s, serf / 2);
    EXPECT_TRUE(net.AllAgree());
  }
}

TEST(Membership, WhileEverybodyDiffersWholeTablesAreExchangedOneAtATime) {
  const auto address = [](int i) {
    return Endpoint{IpAddress::V4(10, 0, 0, static_cast<std::uint8_t>(i)), 7};
  };
  MembershipSelf self{MiniNetwork::IdOf(100), BootId{1}, 1, {}};
  self.meta.address = address(100);
  Membership node(Tunables{}, self, Prng(1), Time{1h});
  int tables = 0;
  for (int tenth = 0; tenth < 100; ++tenth) {
    const Now now{Time{1h} + tenth * 100ms, 0};
    for (int i = 1; i <= 30; ++i) {
      DatagramReceived said{MiniNetwork::IdOf(i), address(i), {}};
      said.message.body = News{};
      said.message.members_digest = 4711;
      if (tenth == 0) {
        MemberUpdate word{said.from, BootId{2}, {1, 0}, MemberState::kAlive, MemberMeta{}, {}};
        word.meta.Edit().address = address(i);
        said.message.updates.push_back(word);
      }
      for (const auto& output : node.Step(now, said)) tables += std::holds_alternative<SendLink>(output);
    }
  }
  EXPECT_GE(tables, 2);
  EXPECT_LE(tables, 6) << "and not 30 every two seconds";
}

// The first `stopped` of `n` nodes stop for `stop` out of every `period`.
void StopPattern(int n, int stopped, Duration stop, Duration period) {
  MiniNetwork net(21);
  net.Grow(n);
  net.changes.clear();
  for (int cycle = 0; cycle < 6; ++cycle) {
    for (int i = 1; i <= stopped; ++i) net.Stop(i);
    net.Run(stop);
    for (int i = 1; i <= stopped; ++i) net.Go(i);
    const Duration healed = net.RunUntil([&] { return net.AllAgree(); }, 10s);
    EXPECT_LT(healed, 4s) << "after cycle " << cycle;
    net.Run(std::max(Duration{}, period - stop - healed));
  }
  EXPECT_EQ(Accused(net, [&](int i) { return i == 0 || i > stopped; }), "");
  // Not even a suspicion: neither while they are away nor when they wake.
  for (const auto& change : net.changes) {
    if (change.subject != 0 && change.subject <= stopped) continue;
    EXPECT_EQ(change.to, MemberState::kAlive)
        << change.observer << " about " << change.subject << ": " << change.cause;
  }
  // The stopped ones are noticed, and are not relied on after they went away again and again.
  EXPECT_TRUE(std::any_of(net.changes.begin(), net.changes.end(),
                          [](const auto& c) { return c.to == MemberState::kUnreachable; }));
  EXPECT_GT(net.node(0).members().at(MiniNetwork::IdOf(1)).quarantined_until, net.now());
}
TEST(Membership, OneOf16StoppedAccusesNobody) { StopPattern(16, 1, 5s, 15s); }
TEST(Membership, FourOf16StoppedAccuseNobody) { StopPattern(16, 4, 10s, 20s); }
TEST(Membership, SixteenOf64StoppedAccuseNobody) { StopPattern(64, 16, 10s, 20s); }

TEST(Membership, LossOfManyDatagramsAccusesNobody) {
  MiniNetwork net(31);
  net.Grow(16);
  net.Loss(0.05);
  net.changes.clear();
  net.Run(200s);
  EXPECT_EQ(Accused(net, [](int) { return true; }), "");
}

// Where all boxes, or all agents of one machine, are short of CPU, each answer is late and nobody is gone.
TEST(Membership, WhoRunsOnlyNowAndThenAccusesNobodyOfBeingLate) {
  for (const Duration longest : {100ms, 290ms, 500ms, 800ms}) {
    MiniNetwork net(31);
    net.Grow(64);
    net.changes.clear();
    net.datagrams = 0;
    net.Starve(longest);
    net.Run(60s);
    const auto accused = std::ranges::count_if(net.changes, [](const auto& c) { return !IsPresent(c.to); });
    std::printf("starved up to %ld ms: %ld accusations, %.1f datagrams/s per node\n", ToMs(longest), accused,
                static_cast<double>(net.datagrams) / 60 / 64);
    EXPECT_EQ(Accused(net, [](int) { return true; }), "");
    EXPECT_LE(net.datagrams, 60u * 64u * 12u);
    net.Starve(0ms);
    net.Run(12s);
    EXPECT_TRUE(net.AllAgree());
    net.changes.clear();
    net.PowerOff(5);
    EXPECT_LE(net.RunUntil([&] { return AllGone(net, 5); }, 20s), 3s) << "as quick as ever afterwards";
  }
}

TEST(Membership, OneBrokenPathIsNoAccusation) {
  MiniNetwork net(71);
  net.Grow(16);
  net.changes.clear();
  net.Cut([](int a, int b) { return (a == 2 && b == 9) || (a == 9 && b == 2); });
  net.Run(120s);
  EXPECT_EQ(Accused(net, [](int) { return true; }), "");
}

// Who accused somebody may be cut off from it, and not from those who hear it object.
TEST(Membership, ARefutationIsPassedOnToTheAccusers) {
  MembershipSelf self{MiniNetwork::IdOf(100), BootId{1}, 1, {}};
  Membership node(Tunables{}, self, Prng(1), Time{1h});
  const auto say = [&](int from, MemberUpdate update) {
    DatagramReceived said{MiniNetwork::IdOf(from), {}, {}};
    said.message.body = News{};
    said.message.updates = {std::move(update)};
    std::vector<NodeId> told;
    for (const auto& output : node.Hear({Time{1h}, 0}, said)) {
      if (const auto* send = std::get_if<SendDatagram>(&output)) told.push_back(send->to);
    }
    return told;
  };
  const auto word = [](int i, std::uint32_t counter) {
    return MemberUpdate{MiniNetwork::IdOf(i), BootId{2}, {1, counter}, MemberState::kAlive, MemberMeta{}, {}};
  };
  for (int i = 1; i <= 30; ++i) say(i, word(i, 0));
  MemberUpdate suspect = word(25, 0);
  suspect.state = MemberState::kSuspect;
  suspect.witnesses = {{MiniNetwork::IdOf(2), MiniNetwork::IdOf(3), MiniNetwork::IdOf(4)}};
  say(2, suspect);
  ASSERT_EQ(node.members().at(MiniNetwork::IdOf(25)).state, MemberState::kSuspect);
  const std::vector<NodeId> told = say(25, word(25, 1));
  EXPECT_EQ(told.size(), 2u);
  for (const NodeId& id : told) EXPECT_THAT(*suspect.witnesses, ::testing::Contains(id));
}

TEST(Membership, NewMetadataReachesAll) {
  MiniNetwork net(161);
  net.Grow(16);
  MemberMeta meta = *net.node(7).self().meta;
  meta.roles.controller = true;
  net.Hand(7, Membership::SetMeta{meta});
  net.Run(50ms);
  for (int i = 0; i < 16; ++i)
    EXPECT_TRUE(net.node(i).members().at(MiniNetwork::IdOf(7)).meta->roles.controller) << i;
}

TEST(Membership, ClockSamplesTellTheDifference) {
  MiniNetwork net(171);
  net.Grow(4);
  int samples = 0;
  for (const auto& [i, note] : net.noted) {
    const auto* sample = std::get_if<Membership::ClockSample>(&note);
    if (sample == nullptr || i != 0) continue;
    ++samples;
    const int peer = sample->peer.bytes[15];
    EXPECT_NEAR(static_cast<double>(sample->offset_ms), 1000.0 * peer, 3)
        << "node's calendar is that many s ahead";
  }
  EXPECT_GT(samples, 5);
}

TEST(Membership, AnyTunablesWithinBoundsConvergeAfterAnything) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Prng prng(seed);
    MiniNetwork net(seed, RandomTunables(prng));
    net.Grow(9);
    net.Loss(0.05);
    for (int i = 0; i < 9; i += 2) net.Stop(i);
    net.Run(prng.Between(1s, 8s));
    for (int i = 0; i < 9; i += 2) net.Go(i);
    net.Cut([&](int a, int b) { return a % 3 == 0 && b % 3 == 1; });
    net.Kill(8);
    net.Run(prng.Between(1s, 20s));
    net.Cut([](int, int) { return false; });
    net.Loss(0);
    net.Start(8, {0, 1});
    EXPECT_LT(net.RunUntil([&] { return net.AllAgree(); }, 120s), 90s) << "seed " << seed;
  }
}

TEST(Membership, SameSeedSameHistory) {
  std::uint64_t digests[2];
  for (auto& digest : digests) {
    MiniNetwork net(111);
    net.Grow(16);
    net.Loss(0.02);
    net.Stop(3);
    net.Kill(5);
    net.Run(8s);
    net.Go(3);
    net.Run(20s);
    digest = net.digest;
    EXPECT_LE(net.largest_datagram, 1200U);
  }
  EXPECT_EQ(digests[0], digests[1]);
}

}  // namespace
}  // namespace hs
