// Memberships of a cluster that is cut, or of which one slept: each side knows soon, and nobody is accused
// for less.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "core/membership/membership_test_support.h"

namespace hs {
namespace {

TEST(Membership, BothHalvesOfACutFindEachOtherWhenItHeals) {
  MiniNetwork net(41);
  net.Grow(32);
  net.Cut([](int a, int b) { return (a < 16) != (b < 16); });
  net.Run(60s);
  EXPECT_EQ(net.node(3).PresentCount(), 16U);
  EXPECT_EQ(net.node(20).PresentCount(), 16U);
  net.Cut([](int, int) { return false; });
  const Duration healed = net.RunUntil([&] { return net.AllAgree(); }, 60s);
  std::printf("cut of 16 and 16 healed after %ld ms\n", ToMs(healed));
  EXPECT_LT(healed, 5s);
}

TEST(Membership, ACutOfAFewThatLastedAMinuteIsFoundHealedSoon) {
  Duration longest{};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MiniNetwork net(seed);
    net.Grow(5);
    net.Cut([](int a, int b) { return (a < 2) != (b < 2); });
    net.Run(60s + seed * 700ms);
    net.Cut([](int, int) { return false; });
    longest = std::max(longest, net.RunUntil([&] { return net.AllAgree(); }, 60s));
  }
  std::printf("cut of 2 of 5 healed after %ld ms at most\n", ToMs(longest));
  EXPECT_LT(longest, 5s);
}

TEST(Membership, ANodeThatHearsNothingHarmsNobody) {
  MiniNetwork net(61);
  net.Grow(16);
  net.changes.clear();
  net.Cut([](int, int to) { return to == 5; });
  net.Run(60s);
  for (const auto& change : net.changes) {
    if (change.observer == 5) continue;
    EXPECT_TRUE(change.subject == 5 || IsPresent(change.to))
        << change.observer << " holds " << change.subject << " gone: " << change.cause;
  }
  EXPECT_TRUE(net.AllSee(5, MemberState::kUnreachable));
}

// The time from a cut until each of the first `few` sees only these, in the worst of 20 runs of `nodes`
// nodes.
Duration LongestUntilCutOff(int nodes, int few, bool again) {
  Duration longest{};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MiniNetwork net(seed);
    net.Grow(nodes);
    net.Run(10s + seed * 70ms);  // the cut comes at any time between two probes
    const auto cut = [few](int a, int b) { return (a < few) != (b < few); };
    if (again) {
      net.Cut(cut);
      net.Run(3s);
      net.Cut([](int, int) { return false; });
      net.Run(1500ms);
    }
    net.Cut(cut);
    const Duration took = net.RunUntil(
        [&] {
          for (int i = 0; i < few; ++i) {
            if (net.node(i).PresentCount() != static_cast<std::size_t>(few)) return false;
          }
          return true;
        },
        60s);
    longest = std::max(longest, took);
  }
  return longest;
}

TEST(Membership, WhoIsCutOffAloneOrWithAFewKnowsItSoon) {
  struct Row {
    int nodes, few;
    Duration first, again;
  };
  for (const Row& row : {Row{7, 1, 1800ms, 1800ms}, Row{7, 2, 1600ms, 1800ms}, Row{7, 3, 1600ms, 1700ms},
                         Row{16, 1, 1900ms, 1900ms}, Row{16, 3, 1700ms, 2600ms}, Row{64, 1, 4s, 8s}}) {
    const Duration first = LongestUntilCutOff(row.nodes, row.few, false);
    const Duration again = LongestUntilCutOff(row.nodes, row.few, true);
    std::printf("%d of %d cut off: known after %ld ms at most; again just after a cut: %ld ms\n", row.few,
                row.nodes, ToMs(first), ToMs(again));
    EXPECT_LE(first, row.first) << row.few << " of " << row.nodes;
    EXPECT_LE(again, row.again) << row.few << " of " << row.nodes;
  }
}

TEST(Membership, WhoIsCutOffAndAlwaysLateKnowsItInTheEnd) {
  Duration took{};
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    MiniNetwork net(seed);
    net.Grow(7);
    net.Starve(290ms);
    net.Run(20s);
    net.Cut([](int a, int b) { return (a == 0) != (b == 0); });
    took = std::max(took, net.RunUntil([&] { return net.node(0).PresentCount() == 1; }, 60s));
  }
  std::printf("cut off and late: known after %ld ms at most\n", ToMs(took));
  EXPECT_LT(took, 10s);
}

TEST(Membership, AnOutageOfTheNetworkThatIsShortAccusesNobody) {
  for (const int nodes : {3, 7, 16}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      MiniNetwork net(seed);
      net.Grow(nodes);
      net.Run(10s + seed * 40ms);
      net.changes.clear();
      net.Cut([](int, int) { return true; });
      net.Run(600ms);
      net.Cut([](int, int) { return false; });
      net.Run(4s);
      for (const auto& change : net.changes) {
        EXPECT_TRUE(IsPresent(change.to))
            << change.observer << " calls " << change.subject << " gone: " << change.cause << ", seed "
            << seed << ", nodes " << nodes;
      }
    }
  }
}

TEST(Membership, WhoWakesToANetworkThatIsNotThereYetAccusesNobodyForItsSleep) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MiniNetwork net(seed);
    net.Grow(7);
    net.Run(10s + seed * 70ms);
    net.Cut([](int a, int b) { return (a == 0) != (b == 0); });  // what comes while it sleeps is lost
    net.Stop(0);
    net.Run(3s);
    net.changes.clear();
    net.Go(0);
    net.Run(1300ms);
    for (const auto& change : net.changes) {
      EXPECT_FALSE(change.observer == 0 && !IsPresent(change.to))
          << change.subject << " " << change.cause << ", seed " << seed;
    }
  }
}

TEST(Membership, WhatWasSuspectedInACutIsAskedAgainWhenItHeals) {
  int suspected = 0;
  for (std::uint64_t seed = 40; seed < 56; ++seed) {
    MiniNetwork net(seed);
    net.Grow(64);
    net.Run(10s + seed * 70ms);
    net.Cut([](int a, int b) { return (a == 0) != (b == 0); });
    net.Run(400ms + seed * 30ms);
    suspected += static_cast<int>(std::ranges::count_if(net.node(0).members(), [](const auto& entry) {
      return entry.second.state == MemberState::kSuspect;
    }));
    net.Cut([](int, int) { return false; });
    net.Run(500ms);
    net.changes.clear();
    net.Run(4s);
    for (const auto& change : net.changes) {
      EXPECT_FALSE(change.observer == 0 && !IsPresent(change.to))
          << change.subject << " " << change.cause << ", seed " << seed;
    }
  }
  EXPECT_GT(suspected, 0);
}

TEST(Membership, WhoIsCutOffWhileItSleepsKnowsItSoonAfter) {
  for (const int n : {7, 16}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      MiniNetwork net(seed);
      net.Grow(n);
      net.Run(10s + seed * 70ms);
      net.Stop(0);
      net.Run(2s + seed * 300ms);
      net.Cut([](int a, int b) { return (a < 1) != (b < 1); });
      net.Run(3s);
      net.Go(0);
      const Duration took = net.RunUntil([&] { return net.node(0).PresentCount() == 1; }, 60s);
      EXPECT_LT(took, 4s) << n << " nodes, seed " << seed;
    }
  }
}

TEST(Membership, WhoIsLateAgainWhileItReadsWhatItMissedKnowsItAllTheSame) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    MiniNetwork net(seed);
    net.Grow(7);
    net.Run(10s + seed * 70ms);
    net.Stop(0);
    net.Run(2s + seed * 300ms);
    net.Cut([](int a, int b) { return (a < 1) != (b < 1); });
    net.Run(3s);
    for (int i = 0; i < 2; ++i) {
      net.Go(0);
      net.Run(60ms);
      net.Stop(0);
      net.Run(600ms);
    }
    net.Go(0);
    const Duration took = net.RunUntil([&] { return net.node(0).PresentCount() == 1; }, 60s);
    EXPECT_LT(took, 5s) << "seed " << seed;
  }
}

TEST(Membership, WhatWasAskedBeforeASleepCountsForNothing) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    MiniNetwork net(seed);
    net.Grow(7);
    net.Run(10s);
    const auto sleep = [&](Duration span) {
      net.Stop(0);
      net.Run(span);
      net.Go(0);  // and calls the roll
    };
    sleep(3s);
    net.noted.clear();
    sleep(60s);  // its answers came meanwhile
    net.Run(2s);
    for (const auto& [observer, note] : net.noted) {
      const auto* sample = std::get_if<Membership::ClockSample>(&note);
      const auto* answered = std::get_if<Membership::PingAnswered>(&note);
      EXPECT_LT(sample == nullptr ? 0 : std::abs(sample->offset_ms), 7'000) << "seed " << seed;
      EXPECT_LT(answered == nullptr ? Duration{} : answered->round_trip, 10s) << "seed " << seed;
    }
    // What it had found while it was cut off is not so any more when it wakes.
    net.Cut([](int from, int to) { return (from == 0) != (to == 0); });
    sleep(3s);
    net.Run(250ms);
    net.Stop(0);
    net.Cut([](int, int) { return false; });
    net.Run(10s);
    net.changes.clear();
    net.Go(0);
    net.Run(3s);
    for (const auto& change : net.changes) {
      EXPECT_FALSE(change.observer == 0 && change.to == MemberState::kSuspect)
          << change.subject << ": " << change.cause << ", seed " << seed;
    }
  }
}

TEST(Membership, ASleepIsNoLatenessAndLatenessIsNoSleep) {
  Tunables tunables;
  tunables.probe_interval = 400ms;
  tunables.late_wake = 1s;
  MembershipSelf self{MiniNetwork::IdOf(1), BootId{1}, 1, {}};
  Membership node(tunables, self, Prng(1), Time{1h});
  node.Step({node.NextDeadline() + 900ms, 0}, Tick{});
  EXPECT_EQ(node.lateness(), 880ms);
  node.Step({node.NextDeadline() + 1min, 0}, Tick{});
  node.Step({node.NextDeadline(), 0}, Tick{});
  EXPECT_EQ(node.lateness(), 0ms);
}

// Node 0 alone, and how all others would answer: node 2 refutes once it is told, which only node 0 can do.
TEST(Membership, WhoIsSuspectedByOneOtherIsAskedBeforeItIsJudged) {
  constexpr int kNodes = 40;
  const auto address = [](int i) {
    return Endpoint{IpAddress::V4(10, 0, 0, static_cast<std::uint8_t>(i)), 7700};
  };
  const auto word = [&](int i, std::uint32_t counter, MemberState state) {
    MemberUpdate update{.id = MiniNetwork::IdOf(i), .boot_id = BootId{std::uint64_t(i) + 1}};
    update.incarnation = {1, counter};
    update.state = state;
    MemberMeta meta;
    meta.address = address(i);
    if (state == MemberState::kAlive) update.meta = std::move(meta);
    return update;
  };
  MembershipSelf self{.id = MiniNetwork::IdOf(0), .boot_id = BootId{1}, .boot_counter = 1};
  self.meta.address = address(0);
  Time at{1h};
  Membership node({}, self, Prng(3), at);
  int asked = 0;
  std::string judged;
  std::function<void(const std::vector<Membership::Output>&)> carry = [&](const auto& outputs) {
    for (const auto& output : outputs) {
      if (const auto* change = std::get_if<Membership::MemberChanged>(&output);
          change != nullptr && !IsPresent(change->after.state))
        judged = change->cause;
      const auto* send = std::get_if<SendDatagram>(&output);
      const auto* ping = send == nullptr ? nullptr : std::get_if<Ping>(&send->message.body);
      if (ping == nullptr || !ping->target) continue;
      GossipMessage answer{.body = Ack{ping->sequence}};
      if (ping->target == MiniNetwork::IdOf(2)) {
        if (judged.empty() && node.members().at(ping->target).state == MemberState::kSuspect) ++asked;
        answer.updates.push_back(word(2, 1, MemberState::kAlive));
      }
      carry(node.Hear({at, 0}, DatagramReceived{ping->target, send->address, std::move(answer)}));
    }
  };
  for (int i = 1; i < kNodes; ++i) {
    GossipMessage hello{.body = News{}};
    hello.updates.push_back(word(i, 0, MemberState::kAlive));
    carry(node.Hear({at, 0}, DatagramReceived{MiniNetwork::IdOf(i), address(i), std::move(hello)}));
  }
  GossipMessage rumour{.body = News{}};
  rumour.updates.push_back(word(2, 0, MemberState::kSuspect));
  rumour.updates.back().witnesses = std::vector<NodeId>{MiniNetwork::IdOf(3)};
  carry(node.Hear({at, 0}, DatagramReceived{MiniNetwork::IdOf(3), address(3), std::move(rumour)}));
  ASSERT_EQ(node.members().at(MiniNetwork::IdOf(2)).state, MemberState::kSuspect);
  const Time end = at + 5s;
  while (node.NextDeadline() <= end) {
    at = std::max(at, node.NextDeadline());
    carry(node.Step({at, 0}, Tick{}));
  }
  EXPECT_EQ(judged, "");
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(node.members().at(MiniNetwork::IdOf(2)).state, MemberState::kAlive);
}

}  // namespace
}  // namespace hs
