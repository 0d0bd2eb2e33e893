#include "api/exposition.h"

#include <fmt/format.h>

#include <cmath>

namespace hs {
namespace {

// Label values: backslash, quote and newline are escaped; help texts have no quotes to escape (Prometheus
// exposition format, "Comments, help text, and type information").
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);  // the shortest that reads back as the same
}

}  // namespace

void Exposition::Head(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void Exposition::Part(std::string_view suffix, MetricLabels labels, double value) {
  out_ += name_;
  out_ += suffix;
  char separator = '{';
  for (const auto& [key, text] : labels) {
    out_ += fmt::format("{}{}=\"{}\"", separator, key, Escape(text));
    separator = ',';
  }
  if (labels.size() > 0) out_ += '}';
  out_ += fmt::format(" {}\n", Number(value));
}

}  // namespace hs
