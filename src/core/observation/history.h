// An hour of what was measured, one value a second, by series.
//
// Intuition: the paper roll of a weather station. New values are written at its end, what is older than an
// hour falls off, and when the shelf is full the roll that nobody has written on for longest makes room.
//
// Bounded memory: a series takes at most 15.4 kB and its name (31 blocks of 120 floats; a block is made when
// its first value comes), all together at most series_max times that. A series without a value for an hour is
// dropped. When there are series_max and one more comes, the one written least recently goes, unless that was
// within the last 10 s: then all are in use, and the new one is refused, since otherwise they would throw
// each other out each second. Both are counted.
//
// Time is monotonic: a calendar clock that jumps tears no hole. Not here: what the series are.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace hs {

struct HistoryPoint {
  Time at;         // the begin of the step
  float mean = 0;  // of the seconds within the step that have a value
  float max = 0;
  friend bool operator==(const HistoryPoint&, const HistoryPoint&) = default;
};

class History {
 public:
  static constexpr std::int64_t kSeconds = 3600;
  static constexpr std::size_t kSeriesMaxDefault = 512;  // 7.9 MB at the most

  explicit History(std::size_t series_max = kSeriesMaxDefault) : series_max_(series_max) {}

  // The value of this second; a second one replaces it. What is not finite, or older than an hour before the
  // series' newest, is left out.
  void Add(Time now, std::string_view series, double value);

  // Steps from `from` to `to`, both included, as far as there are values; at least 1 s long, begun at `from`
  // cut down to its second. Steps without a value have no point. Empty for an unknown series.
  std::vector<HistoryPoint> Range(std::string_view series, Time from, Time to, Duration step) const;

  std::vector<std::string> Series() const;  // sorted
  bool Has(std::string_view series) const { return series_.contains(series); }
  std::uint64_t dropped() const { return dropped_; }  // series that made room
  std::uint64_t refused() const { return refused_; }  // values of series for which there was no room
  std::size_t bytes() const;                          // of values held, allocated

 private:
  static constexpr std::int64_t kBlockSeconds = 120;
  // One more than the hour needs, since the newest is mostly not full.
  static constexpr std::int64_t kBlocks = kSeconds / kBlockSeconds + 1;

  using Values = std::array<float, kBlockSeconds>;  // NaN: none
  struct Block {
    std::int64_t number = -1;  // second / kBlockSeconds of its first value
    std::unique_ptr<Values> values;
  };
  struct Roll {
    std::int64_t newest = -1;  // second
    std::array<Block, kBlocks> blocks;
    const float* Find(std::int64_t second) const;
  };

  Roll* RollFor(std::string_view series, std::int64_t second);

  std::size_t series_max_;
  std::map<std::string, Roll, std::less<>> series_;
  std::uint64_t dropped_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace hs
