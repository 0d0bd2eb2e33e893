// When each service may next be moved for balance: the controller's memory of its own moves.
//
// Like the wait before moving the furniture once more: after a move that went well a short breath, after one
// that went wrong (the newcomer never got healthy on that box) ten minutes, and twice as long each further
// time, so that a box that cannot run something does not get it again and again.
//
// A new controller starts without it: at worst it tries a failing move once more.
#pragma once

#include <map>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "base/tunables.h"

namespace hs {

class MoveBook {
 public:
  explicit MoveBook(const Tunables& tunables) : tunables_(tunables) {}

  // The versions of services whose moves one plan began, and those whose moves it gave up.
  void Note(Time now, const std::vector<SpecHash>& begun, const std::vector<SpecHash>& failed);
  // The earliest time of the next move; Time{} when nothing speaks against one.
  Time NotBefore(SpecHash service) const;

 private:
  struct Entry {
    Time not_before{};
    unsigned failures = 0;  // in the last day
    Time failed_at{};
  };
  const Tunables& tunables_;
  std::map<SpecHash, Entry> entries_;
};

}  // namespace hs
