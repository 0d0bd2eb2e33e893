#include "wire/compose/scalars.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <utility>

namespace hs::compose {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A decimal number at the start of `text`, in units of 1/1,000,000; removes it. Numbers up to 1e12.
bool TakeDecimal(std::string_view& text, std::uint64_t& millionths) {
  std::uint64_t whole = 0, fraction = 0, scale = 100'000;
  std::size_t i = 0;
  for (; i < text.size() && IsDigit(text[i]); ++i) {
    whole = whole * 10 + static_cast<std::uint64_t>(text[i] - '0');
    if (whole > 1'000'000'000'000) return false;
  }
  bool any = i > 0;
  if (i < text.size() && text[i] == '.') {
    for (++i; i < text.size() && IsDigit(text[i]); ++i, scale /= 10) {
      any = true;
      fraction += static_cast<std::uint64_t>(text[i] - '0') * scale;
    }
  }
  if (!any) return false;
  millionths = whole * 1'000'000 + fraction;
  text.remove_prefix(i);
  return true;
}

struct SignalName {
  int number;
  std::string_view name;
};
constexpr std::array kSignals = {SignalName{1, "SIGHUP"},   SignalName{2, "SIGINT"},
                                 SignalName{3, "SIGQUIT"},  SignalName{6, "SIGABRT"},
                                 SignalName{9, "SIGKILL"},  SignalName{10, "SIGUSR1"},
                                 SignalName{12, "SIGUSR2"}, SignalName{14, "SIGALRM"},
                                 SignalName{15, "SIGTERM"}, SignalName{28, "SIGWINCH"}};

}  // namespace

Result<Duration> ParseDuration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kUnits = {{{"us", 1'000},
                                                                                {"ms", 1'000'000},
                                                                                {"s", 1'000'000'000},
                                                                                {"m", 60'000'000'000},
                                                                                {"h", 3'600'000'000'000}}};
  const auto wrong = [&] {
    return BadInput(fmt::format("\"{}\" is not a duration such as 500ms, 10s or 1m30s", text));
  };
  if (text.empty()) return wrong();
  constexpr double kMax = 10.0 * 365 * 24 * 3600 * 1e9;
  double total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::uint64_t millionths = 0;
    if (!TakeDecimal(rest, millionths)) return wrong();
    const auto* unit = kUnits.begin();
    for (; unit != kUnits.end(); ++unit) {
      // "m" is also the beginning of "ms": a unit ends where a digit or nothing follows.
      const std::string_view after = rest.substr(std::min(rest.size(), unit->first.size()));
      if (rest.starts_with(unit->first) && (after.empty() || IsDigit(after[0]))) break;
    }
    if (unit == kUnits.end()) return wrong();
    rest.remove_prefix(unit->first.size());
    total += static_cast<double>(millionths) * static_cast<double>(unit->second) / 1e6;
    if (total > kMax) return BadInput(fmt::format("\"{}\" is longer than ten years", text));
  }
  return Duration(static_cast<std::int64_t>(total));
}

Result<std::uint64_t> ParseBytes(std::string_view text) {
  const auto wrong = [&] {
    return BadInput(fmt::format("\"{}\" is not a size such as 64m, 512mb or 1.5g", text));
  };
  std::string_view rest = text;
  std::uint64_t millionths = 0;
  if (!TakeDecimal(rest, millionths)) return wrong();
  std::string unit;
  for (char c : rest) unit += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  int shift = -1;
  if (unit.empty() || unit == "b") shift = 0;
  if (unit == "k" || unit == "kb" || unit == "kib") shift = 10;
  if (unit == "m" || unit == "mb" || unit == "mib") shift = 20;
  if (unit == "g" || unit == "gb" || unit == "gib") shift = 30;
  if (unit == "t" || unit == "tb" || unit == "tib") shift = 40;
  if (shift < 0) return wrong();
  const unsigned __int128 bytes = (static_cast<unsigned __int128>(millionths) << shift) / 1'000'000;
  if (bytes > static_cast<std::uint64_t>(1) << 60)
    return BadInput(fmt::format("\"{}\" is more than any box has", text));
  return static_cast<std::uint64_t>(bytes);
}

Result<std::uint32_t> ParseMillicores(std::string_view text) {
  std::string_view rest = text;
  std::uint64_t millionths = 0;
  if (!TakeDecimal(rest, millionths) || !rest.empty()) {
    return BadInput(fmt::format("\"{}\" is not a number of CPUs such as 0.5 or 2", text));
  }
  if (millionths < 1'000 || millionths > 100'000ULL * 1'000'000) {
    return BadInput(fmt::format("{} CPUs: must be between 0.001 and 100000", text));
  }
  return static_cast<std::uint32_t>(millionths / 1'000);
}

Result<std::vector<std::string>> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {
      if (c == '\'')
        quote = 0;
      else
        word += c;
    } else if (c == '\\') {
      if (i + 1 == text.size()) return BadInput("ends with a backslash");
      const char next = text[++i];
      // Inside double quotes a backslash protects only these, as in POSIX sh.
      if (quote == '"' && next != '"' && next != '\\' && next != '$' && next != '`') word += c;
      word += next;
      in_word = true;
    } else if (quote == '"') {
      if (c == '"')
        quote = 0;
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return BadInput(fmt::format("a quote {} is not closed", quote));
  if (in_word) words.push_back(std::move(word));
  return words;
}

Result<std::string> ParseSignal(std::string_view text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool numeric = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  for (const SignalName& signal : kSignals) {
    if (numeric ? signal.number == number : text == signal.name || text == signal.name.substr(3)) {
      return std::string(signal.name);
    }
  }
  return BadInput(
      fmt::format("\"{}\" is not a signal that can ask a process to stop, such as SIGTERM or SIGINT", text));
}

}  // namespace hs::compose
