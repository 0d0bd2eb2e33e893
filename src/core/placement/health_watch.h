// Since when each replica has been seen ailing (preparing, starting, backing off or unhealthy).
//
// A stop-watch per patient, started when the observer first sees it unwell and cleared when it is well. It is
// the observer's own clock, so boxes with wrong calendars do not matter; a new controller starts from its own
// first look, which lets a failing redeploy wait a little longer and nothing else.
#pragma once

#include "core/placement/reconcile.h"

namespace hs {

class HealthWatch {
 public:
  void Observe(Time now, const NodeReports& reports);
  const UnhealthySince& since() const { return since_; }

 private:
  UnhealthySince since_;
};

}  // namespace hs
