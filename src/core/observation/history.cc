#include "core/observation/history.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hs {
namespace {

constexpr std::int64_t kInUseSeconds = 10;

std::int64_t SecondOf(Time at) {
  return std::chrono::floor<std::chrono::seconds>(at.time_since_epoch()).count();
}

}  // namespace

const float* History::Roll::Find(std::int64_t second) const {
  if (second < 0) return nullptr;
  const Block& block = blocks[static_cast<std::size_t>(second / kBlockSeconds % kBlocks)];
  if (block.values == nullptr || block.number != second / kBlockSeconds) return nullptr;
  const float& value = (*block.values)[static_cast<std::size_t>(second % kBlockSeconds)];
  return std::isnan(value) ? nullptr : &value;
}

History::Roll* History::RollFor(std::string_view series, std::int64_t second) {
  if (const auto found = series_.find(series); found != series_.end()) return &found->second;
  if (series_max_ == 0) return nullptr;
  std::erase_if(series_, [&](const auto& item) { return item.second.newest <= second - kSeconds; });
  if (series_.size() >= series_max_) {
    const auto oldest =
        std::ranges::min_element(series_, {}, [](const auto& item) { return item.second.newest; });
    if (oldest->second.newest > second - kInUseSeconds) return nullptr;
    series_.erase(oldest);
    ++dropped_;
  }
  return &series_[std::string(series)];
}

void History::Add(Time now, std::string_view series, double value) {
  const std::int64_t second = SecondOf(now);
  if (second < 0 || !std::isfinite(static_cast<float>(value))) return;
  Roll* roll = RollFor(series, second);
  if (roll == nullptr) {
    ++refused_;
    return;
  }
  if (second <= roll->newest - kSeconds) return;
  Block& block = roll->blocks[static_cast<std::size_t>(second / kBlockSeconds % kBlocks)];
  if (block.values == nullptr) block.values = std::make_unique<Values>();
  if (block.number != second / kBlockSeconds) {
    block.number = second / kBlockSeconds;
    block.values->fill(std::numeric_limits<float>::quiet_NaN());
  }
  (*block.values)[static_cast<std::size_t>(second % kBlockSeconds)] = static_cast<float>(value);
  roll->newest = std::max(roll->newest, second);
}

std::vector<HistoryPoint> History::Range(std::string_view series, Time from, Time to, Duration step) const {
  std::vector<HistoryPoint> points;
  const auto found = series_.find(series);
  if (found == series_.end() || to < from) return points;
  const Roll& roll = found->second;
  const std::int64_t step_s =
      std::max<std::int64_t>(1, std::chrono::floor<std::chrono::seconds>(step).count());
  const std::int64_t first = SecondOf(from);
  const std::int64_t last = std::min(SecondOf(to), roll.newest);
  // Whole steps that are older than anything kept are skipped, so that the work is bounded.
  const std::int64_t kept = roll.newest - kSeconds + 1;
  const std::int64_t begin = kept > first ? first + (kept - first) / step_s * step_s : first;
  for (std::int64_t at = begin; at <= last; at += step_s) {
    double sum = 0;
    float max = std::numeric_limits<float>::lowest();
    int count = 0;
    for (std::int64_t second = std::max(at, kept); second <= std::min(at + step_s - 1, last); ++second) {
      const float* value = roll.Find(second);
      if (value == nullptr) continue;
      sum += *value;
      max = std::max(max, *value);
      ++count;
    }
    if (count > 0) points.push_back({Time(std::chrono::seconds(at)), static_cast<float>(sum / count), max});
  }
  return points;
}

std::vector<std::string> History::Series() const {
  std::vector<std::string> names;
  for (const auto& [name, roll] : series_) names.push_back(name);
  return names;
}

std::size_t History::bytes() const {
  std::size_t bytes = 0;
  for (const auto& [name, roll] : series_) {
    bytes += sizeof(Roll) + name.size();
    for (const Block& block : roll.blocks) bytes += block.values == nullptr ? 0 : sizeof(Values);
  }
  return bytes;
}

}  // namespace hs
