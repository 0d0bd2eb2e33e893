// A box that nobody can connect to, among others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

constexpr int kHidden = 5;

class NodeNatTest : public NodeFixture {
 protected:
  void SetUp() override {
    HideBehindNat(kHidden);
    Start(0);
    for (int i = 1; i <= kHidden; ++i) {
      Start(i, 0, [i](BootState& boot) { boot.meta.dials_out = i == kHidden; });
    }
    ASSERT_TRUE(RunUntil([&] { return SeenByAll() && AllSteady() && Relays().size() == 3; }, 30s));
  }
  bool SeenByAll() {
    for (int i = 0; i <= kHidden; ++i) {
      if (boxes_.at(i).gone) continue;
      const auto hidden = node(i).Members().find(IdOf(kHidden));
      if (hidden == node(i).Members().end() || hidden->second.state != MemberState::kAlive) return false;
    }
    return true;
  }
  std::vector<NodeId> Relays() { return node(kHidden).Members().at(IdOf(kHidden)).meta->relays; }
  bool IsRelay(int i) { return std::ranges::binary_search(Relays(), IdOf(i)); }
  const Detour* DetourOf(int i) {
    for (const Detour& detour : boxes_.at(i).detours) {
      if (detour.peer == IdOf(kHidden)) return &detour;
    }
    return nullptr;
  }
};

TEST_F(NodeNatTest, ItTakesThreeRelaysAndAllReachItOverThem) {
  const auto lines = SaidBy<UseLines>(kHidden);
  ASSERT_FALSE(lines.empty());
  std::vector<NodeId> kept;
  for (const auto& [relay, address] : lines.back().second.relays) kept.push_back(relay);
  EXPECT_EQ(kept, Relays());
  Run(1s);
  for (int i = 0; i < kHidden; ++i) {
    const Detour* detour = DetourOf(i);
    ASSERT_NE(detour, nullptr) << i;
    EXPECT_TRUE(detour->dials_out);
    EXPECT_EQ(detour->relays.size(), IsRelay(i) ? 0u : 1u) << i;
    if (IsRelay(i)) continue;
    EXPECT_THAT(Relays(), ::testing::Contains(detour->relays.front().first));
  }
  EXPECT_TRUE(boxes_.at(kHidden).detours.empty());
}

TEST_F(NodeNatTest, ItIsSeenAliveByAllForMinutesAndRunsWork) {
  Deploy(1, {Service("web", 6)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 6 && AllSteady(); }, 30s));
  EXPECT_EQ(RunningOn(kHidden), 1u);
  for (int minute = 0; minute < 5; ++minute) {
    Run(60s);
    EXPECT_TRUE(SeenByAll());
    EXPECT_TRUE(AllSteady());
  }
  for (int i = 0; i < kHidden; ++i) {
    EXPECT_TRUE(EventsOf(i, "member.suspect").empty()) << i;
    for (const auto& [at, attempt] : SaidBy<TryConnect>(i))
      EXPECT_NE(attempt.address, AddressOf(kHidden)) << "whoever refuses there is somebody else";
  }
}

TEST_F(NodeNatTest, ARelayThatGoesIsReplacedWhileItStaysAlive) {
  int relay = 1;
  while (!IsRelay(relay)) ++relay;
  boxes_.at(relay).gone = true;
  ASSERT_TRUE(RunUntil([&] { return !IsRelay(relay) && Relays().size() == 3; }, 5s));
  for (int second = 0; second < 10; ++second) {
    Run(1s);
    EXPECT_TRUE(SeenByAll()) << second;
  }
  for (int i = 0; i < kHidden; ++i) {
    if (i == relay) continue;
    EXPECT_TRUE(EventsOf(i, "member.unreachable").size() <= 1) << "the relay alone";
    const Detour* detour = DetourOf(i);
    ASSERT_NE(detour, nullptr) << i;
    for (const auto& [through, address] : detour->relays) EXPECT_NE(through, IdOf(relay));
  }
}

TEST_F(NodeNatTest, ItsDatagramsAreAnsweredWhereTheyCameFrom) {
  int relay = 0;
  while (!IsRelay(relay)) ++relay;
  const auto from = boxes_.at(relay).said.size();
  const Endpoint elsewhere{IpAddress::V4(192, 0, 2, 99), 41000};
  Hand(relay, DatagramReceived{IdOf(kHidden), elsewhere, GossipMessage{.body = PathPing{777}}});
  bool answered = false;
  for (auto i = from; i < boxes_.at(relay).said.size(); ++i) {
    const auto* send = std::get_if<SendDatagram>(&boxes_.at(relay).said[i].output);
    answered = answered || (send != nullptr && send->to == IdOf(kHidden) && send->address == elsewhere);
  }
  EXPECT_TRUE(answered);
}

}  // namespace
}  // namespace hs
