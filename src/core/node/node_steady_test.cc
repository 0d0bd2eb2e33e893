// How soon a large cluster knows that all hold the same documents.
#include <gtest/gtest.h>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

class NodeSteadyTest : public NodeFixture {
 protected:
  static constexpr int kNodes = 40;

  // Seconds until all are steady, in which each node measures itself once; `limit` when they never were.
  int SecondsUntilSteady(int limit) {
    for (int second = 1; second <= limit; ++second) {
      for (auto& [i, box] : boxes_) {
        LoadMeasured measured;
        measured.report.nodes.push_back({.node = box.id, .cores = 4});
        Hand(i, measured);
      }
      if (RunUntil([&] { return AllSteady(); }, 1s)) return second;
    }
    return limit;
  }
};

// To hear it from each of the others by chance would take each node about half a minute.
TEST_F(NodeSteadyTest, LoadReportsAndControllersSayWhoHoldsTheSameDocuments) {
  Start(0);
  for (int i = 1; i < kNodes; ++i) Start(i, 0);
  ASSERT_LT(SecondsUntilSteady(90), 90);
  for (int turn = 0; turn < 3; ++turn) {
    Write(turn, QuotaKey("services"), QuotaDoc{"services", 1000u + static_cast<std::uint32_t>(turn)});
    ASSERT_TRUE(RunUntil([&] { return !AllSteady(); }, 5s));
    EXPECT_LE(SecondsUntilSteady(60), 4);
  }
}

// Whoever has other documents than the rest is named, whatever was said before.
TEST_F(NodeSteadyTest, OneThatHoldsOtherDocumentsIsPending) {
  GrowTo(3);
  const NodeId controller = ViewOf(0).controller;
  const int other = IdOf(1) == controller ? 2 : 1;
  LoadReport report;
  report.nodes.push_back({.node = IdOf(other), .cores = 4, .documents = 77});
  GossipMessage message{.body = News{}};
  message.intent_digest = 77;
  for (const int i : {0, 1, 2}) {
    if (i != other) Hand(i, DatagramReceived{IdOf(other), AddressOf(other), message});
  }
  Run(1s);
  const int leader = controller == IdOf(0) ? 0 : controller == IdOf(1) ? 1 : 2;
  Hand(leader, LinkReceived{IdOf(other), report});
  Hand(leader, DatagramReceived{IdOf(other), AddressOf(other), message});
  EXPECT_FALSE(ViewOf(leader).steady.steady);
  EXPECT_TRUE(RunUntil([&] { return AllSteady(); }, 30s));
}

}  // namespace
}  // namespace hs
