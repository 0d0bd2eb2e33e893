// How long a node keeps the bundles of code, and where it gets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

using NodeBundlesTest = NodeFixture;

TEST_F(NodeBundlesTest, ABundleGoesWhenNoRevisionAndNoReplicaRefersToItForAWhile) {
  tunables_.bundle_keep = 60s;
  const auto with_bundle = [&](int digest) {
    ServiceSpec web = Service("web", 1);
    web.bundle = DigestOf(digest);
    return web;
  };
  Start(0, -1, [&](BootState& boot) { boot.bundles = {DigestOf(1), DigestOf(2)}; });
  Start(1, 0);
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && boxes_.at(1).disk.size() == 2; }, 30s));
  Deploy(0, {with_bundle(1)}, 1);
  Run(10s);
  Deploy(0, {with_bundle(2)}, 2);
  Run(200s);
  for (const int i : {0, 1}) EXPECT_THAT(boxes_.at(i).disk, SizeIs(2)) << "the former revision is kept";
  // Revision 1 goes: its bundle follows, after the grace, on all nodes and for good.
  Hand(0, ClientWrite{RequestId{99}, {{StackKey("shop", 1), std::monostate{}}}});
  Run(55s);
  for (const int i : {0, 1}) EXPECT_THAT(boxes_.at(i).disk, SizeIs(2));
  Run(10s);
  for (const int i : {0, 1}) EXPECT_THAT(boxes_.at(i).disk, ElementsAre(DigestOf(2))) << "node " << i;
  Run(300s);
  for (const int i : {0, 1}) EXPECT_THAT(boxes_.at(i).disk, ElementsAre(DigestOf(2))) << "node " << i;
  EXPECT_THAT(SaidBy<DropBundle>(0), SizeIs(1));
  EXPECT_EQ(RunningInAll(), 1U);
}

TEST_F(NodeBundlesTest, ABundleThatIsWantedAgainIsFetchedAgain) {
  tunables_.bundle_keep = 60s;
  Start(0);
  Start(1, 0, [&](BootState& boot) { boot.bundles = {DigestOf(1)}; });
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && boxes_.at(0).disk.size() == 1; }, 30s));
  ASSERT_TRUE(RunUntil([&] { return boxes_.at(0).disk.empty() || boxes_.at(1).disk.empty(); }, 120s));
  boxes_.at(0).disk.insert(DigestOf(1));  // uploaded again
  Hand(0, BundleReady{DigestOf(1)});
  ServiceSpec web = Service("web", 2);
  web.bundle = DigestOf(1);
  Deploy(0, {web});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 2; }, 30s));
  EXPECT_EQ(RunningOn(1), 1U);
}

TEST_F(NodeBundlesTest, ABundleThatIsFoundDamagedIsFetchedAgainAndNotSaidToBeHeld) {
  Start(0, -1, [&](BootState& boot) { boot.bundles = {DigestOf(1)}; });
  Start(1, 0);
  ASSERT_TRUE(RunUntil([&] { return AllSteady() && boxes_.at(1).disk.size() == 1; }, 30s));
  boxes_.at(1).disk.clear();
  boxes_.at(1).said.clear();
  Hand(1, BundleFailed{DigestOf(1), "damaged on disk"});
  ASSERT_TRUE(RunUntil([&] { return boxes_.at(1).disk.size() == 1; }, 2s));
  EXPECT_THAT(EventsOf(1, "bundle.lost"), SizeIs(1));
  Run(10ms);
  // Where nobody has it any more it is said to be held nowhere.
  for (const int i : {0, 1}) boxes_.at(i).disk.clear();
  for (const int i : {0, 1}) Hand(i, BundleFailed{DigestOf(1), "gone"});
  Run(1s);
  EXPECT_TRUE(std::get<NodeReport>(*ViewOf(1).reports.at(IdOf(1))).bundles.empty());
}

}  // namespace
}  // namespace hs
