#include "api/log_json.h"

#include "api/json.h"

namespace hs {

std::string LogLineToJson(const LogLine& line) {
  return json::serialize(json::object{
             {"at_ms", line.at_ms}, {"replica", SafeText(line.replica)}, {"line", SafeText(line.line)}}) +
         "\n";
}

std::optional<LogLine> LogLineFromJson(std::string_view text) {
  json::error_code code;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), code);
  const auto* object = code ? nullptr : value.if_object();
  if (object == nullptr) return std::nullopt;
  const auto* at = object->if_contains("at_ms");
  const auto* replica = object->if_contains("replica");
  const auto* line = object->if_contains("line");
  if (at == nullptr || replica == nullptr || line == nullptr) return std::nullopt;
  if (!at->is_int64() || !replica->is_string() || !line->is_string()) return std::nullopt;
  return LogLine{at->get_int64(), Text(replica->get_string()), Text(line->get_string())};
}

}  // namespace hs
