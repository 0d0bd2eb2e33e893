// Calls to the API, for tests.
#pragma once

#include "api/api.h"
#include "api/json.h"
#include "api/view_fixture_test.h"

namespace hs {

inline const Who kTester{"test", true};

inline ApiResult Ask(const NodeView& view, const std::string& method, const std::string& target,
                     const std::string& body = "", std::optional<Who> who = kTester) {
  const auto mark = target.find('?');
  return Handle(
      {method, target.substr(0, mark), mark == std::string::npos ? "" : target.substr(mark + 1), body, who},
      view);
}

inline json::value Body(const ApiResult& result) {
  const auto* response = std::get_if<ApiResponse>(&result);
  if (response == nullptr) return nullptr;
  json::error_code code;
  return json::parse(response->body, code);
}

inline int StatusOf(const ApiResult& result) {
  const auto* response = std::get_if<ApiResponse>(&result);
  return response == nullptr ? 0 : response->status;
}

}  // namespace hs
