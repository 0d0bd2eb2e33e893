#include "runtime/sense/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace hs {
namespace {

std::string_view WithoutBlanks(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Behind the labels, whose quoted values may hold anything; npos where they do not end.
std::size_t EndOfLabels(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text[i] == '}') {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// Printable, so that an app cannot write into people's terminals.
std::string Shown(std::string_view text) {
  std::string shown(text.substr(0, 40));
  std::ranges::replace_if(
      shown, [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

}  // namespace

Result<double> FindMetric(std::string_view text, std::string_view name) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return BadInput("the answer is empty");
  double sum = 0;
  bool found = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = WithoutBlanks(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.starts_with(name)) continue;
    std::string_view rest = line.substr(name.size());
    if (rest.empty() || (rest[0] != '{' && rest[0] != ' ' && rest[0] != '\t')) continue;  // a longer name
    rest = WithoutBlanks(rest);
    if (rest.starts_with('{')) {
      const std::size_t labels = EndOfLabels(rest);
      if (labels == std::string_view::npos) return BadInput(fmt::format("the labels of {} do not end", name));
      rest = WithoutBlanks(rest.substr(labels));
    }
    const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
    double value = 0;
    const auto [last, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    const bool is_number = failure == std::errc() && last == word.data() + word.size() && !word.empty();
    if (!is_number || !std::isfinite(value) || value < 0)
      return BadInput(fmt::format("{} is '{}', which is no number from 0 up", name, Shown(word)));
    sum += value;
    found = true;
  }
  if (!found) return BadInput(fmt::format("there is no metric {}", name));
  if (sum > static_cast<double>(std::numeric_limits<float>::max()))
    return BadInput(fmt::format("{} is beyond all bounds", name));
  return sum;
}

}  // namespace hs
