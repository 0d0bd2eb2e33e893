// What is due when: the earliest first, among equals the one armed first.
//
// Intuition: a diary for what may be crossed out, and a spike for slips that will be looked at in any case.
// Most timers of a node that is losing half its cluster are of the second kind (when does each suspicion
// end), and a slip on a spike takes a third of a line in a diary. Invariants: one order over both kinds, by
// (time, number of arming); nothing fires twice; what was disarmed does not count for Next().
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/grow.h"
#include "base/time.h"

namespace hs {

template <typename What>
class TimerQueue {
 public:
  // To disarm it with. Stays of no effect after it fired.
  struct Handle {
    Time at = kNever;
    std::uint64_t number = 0;  // 0: none
    friend auto operator<=>(const Handle&, const Handle&) = default;
  };

  Handle Arm(Time at, What what) {
    const Handle handle{at, ++last_};
    diary_.emplace(handle, std::move(what));
    return handle;
  }
  // Cannot be disarmed but by Clear().
  void ArmForGood(Time at, What what) {
    MakeRoom(slips_);
    slips_.push_back({{at, ++last_}, std::move(what)});
    std::push_heap(slips_.begin(), slips_.end(), After);
  }
  void Disarm(Handle& handle) {
    diary_.erase(handle);
    handle = {};
  }
  template <typename Predicate>
  void DisarmIf(Predicate predicate) {
    std::erase_if(diary_, [&](const auto& entry) { return predicate(entry.second); });
  }
  void Clear() {
    diary_.clear();
    slips_.clear();
  }

  bool empty() const { return diary_.empty() && slips_.empty(); }
  std::size_t size() const { return diary_.size() + slips_.size(); }
  // kNever: nothing.
  Time Next() const {
    const Time written = diary_.empty() ? kNever : diary_.begin()->first.at;
    return slips_.empty() ? written : std::min(written, slips_.front().due.at);
  }
  What TakeFirst() {
    HS_CHECK(!empty());
    if (slips_.empty() || (!diary_.empty() && diary_.begin()->first < slips_.front().due)) {
      What what = std::move(diary_.begin()->second);
      diary_.erase(diary_.begin());
      return what;
    }
    std::pop_heap(slips_.begin(), slips_.end(), After);
    What what = std::move(slips_.back().what);
    slips_.pop_back();
    return what;
  }

 private:
  struct Slip {
    Handle due;
    What what;
  };
  static bool After(const Slip& a, const Slip& b) { return b.due < a.due; }  // std heaps: least on top

  std::map<Handle, What> diary_;
  std::vector<Slip> slips_;
  std::uint64_t last_ = 0;
};

}  // namespace hs
