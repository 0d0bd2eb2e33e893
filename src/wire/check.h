// Remembers the first thing that is wrong with a message, and where: the customs officer's notebook.
//
// Every Take* function writes its result only when the field is right, and otherwise notes "path: why". After
// the first note all further ones are ignored, so callers check ok() where going on would cost something.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace hs::wire {

inline constexpr int kNoIndex = -1;
// Year 9999: beyond it, arithmetic on stamps would be nobody's intention.
inline constexpr WallMs kWallMax = 253'402'300'800'000;

class Check {
 public:
  explicit Check(std::string_view root) { path_.push_back({root, kNoIndex}); }

  bool ok() const { return error_.empty(); }
  Error error() const { return Error{Reaction::kFixInput, error_}; }

  // Notes that `field` (empty: the present path itself) is wrong. Always returns false.
  bool Fail(std::string_view field, std::string_view why);
  // Fails unless `condition` holds; returns it.
  bool Need(bool condition, std::string_view field, std::string_view why) {
    return condition || Fail(field, why);
  }

  // Steps into a field while it lives.
  class Scope {
   public:
    Scope(Check& check, std::string_view name, int index = kNoIndex) : check_(check) {
      check_.path_.push_back({name, index});
    }
    ~Scope() { check_.path_.pop_back(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Check& check_;
  };

  enum class Zero { kAllowed, kRefused };

  // An id of exactly its size; empty is the zero id where that is allowed.
  template <typename Id>
  bool TakeId(const std::string& bytes, Id& out, std::string_view field, Zero zero = Zero::kRefused) {
    return TakeBytes(bytes, out.bytes.data(), Id::kBytes, field, zero);
  }
  template <typename Int>
  bool TakeNumber(std::uint64_t value, std::uint64_t max, Int& out, std::string_view field) {
    if (value > max) return Fail(field, "out of range");
    out = static_cast<Int>(value);
    return true;
  }
  bool TakeWall(std::int64_t value, WallMs& out, std::string_view field);
  bool TakeDuration(std::uint64_t nanoseconds, Duration& out, std::string_view field);
  // UTF-8 without NUL.
  bool TakeText(const std::string& text, std::size_t size_max, std::string& out, std::string_view field);
  bool TakeServiceName(const std::string& text, std::string& out, std::string_view field);
  bool TakeCount(int count, std::size_t max, std::string_view field);

  // An entry of a list that is wrong by itself and is left out, so that it does not take the others with it.
  void LeaveOut(std::string words);
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  struct Step {
    std::string_view name;
    int index;
  };
  bool TakeBytes(const std::string& bytes, std::uint8_t* out, std::size_t size, std::string_view field,
                 Zero zero);

  std::vector<Step> path_;
  std::string error_;
  std::vector<std::string> left_out_;
};

}  // namespace hs::wire
