#include "api/event_tail.h"

#include "api/find.h"
#include "api/json.h"

namespace hs {

std::vector<Event> EventTail::Next(const NodeView& view) {
  std::vector<Event> fresh;
  std::set<std::shared_ptr<const RecordBody>> present;
  for (const auto& body : view.events) {
    const auto* event = body == nullptr ? nullptr : std::get_if<Event>(body.get());
    if (event == nullptr) continue;
    present.insert(body);
    if (seen_.contains(body) || event->at_ms < since_ms_) continue;
    if (subject_.empty() || IsAbout(event->subject, subject_)) fresh.push_back(*event);
  }
  seen_ = std::move(present);  // what the view forgot cannot come back
  return fresh;
}

std::string ServerSentEvent(const Event& event) {
  return "data: " + json::serialize(EventJson(event)) + "\n\n";
}

}  // namespace hs
