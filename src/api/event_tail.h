// What is new in the events of a view since the last look.
//
// Bodies are shared and never change, so a body's address, held alive here, tells whether it was seen before.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/node/view.h"

namespace hs {

class EventTail {
 public:
  EventTail(std::string subject, WallMs since_ms) : subject_(std::move(subject)), since_ms_(since_ms) {}

  // Every event that fits and was not returned before, oldest first.
  std::vector<Event> Next(const NodeView& view);

 private:
  std::string subject_;  // empty: any
  WallMs since_ms_;
  std::set<std::shared_ptr<const RecordBody>> seen_;
};

// "data: {...}\n\n"
std::string ServerSentEvent(const Event& event);

}  // namespace hs
