#include "api/api.h"

#include "api/json.h"
#include "api/stack_json.h"

namespace hs {

ApiResponse ErrorResponse(int status, const std::string& message) {
  const json::object error{{"status", status}, {"message", SafeText(message)}};
  return {status, json::serialize(json::object{{"error", error}}), "application/json"};
}

ApiResponse ErrorResponse(const Error& error) {
  switch (error.reaction) {
    case Reaction::kFixInput:
      return ErrorResponse(400, error.message);
    case Reaction::kRetryLater:
      return ErrorResponse(503, error.message);
    case Reaction::kReconnect:
      return ErrorResponse(502, error.message);
    case Reaction::kRefuse:
      return ErrorResponse(403, error.message);
  }
  return ErrorResponse(500, error.message);
}

ApiResponse WriteDone(const WriteCommand& command, const Stamp& stamp) {
  json::array written;
  for (const auto& [key, unused] : command.documents) written.push_back(SafeText(key));
  return {200,
          json::serialize(json::object{{"stamp", JsonText(StampText(stamp))},
                                       {"written", std::move(written)},
                                       {"note", SafeText(command.note)}}),
          "application/json"};
}

ApiResponse JoinTokenShown(const std::string& token) {
  return {200, json::serialize(json::object{{"token", SafeText(token)}}), "application/json"};
}

ApiResponse LeaveAccepted(const LeaveCommand& command) {
  const char* note = command.at_once ? "the node stops what it runs and leaves"
                                     : "the node gives its work away and leaves when nothing runs here";
  return {200, json::serialize(json::object{{"note", note}}), "application/json"};
}

ApiResponse TokenCreated(const std::string& id, const std::string& token) {
  return {200, json::serialize(json::object{{"id", SafeText(id)}, {"token", SafeText(token)}}),
          "application/json"};
}

}  // namespace hs
