// What a node says to everybody while members come and go without an end: little, and the same for any
// number.
#include <gtest/gtest.h>

#include <set>

#include "core/node/node_fixture_test.h"

namespace hs {
namespace {

class NodeStormTest : public NodeFixture {
 protected:
  void SetUp() override { GrowTo(3); }

  // Records of this kind that node 0 made and told node 1 or 2, each counted once.
  std::size_t OwnTold(RecordKind kind) {
    std::set<RecordVersion> versions;
    for (const auto& [at, send] : SaidBy<SendLink>(0)) {
      const auto* push = std::get_if<RecordPush>(&send.message);
      if (push == nullptr) continue;
      for (const Record& record : push->records) {
        if (record.key.kind == kind && record.key.owner == IdOf(0)) versions.insert(record.version);
      }
    }
    return versions.size();
  }
  // A member with nothing behind it says this of itself.
  void Says(int stranger, std::uint32_t counter, MemberState state) {
    MemberUpdate update{IdOf(stranger), BootId{7}, {1, counter}, state, {}, {}};
    if (state == MemberState::kAlive) {
      update.meta = MemberMeta{};
      update.meta.Edit().name = "x" + std::to_string(stranger);
      update.meta.Edit().address = AddressOf(stranger);
    }
    GossipMessage message{.body = News{}};
    message.updates = {update};
    Hand(0, DatagramReceived{IdOf(stranger), AddressOf(stranger), message});
  }
};

TEST_F(NodeStormTest, ComingsAndGoingsWithoutAnEndAreLoggedHereAndToldToAllAtAPace) {
  boxes_.at(0).said.clear();
  for (std::uint32_t turn = 1; turn <= 20; ++turn) {
    for (int stranger = 100; stranger < 120; ++stranger) Says(stranger, 2 * turn, MemberState::kAlive);
    Run(100ms);
    for (int stranger = 100; stranger < 120; ++stranger) Says(stranger, 2 * turn + 1, MemberState::kLeft);
    Run(100ms);
  }
  EXPECT_GE(EventsOf(0, "member.left").size(), 400U) << "its own log has them all";
  EXPECT_GE(OwnTold(RecordKind::kEvent), 20U);
  EXPECT_LE(OwnTold(RecordKind::kEvent), 60U) << "in four seconds";
}

}  // namespace
}  // namespace hs
