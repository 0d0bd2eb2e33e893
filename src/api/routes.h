// The one table of all paths: the router and the OpenAPI document both read it, so neither can lie about the
// other.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "api/api.h"

namespace hs {

// A request whose path matched: the words that stood for {name} parts, and the query's parts, both
// percent-decoded.
struct RouteCall {
  const ApiRequest& request;
  const NodeView& view;
  std::map<std::string, std::string> path;
  std::map<std::string, std::string> query;

  bool HasFlag(const std::string& key) const {
    const auto it = query.find(key);
    return it != query.end() && it->second == "1";
  }
};

enum class Access { kPublic, kRead, kAdmin };

struct QueryRow {
  std::string_view name;
  std::string_view meaning;
  bool flag = false;  // 1 or 0
};

struct RouteRow {
  std::string_view method;
  std::string_view pattern;  // /v1/nodes/{node}/drain
  Access access;
  std::string_view summary;
  ApiResult (*handler)(const RouteCall&);
  std::span<const QueryRow> query{};
  std::string_view body{};  // what the request's body is, in words; empty: none
  bool wide = false;        // needs to know the replicas of all regions
};

std::span<const RouteRow> RouteTable();

std::string OpenApiText();

// Percent-decoding; nullopt when malformed or when it hides a NUL or a control character.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);
std::optional<std::map<std::string, std::string>> ParseQuery(std::string_view query);

}  // namespace hs
