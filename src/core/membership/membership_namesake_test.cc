// Two that live with one id, since a data directory was copied; and who only looks so.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/membership/membership_test_support.h"

namespace hs {
namespace {

constexpr int kCopy = 20;

// Who yielded; whoever did is stopped, as its agent starts again as another node.
std::set<int> Yielded(MiniNetwork& net, Duration length) {
  std::set<int> who;
  const auto yields = [&] {
    for (const auto& [i, note] : net.noted) {
      if (!std::holds_alternative<Membership::IdentityConflict>(note)) continue;
      if (who.insert(i).second) net.Kill(i);
    }
    net.noted.clear();
    return false;
  };
  net.RunUntil(yields, length);
  return who;
}

Endpoint AddressAt(MiniNetwork& net, int observer, int subject) {
  return net.node(observer).members().at(MiniNetwork::IdOf(subject)).meta->address;
}

class NamesakeTest : public ::testing::Test {
 protected:
  // Node 1 is in its third life, and has been for a while.
  void Grow(int n) {
    net_.Grow(n);
    for (int again = 0; again < 2; ++again) {
      net_.Kill(1);
      net_.Run(1s);
      net_.Start(1, {0, 2});
      net_.Run(15s);
    }
    home_ = net_.node(1).self().meta->address;
    ASSERT_TRUE(net_.AllAgree());
    net_.changes.clear();
    net_.noted.clear();
  }
  void ExpectTheOriginalIsBack() {
    for (int i = 0; i < 6; ++i) {
      if (i == 1) continue;
      EXPECT_TRUE(net_.Sees(i, 1, MemberState::kAlive)) << i;
      EXPECT_EQ(AddressAt(net_, i, 1), home_) << i;
    }
    EXPECT_EQ(Accused(net_, [](int) { return true; }), "");
  }

  MiniNetwork net_{121};
  Endpoint home_;
};

TEST_F(NamesakeTest, TheNewcomerYieldsAndTheOriginalStays) {
  Grow(6);
  net_.StartCopy(kCopy, 1, 4, {0, 2});
  const Duration took = net_.RunUntil(
      [&] {
        return std::ranges::any_of(net_.noted, [](const auto& note) {
          return std::holds_alternative<Membership::IdentityConflict>(note.second);
        });
      },
      5s);
  EXPECT_LE(took, 50ms);
  EXPECT_EQ(Yielded(net_, 10s), std::set{kCopy});
  ExpectTheOriginalIsBack();
}

TEST_F(NamesakeTest, OfAnOldCopyTheNewcomerYieldsTooThoughItsCounterIsLower) {
  Grow(6);
  net_.StartCopy(kCopy, 1, 2, {0, 2});
  EXPECT_EQ(Yielded(net_, 10s), std::set{kCopy});
  ExpectTheOriginalIsBack();
}

TEST_F(NamesakeTest, OfEqualCountersTheNewcomerYields) {
  Grow(6);
  net_.StartCopy(kCopy, 1, 3, {0, 2});
  EXPECT_EQ(Yielded(net_, 10s), std::set{kCopy});
  ExpectTheOriginalIsBack();
}

TEST_F(NamesakeTest, WhereTheOriginalHasJustStartedTooOnlyTheLaterStartYields) {
  Grow(6);
  net_.Kill(1);
  net_.Run(1s);
  net_.Start(1, {0, 2});
  net_.Run(1s);
  net_.changes.clear();
  net_.StartCopy(kCopy, 1, 5, {0, 2});
  EXPECT_EQ(Yielded(net_, 15s), std::set{kCopy});
  ExpectTheOriginalIsBack();
}

TEST_F(NamesakeTest, TwoCopiesYieldWhereDatagramsAreLost) {
  Grow(6);
  net_.Loss(0.3);
  net_.StartCopy(kCopy, 1, 4, {0, 2});
  net_.StartCopy(kCopy + 1, 1, 4, {2, 3});
  EXPECT_EQ(Yielded(net_, 10s), (std::set{kCopy, kCopy + 1}));
  net_.Loss(0);
  net_.Run(10s);
  EXPECT_EQ(AddressAt(net_, 3, 1), home_);
}

TEST_F(NamesakeTest, WhoWasCopiedBehindACutKeepsItsIdWhenThatHeals) {
  Grow(6);
  const auto side = [](int i) { return i == 2 || i == 3 || i == kCopy; };
  net_.Cut([side](int a, int b) { return side(a) != side(b); });
  net_.StartCopy(kCopy, 1, 4, {2, 3});
  EXPECT_EQ(Yielded(net_, 60s), std::set<int>{});
  net_.Cut([](int, int) { return false; });
  EXPECT_EQ(Yielded(net_, 60s), std::set{kCopy});
  net_.Run(5s);
  EXPECT_TRUE(net_.AllSee(1, MemberState::kAlive));
  EXPECT_EQ(AddressAt(net_, 2, 1), home_);
}

// Others believe the former life alive, where nobody answers.
TEST_F(NamesakeTest, ARestartAtAnotherAddressIsKnownAtOnceAndDoesNotYield) {
  Grow(6);
  net_.PowerOff(1);
  net_.StartCopy(kCopy, 1, 4, {0, 2});
  const Endpoint there = net_.node(kCopy).self().meta->address;
  const Duration took = net_.RunUntil([&] { return AddressAt(net_, 3, 1) == there; }, 5s);
  EXPECT_LE(took, 20ms);
  EXPECT_EQ(Yielded(net_, 30s), std::set<int>{});
  EXPECT_EQ(net_.node(kCopy).self().incarnation.boot, 4u);
  EXPECT_EQ(AddressAt(net_, 3, 1), there);
}

TEST_F(NamesakeTest, ARestoredDiskGoesAboveItsFormerLifeAtAnotherAddressAndAtItsOwn) {
  Grow(6);
  net_.PowerOff(1);
  net_.StartCopy(kCopy, 1, 1, {0, 2});
  const Endpoint there = net_.node(kCopy).self().meta->address;
  EXPECT_LE(net_.RunUntil([&] { return AddressAt(net_, 3, 1) == there; }, 10s), 2s);
  EXPECT_EQ(Yielded(net_, 30s), std::set<int>{});
  EXPECT_EQ(net_.node(kCopy).self().incarnation.boot, 4u);
  net_.Kill(kCopy);
  net_.StartCopy(1, 1, 2, {0, 2});
  EXPECT_LE(net_.RunUntil([&] { return AddressAt(net_, 3, 1) == home_; }, 10s), 2s);
  net_.Kill(1);
  net_.StartCopy(1, 1, 2, {0, 2});
  EXPECT_LE(net_.RunUntil([&] { return net_.node(1).self().incarnation.boot == 6; }, 10s), 100ms)
      << "nobody else can live at its own address";
  EXPECT_EQ(Yielded(net_, 30s), std::set<int>{});
  EXPECT_TRUE(net_.AllSee(1, MemberState::kAlive));
}

// Behind NATs, say. It takes a while, but not for ever.
TEST_F(NamesakeTest, WhereTheyCannotHearEachOtherOneYieldsAllTheSame) {
  Grow(6);
  net_.Cut([](int a, int b) { return (a == 1 && b == kCopy) || (a == kCopy && b == 1); });
  net_.StartCopy(kCopy, 1, 4, {0, 2});
  EXPECT_EQ(Yielded(net_, 60s), std::set{kCopy}) << "the one that was new when they met";
  EXPECT_TRUE(net_.AllSee(1, MemberState::kAlive));
}

// As of a former life, which somebody recorded: where that is said to be alive, nobody is.
TEST_F(NamesakeTest, OnlyTheAnswerToItsOwnQuestionIsProof) {
  Grow(3);
  DatagramReceived news{MiniNetwork::IdOf(0), home_, {}};
  MemberUpdate former{MiniNetwork::IdOf(1), BootId{99}, {1, 0}, MemberState::kAlive, MemberMeta{}, {}};
  former.meta.Edit().address = {IpAddress::V4(10, 9, 9, 9), 7700};
  news.message.body = News{};
  news.message.updates = {former};
  net_.Hand(1, news);
  for (std::uint32_t sequence = 0; sequence < 1000; ++sequence) {
    DatagramReceived answer{MiniNetwork::IdOf(1), former.meta->address, {}};
    answer.message.body = Ack{sequence};
    net_.Hand(1, answer);
  }
  EXPECT_EQ(Yielded(net_, 5s), std::set<int>{});
}

}  // namespace
}  // namespace hs
