// What a controller plans: counts, spread and room, what it replaces and how patient it is. Redeploys are in
// redeploy_test.cc, stops and drains in stop_test.cc, moves in move_test.cc.
#include "core/placement/reconcile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Reconcile, StartsWhatIsWantedSpreadOverTheBoxesAndThenDoesNothing) {
  World w(3);
  w.Want(w.Spec("web", "1"), 6);
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 6);
  w.Settle();
  for (int n = 1; n <= 3; ++n) EXPECT_EQ(w.On(n), 2);
  EXPECT_EQ(w.Healthy("web"), 6);
  EXPECT_TRUE(w.update.report.pending.empty()) << w.update.report.pending.front();
  const auto slices = w.book.slices();
  for (int i = 0; i < 5; ++i) w.Round();
  EXPECT_EQ(w.book.slices(), slices);
  EXPECT_TRUE(w.update.decisions.empty());
}

TEST(Reconcile, SpreadsOverZonesBeforeBoxes) {
  World w(3);
  for (int n : {1, 2}) w.members[Box(n)].meta.Edit().labels["zone"] = "a";
  w.members[Box(3)].meta.Edit().labels["zone"] = "b";
  w.Want(w.Spec("web", "1"), 4);
  w.Settle();
  EXPECT_EQ(w.On(3), 2) << "zone b has one box and gets half";
}

TEST(Reconcile, ConstraintsChooseTheBox) {
  World w(3);
  w.members[Box(2)].meta.Edit().labels["ssd"] = "yes";
  ServiceSpec only = w.Spec("db", "1"), never = w.Spec("web", "1");
  only.constraints = {{"node.labels.ssd", "yes", true}};
  never.constraints = {{"node.labels.ssd", "yes", false}, {"node.id", Box(1).Hex(), false}};
  w.Want(only, 2);
  w.Want(never, 2);
  w.Settle();
  EXPECT_EQ(w.On(2, "db"), 2);
  EXPECT_EQ(w.On(3, "web"), 2);
}

TEST(Reconcile, WhatDoesNotFitIsShortWithTheNumbers) {
  struct Row {
    const char* why;
    void (*change)(World&, ServiceSpec&);
    std::uint32_t missing;
    const char* words;
  };
  const Row rows[] = {
      {"two of 5 GiB do not share 8 GiB",
       [](World&, ServiceSpec& s) { s.reserve.memory_bytes = std::uint64_t{5} << 30; }, 1,
       "lack memory (needs 5120 MiB, most free 3072 MiB)"},
      {"CPU likewise", [](World&, ServiceSpec& s) { s.reserve.cpu_millicores = 3000; }, 1,
       "lack CPU (needs 3000 millicores, most free 1000)"},
      {"no box has the label",
       [](World&, ServiceSpec& s) {
         s.constraints = {{"node.labels.ssd", "yes", true}};
       },
       3, "2 do not meet the placement constraints"},
      {"a name that nobody has",
       [](World&, ServiceSpec& s) {
         s.constraints = {{"node.hostname", "n9", true}};
       },
       3, "2 do not meet"},
      {"a form nobody knows never matches",
       [](World&, ServiceSpec& s) {
         s.constraints = {{"engine.x", "", true}};
       },
       3, "2 do not meet"},
      {"all drained",
       [](World& w, ServiceSpec&) {
         w.drained = {Box(1), Box(2)};
       },
       3, "2 drained"},
      {"all in quarantine",
       [](World& w, ServiceSpec&) {
         for (auto [id, m] : w.members) m.quarantined_until = w.now + 500s;
       },
       3, "2 in quarantine"},
      {"all suspect",
       [](World& w, ServiceSpec&) {
         w.SetState(1, MemberState::kSuspect), w.SetState(2, MemberState::kSuspect);
       },
       3, "2 not alive"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(2);
    ServiceSpec spec = w.Spec("web", "1");
    row.change(w, spec);
    w.Want(spec, 3);
    w.Settle();
    ASSERT_EQ(w.update.report.shortages.size(), 1U);
    EXPECT_EQ(w.update.report.shortages[0].missing, row.missing);
    EXPECT_THAT(w.update.report.shortages[0].reason, HasSubstr(row.words));
    EXPECT_TRUE(w.update.report.pending.empty()) << "short is steady";
  }
}

TEST(Reconcile, ReplacesAtOnceOnlyWhatIsLost) {
  struct Row {
    const char* why;
    MemberState state;
    WorkVerdict verdict;
    Duration after;
    bool replaced;
  };
  const Row rows[] = {
      {"suspicion proves nothing", MemberState::kSuspect, WorkVerdict::kUnknown, 0s, false},
      {"agent down, nobody knows more", MemberState::kAgentDown, WorkVerdict::kUnknown, 0s, false},
      {"agent down, the replica answers", MemberState::kAgentDown, WorkVerdict::kAnswering, 0s, false},
      {"agent down, the replica answers, just before patience ends", MemberState::kAgentDown,
       WorkVerdict::kAnswering, 9s, false},
      {"agent down, the replica refuses", MemberState::kAgentDown, WorkVerdict::kRefused, 0s, true},
      {"agent down, the whole box silent", MemberState::kAgentDown, WorkVerdict::kSilent, 0s, true},
      {"agent down for long", MemberState::kAgentDown, WorkVerdict::kAnswering, 10s, true},
      {"silent", MemberState::kUnreachable, WorkVerdict::kUnknown, 0s, true},
      {"dead", MemberState::kDead, WorkVerdict::kUnknown, 0s, true},
      {"left", MemberState::kLeft, WorkVerdict::kUnknown, 0s, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(3);
    w.Want(w.Spec("web", "1"), 3);
    w.Settle();
    w.SetState(2, row.state);
    for (const auto& status : w.reports[Box(2)].replicas) w.evidence[status.id] = row.verdict;
    w.now += row.after;
    w.Plan();
    EXPECT_EQ(w.Decided("plan.start"), row.replaced ? 1 : 0);
    EXPECT_EQ(w.Decided("plan.stop"), 0);
    w.Settle();
    if (row.replaced) {
      EXPECT_EQ(w.Healthy("web"), 3);
    }
  }
}

TEST(Reconcile, WhatABoxWasToStartWhenItsAgentWentIsStartedElsewhereAtOnce) {
  World w(3);
  w.Want(w.Spec("web", "1"), 1);
  w.boxes_act = false;
  w.Round();
  int chosen = 0;
  for (int n = 1; n <= 3; ++n) chosen = w.draft.nodes[Box(n)].empty() ? chosen : n;
  ASSERT_NE(chosen, 0);
  w.boxes_act = true;
  w.SetState(chosen, MemberState::kAgentDown);
  w.Round();
  w.Round();
  w.Round();
  EXPECT_EQ(w.Healthy("web"), 1);
}

TEST(Reconcile, AfterItsOwnStartItWaitsForMembersItHasNotSeen) {
  World w(3);
  w.Want(w.Spec("web", "1"), 3);
  w.Settle();
  w.started_at = w.now;
  w.SetState(2, MemberState::kUnreachable);
  w.members[Box(2)].seen_this_run = false;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 0);
  w.now += w.tunables.start_patience;
  w.Plan();
  EXPECT_EQ(w.Decided("plan.start"), 1);
}

TEST(Reconcile, AfterItsOwnStartItWaitsForBoxesItHasNotHeard) {
  struct Row {
    const char* why;
    void (*miss)(World&);
    const char* words;
  };
  const Row rows[] = {
      {"a present box may run what nobody knows of", [](World& w) { w.reports.erase(Box(2)); },
       "n2 has not reported yet"},
      {"so may a box that only the disk remembers", [](World& w) { w.unmet = {"n3"}; },
       "n3 has not been met yet"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.why);
    World w(2);
    w.Want(w.Spec("web", "1"), 2);
    w.started_at = w.now;
    row.miss(w);
    w.Plan();
    EXPECT_EQ(w.Decided("plan.start"), 0);
    ASSERT_THAT(w.draft.pending, Not(IsEmpty()));
    EXPECT_THAT(w.draft.pending.front(), HasSubstr(row.words));
    w.now += w.tunables.start_patience;
    w.Plan();
    EXPECT_EQ(w.Decided("plan.start"), 2);
  }
}

TEST(Reconcile, ReplicasNobodyPlannedAreAdopted) {
  World w(2);
  w.Want(w.Spec("web", "1"), 2);
  w.Settle();
  const auto before = w.Where();
  w.book = PlanBook{Box(2)};  // another controller that knows only reports
  w.Settle();
  EXPECT_EQ(w.Where(), before);
}

// Whatever happens to the boxes, once it stops happening the cluster reaches its counts and then rests.
TEST(Reconcile, FromAnyHistoryItReachesTheSameCountsAndRests) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng chaos(seed);
    World w(5);
    w.prng = Prng(seed * 31);
    const char* names[] = {"web", "api"};
    for (int i = 0; i < 40; ++i) {
      const int n = 1 + static_cast<int>(chaos.Below(5));
      switch (chaos.Below(8)) {
        case 0:
          w.SetState(n, MemberState::kUnreachable);
          break;
        case 1:
          w.SetState(n, MemberState::kAlive);
          break;
        case 2:
          w.SetState(n, MemberState::kAgentDown);
          break;
        case 3:
          w.drained.contains(Box(n)) ? w.drained.erase(Box(n)), 0 : (w.drained.insert(Box(n)), 0);
          break;
        case 4:
          w.Want(w.Spec(names[chaos.Below(2)], std::to_string(chaos.Below(3))), chaos.Below(6));
          break;
        case 5:
          w.book = PlanBook{Box(1 + static_cast<int>(chaos.Below(5)))};
          break;
        default:
          break;
      }
      w.Round();
    }
    for (int n = 1; n <= 5; ++n) w.SetState(n, MemberState::kAlive);
    w.drained.clear();
    w.Want(w.Spec("web", "9"), 4);
    w.Want(w.Spec("api", "9"), 3);
    w.Settle(300);
    EXPECT_EQ(w.Healthy("web", HashOf(w.Spec("web", "9"))), 4);
    EXPECT_EQ(w.Healthy("api", HashOf(w.Spec("api", "9"))), 3);
    EXPECT_EQ(w.Where().size(), 7U);
    EXPECT_TRUE(w.update.report.pending.empty()) << w.update.report.pending.front();
  }
}

}  // namespace
}  // namespace hs
