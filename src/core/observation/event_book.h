// The events of all nodes, as one board keeps them: the newest so many, and of each owner its last one.
//
// Like the log of a port: a page for each ship, lines added at the end, and when the shelf is full the oldest
// line anywhere is struck out, save for the last one on a page.
//
// Invariants:
//  1. Not more than `kept_max`, or one for each owner where there are more owners than that.
//  2. Two books that hold the same last event of each owner have the same digest, whatever else they hold.
//  3. An event older than all that a full book keeps is no news to it: were it, two full books would tell
//     each other of it for ever.
// Most events come several times, by several ways: that one is known is seen at the end of its owner's page.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/flat_map.h"
#include "core/messages.h"

namespace hs {

// Which record and version, as one number: equal on all nodes.
std::uint64_t HashOfVersion(const RecordKey& key, RecordVersion version);

class EventBook {
 public:
  explicit EventBook(std::size_t kept_max) : kept_max_(kept_max) {}

  // False: known, or too old.
  bool Put(const Record& record);
  // Which change of the caller waits to be passed on with it; null: this version of it is not kept.
  std::uint32_t* WaitingOf(const Record& record);

  // The last one of each life of each owner, in the order of keys.
  void AddLastOfLives(std::vector<std::pair<RecordKey, RecordVersion>>& held) const;
  // Those of a life that came after `known`; nothing: all of them.
  void AddLaterOf(NodeId owner, std::uint32_t boot, std::optional<RecordVersion> known,
                  std::vector<Record>& records) const;
  std::vector<std::shared_ptr<const RecordBody>> OldestFirst() const;

  std::uint64_t digest() const { return digest_; }  // 0 without any
  std::size_t size() const { return size_; }

 private:
  struct Line {
    std::uint64_t number;
    RecordVersion version;
    WallMs at;
    std::uint32_t waiting = 0;
    std::shared_ptr<const RecordBody> body;
  };
  struct Page {
    std::vector<Line> lines;     // by number
    std::size_t struck_out = 0;  // of them, at the front: they go in one piece when they are many
    bool Empty() const { return struck_out == lines.size(); }
    auto Begin() { return lines.begin() + static_cast<std::ptrdiff_t>(struck_out); }
    std::span<const Line> Lines() const { return std::span(lines).subspan(struck_out); }
    std::uint64_t last = 0;  // the number of that with the greatest version
    RecordVersion last_version;
  };
  struct Age {
    WallMs at;
    NodeId owner;
    std::uint64_t number;
    friend auto operator<=>(const Age&, const Age&) = default;
  };

  static std::vector<Line>::iterator Find(Page& page, std::uint64_t number);
  bool IsTooOld(const Page& page, const Record& record, WallMs at) const;
  void Remove(NodeId owner, Page& page, std::vector<Line>::iterator line);
  void AddSpare(const Age& age);
  void DropOld();

  std::size_t kept_max_;
  FlatMap<NodeId, Page> pages_;  // of each owner that has a line
  std::vector<Age> spare_;       // those that are not the last of their owner: a heap, the oldest in front
  std::size_t size_ = 0;
  std::uint64_t digest_ = 0;
};

}  // namespace hs
