// How long each service's replicas take from the decision to serving, as the controller sees it.
//
// A stop-watch per newcomer, started when it is first seen and read when it is first healthy. One that is
// slower than all before counts at once, one that is faster only in part: planning for too short a start is
// what hurts.
#pragma once

#include <map>
#include <string>

#include "base/ids.h"
#include "base/time.h"

namespace hs {

class StartTimes {
 public:
  // One replica as it is seen now. A look at all of them ends with Forget.
  void See(Time now, const std::string& service, ReplicaId id, bool healthy);
  // Drops the replicas not seen in the look that began at `since`.
  void Forget(Time since);

  // By service; absent until one start was watched from its beginning.
  const std::map<std::string, Duration>& start_up() const { return start_up_; }

 private:
  struct Watch {
    Time first;  // kNever: it was healthy when first seen, or has been read
    Time seen;
  };
  std::map<ReplicaId, Watch> watches_;
  std::map<std::string, Duration> start_up_;
};

}  // namespace hs
