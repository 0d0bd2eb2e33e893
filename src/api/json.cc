#include "api/json.h"

namespace hs {
namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`; 0 when there is none (RFC 3629, table in
// section 4).
std::size_t SequenceLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!tail(1) || !tail(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;  // longer than needed
    if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

json::string SafeText(std::string_view text) {
  json::string out;
  while (!text.empty()) {
    const std::size_t length = SequenceLength(text);
    if (length == 0) {
      out.append("\xef\xbf\xbd");
      text.remove_prefix(1);
    } else {
      out.append(json::string_view(text.data(), length));
      text.remove_prefix(length);
    }
  }
  return out;
}

json::object EventJson(const Event& event) {
  return {{"at_ms", event.at_ms},
          {"node", event.node.Hex()},
          {"kind", SafeText(event.kind)},
          {"subject", SafeText(event.subject)},
          {"cause", SafeText(event.cause)}};
}

json::array ShortagesJson(const std::vector<Shortage>& shortages) {
  json::array out;
  for (const Shortage& shortage : shortages) {
    out.push_back(json::object{{"service", SafeText(shortage.service)},
                               {"missing", shortage.missing},
                               {"of", ToString(shortage.of)},
                               {"reason", SafeText(shortage.reason)}});
  }
  return out;
}

}  // namespace hs
