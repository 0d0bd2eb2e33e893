// What a node does for the sake of clusters of hundreds and thousands, of which it is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/membership/mini_network.h"

namespace hs {
namespace {

constexpr Time kStart{1h};
constexpr int kSelf = 1 << 14;  // by ids between the first members and the last

Endpoint AddressOf(int i) {
  return {IpAddress::V4(10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)), 7700};
}

MemberUpdate WordOf(int i, std::uint32_t counter = 0) {
  MemberUpdate word{MiniNetwork::IdOf(i), BootId{2}, {1, counter}, MemberState::kAlive, MemberMeta{}, {}};
  word.meta.Edit().address = AddressOf(i);
  return word;
}

MemberUpdate EndOf(int i, MemberState state = MemberState::kUnreachable) {
  return {MiniNetwork::IdOf(i),
          BootId{2},
          {1, 0},
          state,
          {},
          {{MiniNetwork::IdOf(1000), MiniNetwork::IdOf(1001)}}};
}
using StateOf = std::function<MemberState(int)>;

// One node that was just told of all others, and what it says to what it hears.
class OneOfMany {
 public:
  explicit OneOfMany(
      int others, std::uint64_t seed = 1, const std::vector<int>& gone = {},
      const StateOf& state = [](int) { return MemberState::kUnreachable; })
      : node_(Tunables{}, Self(), Prng(seed), kStart) {
    PushPull table;
    for (int i = 0; i < others; ++i) {
      table.members.push_back(WordOf(i));
      if (std::ranges::find(gone, i) != gone.end()) table.members.push_back(EndOf(i, state(i)));
    }
    HearTable({}, 0, table);
  }

  std::vector<Membership::Output> Hear(Duration at, int from, GossipBody body, std::uint32_t digest = 0,
                                       std::vector<MemberUpdate> updates = {}) {
    DatagramReceived said{MiniNetwork::IdOf(from), AddressOf(from), {}};
    said.message.body = std::move(body);
    said.message.members_digest = digest;
    said.message.updates = std::move(updates);
    return node_.Hear(NowAt(at), said);
  }
  void Answer(Duration at, NodeId from, std::uint32_t sequence) {
    DatagramReceived answer{from, node_.members().at(from).meta->address, {}};
    answer.message.body = Ack{sequence};
    node_.Hear(NowAt(at), answer);
  }
  std::vector<Membership::Output> HearTable(Duration at, int from, const PushPull& table) {
    return node_.Hear(NowAt(at), MiniNetwork::IdOf(from), table);
  }
  std::vector<Membership::Output> Tick(Duration at) { return node_.Step(NowAt(at), hs::Tick{}); }
  const Membership& node() const { return node_; }

  // Tables among what it says, to anybody or to one.
  static int Tables(const std::vector<Membership::Output>& outputs, std::optional<int> to = {}) {
    return static_cast<int>(std::ranges::count_if(outputs, [to](const auto& output) {
      const auto* link = std::get_if<SendLink>(&output);
      return link != nullptr && (!to || link->to == MiniNetwork::IdOf(*to));
    }));
  }

 private:
  static MembershipSelf Self() {
    MembershipSelf self{MiniNetwork::IdOf(kSelf), BootId{1}, 1, {}};
    self.meta.address = AddressOf(kSelf);
    return self;
  }
  static Now NowAt(Duration at) { return {kStart + at, 0}; }

  Membership node_;
};

// A table from beyond a healed cut: of so many whom it calls gone, a node follows up those next to itself.
TEST(MembershipLarge, OfATableThatCallsManyGoneEachNodeFollowsUpAFew) {
  for (const int gone : {40, 150}) {
    OneOfMany one(200);
    ASSERT_EQ(one.node().PresentCount(), 201U);
    PushPull table;
    std::vector<NodeId> called;
    for (int i = 0; i < gone; ++i) {
      table.members.push_back(EndOf(i));
      called.push_back(MiniNetwork::IdOf(i));
    }
    std::set<NodeId> asked;
    for (const auto& output : one.HearTable({}, 0, table)) {
      const auto* send = std::get_if<SendDatagram>(&output);
      if (send != nullptr && std::holds_alternative<Ping>(send->message.body)) asked.insert(send->to);
    }
    std::ranges::sort(called);
    const NodeId self = MiniNetwork::IdOf(kSelf);
    std::rotate(called.begin(), std::lower_bound(called.begin(), called.end(), self), called.end());
    called.resize(std::min<std::size_t>(called.size(), 64));
    EXPECT_EQ(asked, std::set<NodeId>(called.begin(), called.end())) << gone;
  }
}

// When each of so many sends a table first, from the moment that everybody differs.
std::set<Duration> FirstTables(int others) {
  std::set<Duration> first;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    OneOfMany one(others, seed);
    bool sent = false;
    for (Duration at{}; !sent && at < 10s; at += 50ms) {
      for (int from = 1; from <= 30 && !sent; ++from)
        sent = OneOfMany::Tables(one.Hear(at, from, News{}, 4711)) > 0;
      if (sent) first.insert(at);
    }
    EXPECT_TRUE(sent);
  }
  return first;
}

TEST(MembershipLarge, WhenAllFindThatTheyDifferTheirTablesTravelOneAfterTheOther) {
  EXPECT_LE(*FirstTables(40).rbegin(), 2s) << "small ones need not wait";
  const std::set<Duration> first = FirstTables(1000);
  EXPECT_GE(first.size(), 8U);
  EXPECT_LE(*first.rbegin(), 4100ms) << "a millisecond for each member, twice";
}

TEST(MembershipLarge, WhoHearsThoseThatDifferRarelyExchangesTablesAllTheSame) {
  OneOfMany one(1000);
  int tables = 0;
  // Twelve seconds apart, while all that it hears keeps the storm going.
  for (Duration at{}; at < 60s; at += 100ms) {
    one.Tick(at);
    one.Hear(at, 8, News{}, 0, {WordOf(100 + static_cast<int>(at / 100ms) % 800, 1)});
    if (at % 12s == Duration{}) tables += OneOfMany::Tables(one.Hear(at, 7, News{}, 4711), 7);
  }
  EXPECT_GE(tables, 2);
}

TEST(MembershipLarge, WhoIsLeftBehindIsToldThoughAllOthersAgree) {
  OneOfMany one(1000);
  int tables = 0;
  for (Duration at{}; at < 30s; at += 100ms) {
    one.Tick(at);
    one.Hear(at, 8, News{}, one.node().MembersDigest());
    if (at % 1s == Duration{}) tables += OneOfMany::Tables(one.Hear(at, 7, News{}, 4711), 7);
  }
  EXPECT_GE(tables, 2);
}

// `table_first`: the first that it hears of the other in this storm is a table.
void ExpectThatADifferenceOfAnEarlierStormIsNotOfThisOne(bool table_first) {
  OneOfMany one(600);
  // It wakes in time, and all but one answer it.
  Duration now{};
  const auto run_to = [&](Duration at) {
    for (; now < at; now += 50ms) {
      for (const auto& output : one.Tick(now)) {
        const auto* send = std::get_if<SendDatagram>(&output);
        if (send == nullptr || send->to == MiniNetwork::IdOf(7)) continue;
        if (const auto* ping = std::get_if<Ping>(&send->message.body))
          one.Answer(now, send->to, ping->sequence);
      }
    }
  };
  // All that it was told is a storm; then somebody differs, as is to be expected.
  run_to(1s);
  int tables = 0;
  const auto hear = [&] { tables += OneOfMany::Tables(one.Hear(now, 7, News{}, 4711), 7); };
  hear();
  // The next storm, later than a digest counts.
  run_to(15s);
  for (int i = 100; i < 500; i += 10) {
    std::vector<MemberUpdate> news;
    for (int k = i; k < i + 10; ++k) news.push_back(WordOf(k, 1));
    one.Hear(now, 8, News{}, 0, news);
  }
  if (table_first) one.HearTable(now, 7, {});
  for (; now < 17s; run_to(now + 100ms)) hear();
  EXPECT_EQ(tables, 0) << "of this storm it does not differ for long yet";
  for (; now < 19s; run_to(now + 100ms)) hear();
  EXPECT_EQ(tables, 1);
}

TEST(MembershipLarge, ADifferenceOfAnEarlierStormIsNotOfThisOne) {
  ExpectThatADifferenceOfAnEarlierStormIsNotOfThisOne(false);
  ExpectThatADifferenceOfAnEarlierStormIsNotOfThisOne(true);
}

// How many others are asked to try one that does not answer.
std::size_t RelaysOf(int others) {
  OneOfMany one(others);
  std::map<std::uint32_t, std::size_t> asked;  // by the question's number
  for (Duration at{}; at < 5s && asked.empty(); at += 10ms) {
    for (const auto& output : one.Tick(at)) {
      const auto* send = std::get_if<SendDatagram>(&output);
      if (send == nullptr) continue;
      if (const auto* request = std::get_if<PingRequest>(&send->message.body)) ++asked[request->sequence];
    }
  }
  return asked.empty() ? 0 : asked.begin()->second;
}

TEST(MembershipLarge, OneRelayMoreIsAskedWhereThereAreTenTimesAsManyMembers) {
  EXPECT_EQ(RelaysOf(300), 3U);
  EXPECT_EQ(RelaysOf(700), 4U);
  EXPECT_EQ(RelaysOf(6500), 5U);
}

// Of whom it asks within a second of hearing that one of many silent ones is back.
TEST(MembershipLarge, WhenOneIsBackSomeOfTheSilentAreTriedSoonAlsoWhereMostThatWentAreDead) {
  std::vector<int> gone;
  for (int i = 0; i < 600; ++i) gone.push_back(i);
  OneOfMany one(1200, 1, gone,
                [](int i) { return i % 8 == 0 ? MemberState::kUnreachable : MemberState::kDead; });
  std::set<NodeId> silent;
  const auto listen = [&](const std::vector<Membership::Output>& outputs) {
    for (const auto& output : outputs) {
      const auto* send = std::get_if<SendDatagram>(&output);
      if (send == nullptr || !std::holds_alternative<Ping>(send->message.body)) continue;
      if (one.node().members().at(send->to).state == MemberState::kUnreachable) silent.insert(send->to);
    }
  };
  listen(one.Hear(10ms, 0, News{}, 0, {WordOf(0, 1)}));
  for (Duration at = 10ms; at < 1100ms; at += 10ms) listen(one.Tick(at));
  EXPECT_GE(silent.size(), 8U) << "ten are tried in a second, and these come first";
}

// How many of a hundred nodes exchange tables with one that they had lost and find again.
int ExchangersOf(int others) {
  int exchangers = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    OneOfMany one(others, seed, {5});
    std::optional<std::uint32_t> question;
    Duration at{};
    for (; !question && at < 5s; at += 10ms) {
      for (const auto& output : one.Tick(at)) {
        const auto* send = std::get_if<SendDatagram>(&output);
        if (send == nullptr || send->to != MiniNetwork::IdOf(5)) continue;
        if (const auto* ping = std::get_if<Ping>(&send->message.body)) question = ping->sequence;
      }
    }
    EXPECT_TRUE(question) << "who went is tried again";
    exchangers += OneOfMany::Tables(one.Hear(at, 5, Ack{question.value_or(0)}));
  }
  return exchangers;
}

TEST(MembershipLarge, WhenACutHasHealedAsManyExchangeTablesWithWhomTheyFindAgainAsInASmallerCluster) {
  EXPECT_EQ(ExchangersOf(100), 100);
  const int some = ExchangersOf(1024);
  EXPECT_GT(some, 10) << "a fourth";
  EXPECT_LT(some, 40);
}

}  // namespace
}  // namespace hs
