// The small mechanisms under Membership, each for itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/membership/gossip_queue.h"
#include "core/membership/mini_network.h"
#include "core/membership/peer_book.h"
#include "core/membership/probe_order.h"
#include "core/membership/quarantine.h"
#include "core/membership/refusals.h"
#include "core/membership/ring.h"
#include "core/membership/suspicion.h"

namespace hs {
namespace {

NodeId Id(int i) { return MiniNetwork::IdOf(i); }
constexpr Time kStart{1h};

TEST(Suspicion, EachWitnessShortensItDownToTheFloor) {
  const SuspicionBounds bounds = BoundsFor(100, 100ms, 4);
  EXPECT_EQ(bounds.min, 200ms);  // log10(100) = 2
  Suspicion suspicion(kStart, bounds);
  suspicion.AddWitness(Id(1));
  EXPECT_EQ(suspicion.Deadline(3), kStart + 800ms);
  Time last = suspicion.Deadline(3);
  for (int i = 2; i <= 4; ++i) {
    EXPECT_FALSE(suspicion.Full());
    EXPECT_TRUE(suspicion.AddWitness(Id(i)));
    EXPECT_LT(suspicion.Deadline(3), last);
    last = suspicion.Deadline(3);
  }
  EXPECT_EQ(last, kStart + 200ms);
  EXPECT_TRUE(suspicion.Full());
  suspicion.AddWitness(Id(5));
  EXPECT_EQ(suspicion.Deadline(3), last);
}
TEST(Suspicion, AWitnessCountsOnceAndMayWithdraw) {
  Suspicion suspicion(kStart, BoundsFor(10, 100ms, 4));
  EXPECT_TRUE(suspicion.AddWitness(Id(1)));
  EXPECT_FALSE(suspicion.AddWitness(Id(1)));
  EXPECT_TRUE(suspicion.AddWitness(Id(2)));
  const Time with_two = suspicion.Deadline(3);
  EXPECT_TRUE(suspicion.RemoveWitness(Id(2)));
  EXPECT_GT(suspicion.Deadline(3), with_two);
}
TEST(Suspicion, WhereNobodyElseCouldConfirmItIsShortAtOnce) {
  Suspicion suspicion(kStart, BoundsFor(2, 100ms, 4));
  suspicion.AddWitness(Id(1));
  EXPECT_EQ(suspicion.Deadline(3), kStart + 100ms);

  Suspicion cut_off(kStart, BoundsFor(10, 100ms, 4));
  cut_off.AddWitness(Id(1));
  EXPECT_EQ(cut_off.Deadline(3), kStart + 400ms);
  EXPECT_EQ(cut_off.Deadline(1), kStart + 400ms) << "one is there who could confirm it, and has not";
  EXPECT_EQ(cut_off.Deadline(0), kStart + 100ms);
  cut_off.AddWitness(Id(2));
  EXPECT_EQ(cut_off.Deadline(1), kStart + 100ms) << "now it has";
  EXPECT_GT(cut_off.Deadline(2), kStart + 100ms);
}
TEST(LastHeard, CountsEachOnceAndForgetsWhoWasHeardLongAgo) {
  LastHeard heard;
  EXPECT_EQ(heard.CountSince(Time{}), 0) << "nobody yet";
  for (int i = 0; i < 6; ++i) heard.Note(Id(1 + i % 2), kStart + i * 10ms);
  EXPECT_EQ(heard.CountSince(kStart), 2);
  EXPECT_EQ(heard.CountSince(kStart + 50ms), 1);
  EXPECT_EQ(heard.CountSince(kStart + 51ms), 0);
  for (int i = 3; i < 9; ++i) heard.Note(Id(i), kStart + 1s);
  EXPECT_EQ(heard.CountSince(kStart), 3) << "that many it keeps, the latest";
  EXPECT_EQ(heard.CountSince(kStart + 1s), 3);
}

MemberUpdate UpdateOf(int i, std::uint32_t counter = 0) {
  MemberUpdate update{Id(i), BootId{1}, {1, counter}, MemberState::kSuspect, {}, {}};
  return update;
}
TEST(GossipQueue, TheLeastSentGoesFirstAndLeavesAtTheLimit) {
  GossipQueue queue;
  queue.Put(UpdateOf(1));
  const std::size_t one = EncodedBytes(UpdateOf(1));
  std::vector<MemberUpdate> first;
  queue.Take(one, 2, first);
  queue.Put(UpdateOf(2));
  std::vector<MemberUpdate> second;
  queue.Take(one, 2, second);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].id, Id(2));
  std::vector<MemberUpdate> rest;
  queue.Take(10 * one, 2, rest);
  EXPECT_EQ(rest.size(), 2U);
  EXPECT_TRUE(queue.empty());
}
TEST(GossipQueue, NewerNewsReplacesOlderAndStartsAgain) {
  GossipQueue queue;
  queue.Put(UpdateOf(1, 1));
  std::vector<MemberUpdate> taken;
  queue.Take(1000, 2, taken);
  queue.Put(UpdateOf(1, 2));
  for (int i = 0; i < 2; ++i) {
    taken.clear();
    queue.Take(1000, 2, taken);
    ASSERT_EQ(taken.size(), 1U);
    EXPECT_EQ(taken[0].incarnation.counter, 2U);
  }
  EXPECT_TRUE(queue.empty());
}
TEST(GossipQueue, NeverMoreBytesThanAsked) {
  GossipQueue queue;
  for (int i = 0; i < 50; ++i) queue.Put(UpdateOf(i));
  std::vector<MemberUpdate> taken;
  queue.Take(200, 5, taken);
  EXPECT_EQ(taken.size(), 200 / EncodedBytes(UpdateOf(0)));
}

TEST(GossipQueue, AboveItsRoomWhatWasSentMostAndLongestAgoGoes) {
  GossipQueue queue;
  for (int i = 0; i < 2; ++i) queue.Put(UpdateOf(i));
  std::vector<MemberUpdate> taken;
  queue.Take(EncodedBytes(UpdateOf(1)), 9, taken);
  ASSERT_EQ(taken.at(0).id, Id(1));
  const int most = static_cast<int>(GossipQueue::kEntriesMax);
  for (int i = 2; i < most; ++i) queue.Put(UpdateOf(i));
  EXPECT_EQ(queue.size(), GossipQueue::kEntriesMax);
  queue.Put(UpdateOf(1000));  // 1 goes: sent once
  queue.Put(UpdateOf(1001));  // 0 goes: the oldest of those not sent
  EXPECT_EQ(queue.size(), GossipQueue::kEntriesMax);
  std::set<NodeId> left;
  while (!queue.empty()) {
    taken.clear();
    queue.Take(1000, 1, taken);
    for (const MemberUpdate& update : taken) left.insert(update.id);
  }
  EXPECT_EQ(left.size(), GossipQueue::kEntriesMax);
  for (const int gone : {0, 1}) EXPECT_FALSE(left.contains(Id(gone))) << gone;
}

TEST(ProbeOrder, EachOncePerRoundAlsoWhileMembersComeAndGo) {
  ProbeOrder order{Prng(1)};
  for (std::uint32_t i = 0; i < 20; ++i) order.Insert(i);
  for (int round = 0; round < 5; ++round) {
    std::set<std::uint32_t> seen;
    for (int i = 0; i < 20; ++i) seen.insert(*order.Next());
    EXPECT_EQ(seen.size(), 20U);
  }
  std::map<std::uint32_t, int> probed;
  for (int i = 0; i < 7; ++i) ++probed[*order.Next()];
  for (std::uint32_t i = 0; i < 10; ++i) order.Erase(i);
  for (std::uint32_t i = 30; i < 35; ++i) order.Insert(i);
  std::size_t left = 0;
  for (const std::uint32_t slot : order.all()) left += probed.contains(slot) ? 0 : 1;
  for (std::size_t i = 0; i < left; ++i) ++probed[*order.Next()];
  for (const std::uint32_t slot : order.all()) EXPECT_EQ(probed[slot], 1) << slot;
}
TEST(ProbeOrder, DrawsDifferentMembersAndNoneExcluded) {
  ProbeOrder order{Prng(2)};
  for (std::uint32_t i = 0; i < 100; ++i) order.Insert(i);
  for (int round = 0; round < 50; ++round) {
    const auto drawn = order.Draw(10, {3, 4});
    EXPECT_EQ(std::set<std::uint32_t>(drawn.begin(), drawn.end()).size(), 10U);
    EXPECT_EQ(std::count(drawn.begin(), drawn.end(), 3U), 0);
  }
  EXPECT_EQ(order.Draw(500, {3}).size(), 99U);
}

MemberTable Members(int count) {
  MemberTable members;
  for (int i = 0; i < count; ++i) members[Id(i)].state = MemberState::kAlive;
  return members;
}
Ring RingOf(const MemberTable& members) {
  return {members, [](const Member& member) { return IsPresent(member.state); }};
}

TEST(Ring, LinksReachEveryoneInFewSteps) {
  const MemberTable members = Members(64);
  const Ring ring = RingOf(members);
  std::map<NodeId, std::set<NodeId>> links;
  for (int i = 0; i < 64; ++i) {
    const auto holds = ring.Holds(Id(i), 3);
    EXPECT_LE(holds.size(), 5U);
    EXPECT_GE(holds.size(), 4U);
    for (const NodeId& id : holds) {
      EXPECT_NE(id, Id(i));
      links[Id(i)].insert(id);
      links[id].insert(Id(i));
    }
  }
  std::map<NodeId, int> steps{{Id(0), 0}};
  std::vector<NodeId> at{Id(0)};
  for (std::size_t next = 0; next < at.size(); ++next) {
    for (const NodeId& id : links[at[next]]) {
      if (steps.emplace(id, steps[at[next]] + 1).second) at.push_back(id);
    }
  }
  ASSERT_EQ(steps.size(), 64U);
  EXPECT_LE(steps[at.back()], 6);
}
TEST(Ring, OneMemberLessMovesOnlyTheConnectionsNextToIt) {
  MemberTable members = Members(64);
  const Ring ring = RingOf(members);
  std::map<NodeId, std::vector<NodeId>> before;
  for (int i = 0; i < 64; ++i) before[Id(i)] = ring.Holds(Id(i), 3);
  members[Id(17)].state = MemberState::kDead;
  int moved = 0;
  for (int i = 0; i < 64; ++i) {
    if (i != 17 && ring.Holds(Id(i), 3) != before[Id(i)]) ++moved;
    if (i != 17 && ring.Holds(Id(i), 3) != before[Id(i)]) {
      EXPECT_TRUE(std::binary_search(before[Id(i)].begin(), before[Id(i)].end(), Id(17)));
    }
  }
  EXPECT_GE(moved, 3);
}
TEST(Ring, SmallRingsHoldEachOther) {
  MemberTable members = Members(1);
  const Ring ring = RingOf(members);
  EXPECT_TRUE(ring.Holds(Id(0), 3).empty());
  members = Members(2);
  EXPECT_THAT(ring.Holds(Id(0), 3), ::testing::ElementsAre(Id(1)));
  EXPECT_THAT(ring.Nearest(Id(0), 5, false), ::testing::ElementsAre(Id(1)));
}

// The rule of the circle in few words, for any members and any who count.
std::vector<NodeId> NearestByTree(const MemberTable& members, NodeId id, std::size_t count, bool forward) {
  std::set<std::pair<std::uint64_t, NodeId>> places;
  for (const auto& [other, member] : members) {
    if (other != id && IsPresent(member.state)) places.emplace(Mix64(other.Prefix64()), other);
  }
  std::vector<NodeId> order;
  const auto split = places.lower_bound({Mix64(id.Prefix64()), id});
  for (auto at = split; at != places.end(); ++at) order.push_back(at->second);
  for (auto at = places.begin(); at != split; ++at) order.push_back(at->second);
  if (!forward) std::reverse(order.begin(), order.end());
  order.resize(std::min(order.size(), count));
  return order;
}
TEST(Ring, WalksTheHashesOfThoseWhoCountBothWays) {
  Prng prng(11);
  for (int round = 0; round < 300; ++round) {
    MemberTable members;
    const auto random = [&] { return Id(static_cast<int>(prng.Below(60))); };
    for (std::uint64_t i = prng.Below(40); i > 0; --i) members[random()].state = MemberState::kAlive;
    for (std::uint64_t i = prng.Below(20); i > 0; --i) members[random()].state = MemberState::kDead;
    const Ring ring = RingOf(members);
    for (const bool forward : {true, false}) {
      const NodeId id = random();  // a member or not
      const std::size_t count = prng.Below(8);
      ASSERT_EQ(ring.Nearest(id, count, forward), NearestByTree(members, id, count, forward));
    }
  }
}

TEST(PeerBook, FoldersAreMadeOnDemandAndCleanWhenReused) {
  PeerBook book;
  EXPECT_EQ(book.Find(5), nullptr);
  EXPECT_EQ(book.CardOf(5).heard_at, Time{});
  PeerBook::Folder& folder = book.FolderOf(5);
  folder.claim_rounds = 2;
  book.CardOf(5).heard_at = kStart;
  for (std::uint32_t slot = 0; slot < 500; ++slot) book.FolderOf(slot).next_retry = kStart;
  EXPECT_EQ(book.Find(5), &folder) << "a folder never moves";
  EXPECT_EQ(folder.claim_rounds, 2);
  book.Forget(5);
  EXPECT_EQ(book.Find(5), nullptr);
  EXPECT_EQ(book.CardOf(5).heard_at, Time{});
  EXPECT_EQ(book.FolderOf(700).claim_rounds, 0);
}

TEST(RefusalBook, CountsOneLifeAndForgets) {
  RefusalBook book;
  book.Add(Id(1), Id(2), 7, kStart);
  book.Add(Id(1), Id(3), 7, kStart + 1s);
  EXPECT_EQ(book.Witnesses(Id(1), 7, kStart + 1s).size(), 2U);
  EXPECT_TRUE(book.Witnesses(Id(1), 8, kStart + 1s).empty());
  EXPECT_EQ(book.Witnesses(Id(1), 7, kStart + RefusalBook::kClaimLife + 500ms).size(), 1U);
  book.Withdraw(Id(1), Id(3));
  EXPECT_FALSE(book.Has(Id(1), Id(3), 7, kStart + 1s));
}

TEST(Quarantine, TheFirstReturnIsFreeThenItDoublesAndIsForgiven) {
  Quarantine quarantine;
  EXPECT_EQ(quarantine.OnReturn(kStart, 10s, 60s), Time{});
  Time now = kStart;
  for (const Duration expected : {10s, 20s, 40s, 60s, 60s}) {
    now += 30s;
    EXPECT_EQ(quarantine.OnReturn(now, 10s, 60s), now + expected);
  }
  now += 121s;
  EXPECT_EQ(quarantine.OnReturn(now, 10s, 60s), Time{});
}

}  // namespace
}  // namespace hs
