// Boards in virtual time, for the tests beside it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "core/observation/board.h"

namespace hs {

inline NodeId Node(std::size_t n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}
inline std::shared_ptr<const RecordBody> Said(std::uint64_t number) {
  NodeReport report;
  report.plan.sequence = number;
  return std::make_shared<RecordBody>(report);
}
inline Event Happened(WallMs at) { return {at, NodeId{}, "test.event", "x", "because"}; }
inline std::uint64_t NumberIn(const std::shared_ptr<const RecordBody>& body) {
  return body == nullptr ? 0 : std::get<NodeReport>(*body).plan.sequence;
}

// Boards on a ring with links to the next one, over a network that loses, doubles and reorders.
class World {
 public:
  World(std::size_t size, std::uint64_t seed, Tunables tunables = {}) : tunables_(tunables), prng_(seed) {
    for (std::size_t i = 0; i < size; ++i) boots_.push_back(1);
    for (std::size_t i = 0; i < size; ++i) boards_.emplace_back(tunables_, Node(i), 1u);
    for (std::size_t i = 0; i < size; ++i) Connect(i);
  }
  void Restart(std::size_t i) {
    boards_[i].~Board();
    new (&boards_[i]) Board(tunables_, Node(i), ++boots_[i]);
    Connect(i);
  }
  void Connect(std::size_t i) {
    BoardPeers peers;
    for (std::size_t j = 0; j < boards_.size(); ++j) {
      if (j != i) peers.present.emplace_back(Node(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
    }
    Hand(i, peers);
    Hand(i, LinkUp{Node((i + 1) % boards_.size())});
    Hand(i, LinkUp{Node((i + boards_.size() - 1) % boards_.size())});
  }
  void Hand(std::size_t i, const BoardInput& input) {
    for (const BoardOutput& output : boards_[i].Step(now_, input)) {
      const auto* link = std::get_if<SendLink>(&output);
      if (link == nullptr) continue;
      if (const auto* push = std::get_if<RecordPush>(&link->message)) {
        floods_ += push->flood;
        Post(link->to, RecordsReceived{Node(i), *push});
      } else {
        ++offers_;
        Post(link->to, RecordOfferReceived{Node(i), std::get<RecordOffer>(link->message)});
      }
    }
  }
  void Run(Duration span) {
    for (const Time end = now_ + span; now_ < end; now_ += 5ms) {
      std::deque<Delivery> waiting;
      std::swap(waiting, queue_);
      for (Delivery& d : waiting) {
        if (d.at <= now_)
          Hand(d.to, d.input);
        else
          queue_.push_back(std::move(d));
      }
      for (std::size_t i = 0; i < boards_.size(); ++i) {
        if (prng_.Chance(0.02))
          Post(Node(prng_.Below(boards_.size())),
               BoardDigestHeard{Node(i), boards_[i].digest(), boards_[i].region_digest()});
        if (now_ >= boards_[i].NextDeadline()) Hand(i, Tick{});
      }
    }
  }
  bool Agree() const {
    for (const Board& board : boards_) {
      if (board.digest() != boards_[0].digest()) return false;
      for (std::size_t j = 0; j < boards_.size(); ++j) {
        if (NumberIn(board.Report(Node(j))) != NumberIn(boards_[0].Report(Node(j)))) return false;
      }
    }
    return true;
  }

  Tunables tunables_;
  Prng prng_;
  Time now_ = Time{} + 1h;
  double loss_ = 0;
  int offers_ = 0;
  int floods_ = 0;
  std::deque<Board> boards_;
  std::vector<std::uint32_t> boots_;

 private:
  struct Delivery {
    Time at;
    std::size_t to;
    BoardInput input;
  };
  void Post(NodeId to, const BoardInput& input) {
    if (prng_.Chance(loss_)) return;
    for (int copy = prng_.Chance(loss_) ? 2 : 1; copy > 0; --copy) {
      queue_.push_back(
          {now_ + prng_.Between(1ms, loss_ > 0 ? 60ms : 2ms), std::size_t{to.bytes[0]} - 1, input});
    }
  }
  std::deque<Delivery> queue_;
};

// Everybody linked to everybody, and each has spoken often enough to learn who brings news.
inline void LinkAll(World& world) {
  const std::size_t size = world.boards_.size();
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      if (j != i) world.Hand(i, LinkUp{Node(j)});
    }
  }
  for (std::uint64_t round = 0; round < 200; ++round) {
    world.Hand(round % size, Publish{RecordKind::kNodeReport, 0, Said(round + 1)});
    world.Run(50ms);
  }
}

}  // namespace hs
