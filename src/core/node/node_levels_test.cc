// How many of each service a node holds to be wanted.
#include <gtest/gtest.h>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

class NodeLevelsTest : public NodeFixture {
 protected:
  std::uint32_t Wanted(int i, const std::string& name) {
    for (const DesiredService& service : ViewOf(i).services) {
      if (service.spec.name == name) return service.replicas;
    }
    return 0;
  }
  // Three nodes and a `web` of one to nine replicas, which has one.
  bool StartScaled() {
    GrowTo(3);
    ServiceSpec web = Service("web", 1);
    web.scale = ScaleSpec{.min = 1, .max = 9};
    Deploy(0, {web});
    return RunUntil([&] { return RunningInAll() == 1 && AllSteady(); }, 30s);
  }
  static int FirstBut(int i, NodeId other) {
    int first = 0;
    while (first == i || IdOf(first) == other) ++first;
    return first;
  }
};

TEST_F(NodeLevelsTest, AQuotaHoldsAndIsLiftedAlsoWhereNothingIsMeasured) {
  GrowTo(3);
  Deploy(0, {Service("web", 4)});
  ASSERT_TRUE(RunUntil([&] { return RunningInAll() == 4 && AllSteady(); }, 30s));
  Write(0, QuotaKey("services"), QuotaDoc{"services", 2});
  EXPECT_TRUE(RunUntil([&] { return RunningInAll() == 2 && AllSteady(); }, 30s));
  Write(0, QuotaKey("services"), {});
  EXPECT_TRUE(RunUntil([&] { return RunningInAll() == 4 && AllSteady(); }, 30s));
}

// Its own moment, at which it would sum up what was said long before, does not come at all here.
TEST_F(NodeLevelsTest, WhatABusyNodeMeasuredIsAnsweredWithoutWaiting) {
  ASSERT_TRUE(StartScaled());
  const NodeId controller = ViewOf(0).controller;
  for (int i = 0; i < 3; ++i) Hand(i, LoadMeasured{{{{.node = IdOf(i)}}, {}}, {}});
  Run(500ms);
  const int busy = FirstBut(-1, controller);
  LoadReport report{{{.node = IdOf(busy)}}, {}};
  report.services.push_back({.service = "web", .arrivals_s = 100, .completions_s = 100, .in_flight = 5});
  Hand(busy, LoadMeasured{report, {}});
  EXPECT_TRUE(RunUntil([&] { return RunningInAll() == 5; }, 1s));
}

// It may have governed with a greater term while it saw few others.
TEST_F(NodeLevelsTest, TheWordOfAControllerThatGaveUpIsNotTakenForThatOfTheOneThatGoverns) {
  ASSERT_TRUE(StartScaled());
  const NodeId controller = ViewOf(0).controller;
  for (const int i : {0, 1, 2}) {
    if (IdOf(i) == controller) continue;
    const int former = FirstBut(i, controller);
    RegionReport report{.region = 0, .stamp = {1000, IdOf(former), 1}};
    report.levels = {{"web", 7, 7, 0, "as it was"}};
    const std::uint32_t boot = ViewOf(i).members.at(static_cast<std::size_t>(former)).incarnation.boot;
    RecordPush push{{{{RecordKind::kRegionReport, IdOf(former), 0},
                      {boot, 1000},
                      std::make_shared<const RecordBody>(report)}}};
    Hand(i, LinkReceived{IdOf(former), push});
    EXPECT_EQ(Wanted(i, "web"), 1U) << "node " << i;
  }
}

}  // namespace
}  // namespace hs
