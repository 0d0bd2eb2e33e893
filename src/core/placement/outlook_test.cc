#include "core/placement/outlook.h"

#include <gtest/gtest.h>

#include "core/placement/test_world.h"

namespace hs {
namespace {

struct Scene {
  World world{4};
  std::map<std::string, CountByNode> occupied;

  CountByNode Web() {
    return Outlook({.now = world.now,
                    .settled = world.now,
                    .patience = 10s,
                    .members = world.members,
                    .drained = world.drained,
                    .services = world.services,
                    .occupied = occupied})
        .at("web");
  }
};

TEST(Outlook, WhatIsEvenStaysAndWhatIsMissingIsPutWhereLeastIs) {
  Scene s;
  s.world.Want(s.world.Spec("web", "1"), 4);
  s.occupied["web"] = {{Box(1), 1}, {Box(2), 1}};
  EXPECT_EQ(s.Web(), (CountByNode{{Box(1), 1}, {Box(2), 1}, {Box(3), 1}, {Box(4), 1}}));
  s.occupied["web"] = s.Web();
  EXPECT_EQ(s.Web(), s.occupied["web"]);
}

TEST(Outlook, IsMovedUntilItIsEven) {
  Scene s;
  s.world.Want(s.world.Spec("web", "1"), 4);
  s.occupied["web"] = {{Box(1), 4}};
  EXPECT_EQ(s.Web(), (CountByNode{{Box(1), 1}, {Box(2), 1}, {Box(3), 1}, {Box(4), 1}}));
}

TEST(Outlook, WorkOfDrainedAndLostBoxesIsElsewhere) {
  Scene s;
  s.world.Want(s.world.Spec("web", "1"), 2);
  s.occupied["web"] = {{Box(1), 1}, {Box(2), 1}};
  s.world.drained = {Box(1)};
  s.world.SetState(2, MemberState::kUnreachable);
  EXPECT_EQ(s.Web(), (CountByNode{{Box(3), 1}, {Box(4), 1}}));
  s.world.SetState(2, MemberState::kAgentDown);
  EXPECT_TRUE(s.Web().contains(Box(2))) << "its agent may be back in a moment";
  s.world.now += 11s;
  EXPECT_FALSE(s.Web().contains(Box(2)));
}

TEST(Outlook, WhatFindsNoRoomIsInNoCount) {
  Scene s;
  ServiceSpec spec = s.world.Spec("web", "1");
  spec.reserve.cpu_millicores = 3000;
  s.world.Want(spec, 9);
  std::uint32_t sum = 0;
  for (const auto& [node, count] : s.Web()) sum += count;
  EXPECT_EQ(sum, 4U);
}

}  // namespace
}  // namespace hs
