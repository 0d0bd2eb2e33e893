#include "wire/check.h"

#include <algorithm>

#include "wire/names.h"

namespace hs::wire {

namespace {
constexpr Duration kDurationMax = 24h * 3650;
}  // namespace

bool Check::Fail(std::string_view field, std::string_view why) {
  if (!error_.empty()) return false;
  for (const Step& step : path_) {
    if (!error_.empty()) error_ += '.';
    error_ += step.name;
    if (step.index != kNoIndex) error_ += '[' + std::to_string(step.index) + ']';
  }
  if (!field.empty()) error_.append(".").append(field);
  error_.append(": ").append(why);
  return false;
}

bool Check::TakeBytes(const std::string& bytes, std::uint8_t* out, std::size_t size, std::string_view field,
                      Zero zero) {
  if (bytes.empty() && zero == Zero::kAllowed) {
    std::fill_n(out, size, 0);
    return true;
  }
  if (bytes.size() != size) {
    return Fail(field, "must have " + std::to_string(size) + " bytes, has " + std::to_string(bytes.size()));
  }
  if (std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; })) return Fail(field, "is zero");
  std::copy(bytes.begin(), bytes.end(), out);
  return true;
}

bool Check::TakeWall(std::int64_t value, WallMs& out, std::string_view field) {
  if (value < 0 || value > kWallMax) return Fail(field, "not a time between 1970 and 9999");
  out = value;
  return true;
}

bool Check::TakeDuration(std::uint64_t nanoseconds, Duration& out, std::string_view field) {
  if (nanoseconds > static_cast<std::uint64_t>(kDurationMax.count()))
    return Fail(field, "longer than ten years");
  out = Duration(static_cast<std::int64_t>(nanoseconds));
  return true;
}

bool Check::TakeText(const std::string& text, std::size_t size_max, std::string& out,
                     std::string_view field) {
  if (text.size() > size_max) return Fail(field, "longer than " + std::to_string(size_max) + " bytes");
  if (!IsText(text, size_max)) return Fail(field, "not UTF-8 text");
  out = text;
  return true;
}

bool Check::TakeServiceName(const std::string& text, std::string& out, std::string_view field) {
  if (!IsServiceName(text)) return Fail(field, "not a name of a-z, 0-9 and -, at most 63");
  out = text;
  return true;
}

void Check::LeaveOut(std::string words) {
  constexpr std::size_t kNamed = 8;  // of what may be a whole list of them
  if (left_out_.size() < kNamed) left_out_.push_back(std::move(words));
}

bool Check::TakeCount(int count, std::size_t max, std::string_view field) {
  return Need(static_cast<std::size_t>(count) <= max, field,
              std::to_string(count) + " entries, at most " + std::to_string(max));
}

}  // namespace hs::wire
