#include "app/cli/words.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <map>

#include "app/cli/context.h"

namespace hs {

json::value ParseBody(const std::string& body) {
  json::error_code code;
  json::value value = json::parse(body, code);
  if (code) throw CliError("the node's answer is not JSON: " + code.message());
  return value;
}

std::string TextOf(const json::value& value) {
  std::string out;
  if (const auto* text = value.if_string()) {
    for (const char c : *text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  } else if (const auto* list = value.if_array()) {
    for (const auto& item : *list) out += (out.empty() ? "" : ",") + TextOf(item);
  } else if (const auto* object = value.if_object()) {
    for (const auto& [key, item] : *object) out += (out.empty() ? "" : ",") + Text(key) + "=" + TextOf(item);
  } else if (!value.is_null()) {
    out = json::serialize(value);
  }
  return out;
}

std::string Word(const json::value& object, const char* key) {
  const auto* fields = object.if_object();
  const auto* value = fields == nullptr ? nullptr : fields->if_contains(key);
  return value == nullptr ? "" : TextOf(*value);
}

json::value NodesForPeople(json::value nodes) {
  std::map<std::string, int> named;
  for (const auto& node : nodes.as_array()) ++named[Word(node, "name")];
  for (auto& node : nodes.as_array()) {
    const std::string name = Word(node, "name"), state = Word(node, "state");
    auto& fields = node.as_object();
    constexpr std::size_t kShortId = 8;
    if (named[name] > 1) fields["name"] = JsonText(name + " " + Word(node, "id").substr(0, kShortId));
    if (Word(node, "drained") == "true" && state != "left") fields["state"] = JsonText(state + ", drained");
  }
  return nodes;
}

std::string LocalTimeText(std::int64_t at_ms) {
  const std::time_t seconds = static_cast<std::time_t>(at_ms / 1000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", local);
}

std::string EventLine(const json::value& event) {
  const auto* fields = event.if_object();
  const auto* at = fields == nullptr ? nullptr : fields->if_contains("at_ms");
  const std::int64_t ms = at != nullptr && at->is_int64() ? at->get_int64() : 0;
  return fmt::format("{}.{:03} {} {}: {}", LocalTimeText(ms), ms % 1000, Word(event, "kind"),
                     Word(event, "subject"), Word(event, "cause"));
}

void PrintError(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void PrintLine(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
  if (std::fflush(stdout) != 0) throw CliError("cannot write to stdout");
}

}  // namespace hs
