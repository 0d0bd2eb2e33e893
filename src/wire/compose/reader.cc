#include "wire/compose/reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "wire/compose/scalars.h"
#include "wire/names.h"

namespace hs::compose {
namespace {

constexpr std::size_t kProblemsShown = 20;
constexpr std::size_t kProblemsKept = 1000;

const char* KindName(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "text";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a mapping";
  }
  return "?";
}

// What a person typed may be long or hold control characters: shown short and clean.
std::string Shown(std::string_view text) {
  std::string shown = CleanText(text, 80);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return shown.size() < text.size() ? shown + "..." : shown;
}

}  // namespace

std::string Reader::Format(Mark mark, std::string_view path, std::string_view what) const {
  return fmt::format("{}:{}:{}: {}{}{}", file_name_, mark.line, mark.column, path, path.empty() ? "" : ": ",
                     what);
}

void Reader::Problem(Mark mark, std::string_view path, std::string_view why) {
  if (problems_.size() < kProblemsKept) problems_.push_back({mark, Format(mark, path, why)});
}

void Reader::Warn(const Spot& spot, std::string_view what) {
  if (warnings_.size() < kProblemsKept) warnings_.push_back({spot.mark, Format(spot.mark, spot.path, what)});
}

std::string Reader::Place(const Spot& spot) const {
  return fmt::format("{}:{}:{}: {}", file_name_, spot.mark.line, spot.mark.column, spot.path);
}

std::optional<std::string> Reader::Text(const Spot& spot) {
  if (spot.node->kind != YamlNode::Kind::kScalar) {
    Problem(spot, fmt::format("must be text, not {}", KindName(*spot.node)));
    return std::nullopt;
  }
  std::vector<std::string> unset;
  auto text = Interpolate(spot.node->text, options_.variables, unset);
  if (!text) {
    Problem(spot, text.error().message);
    return std::nullopt;
  }
  for (const auto& name : unset)
    Warn(spot, fmt::format("the variable {} is not set; nothing takes its place", Shown(name)));
  if (!IsText(*text, kComposeBytesMax)) {
    Problem(spot, "is not UTF-8 text");
    return std::nullopt;
  }
  return std::move(*text);
}

std::optional<std::string> Reader::NonEmpty(const Spot& spot) {
  auto text = Text(spot);
  if (text && text->empty()) {
    Problem(spot, "is empty");
    return std::nullopt;
  }
  return text;
}

std::optional<bool> Reader::Bool(const Spot& spot) {
  const auto text = Text(spot);
  if (!text) return std::nullopt;
  if (!spot.node->quoted && (*text == "true" || *text == "True" || *text == "TRUE")) return true;
  if (!spot.node->quoted && (*text == "false" || *text == "False" || *text == "FALSE")) return false;
  Problem(spot, fmt::format("must be true or false, not \"{}\"", Shown(*text)));
  return std::nullopt;
}

std::optional<std::int64_t> Reader::Integer(const Spot& spot, std::int64_t min, std::int64_t max) {
  const auto text = Text(spot);
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  if (parsed.ec == std::errc::invalid_argument || parsed.ptr != text->data() + text->size()) {
    Problem(spot, fmt::format("must be a whole number, not \"{}\"", Shown(*text)));
    return std::nullopt;
  }
  if (parsed.ec != std::errc() || value < min || value > max) {
    Problem(spot, fmt::format("{}: must be between {} and {}", Shown(*text), min, max));
    return std::nullopt;
  }
  return value;
}

std::optional<Duration> Reader::TakeDuration(const Spot& spot, Duration min, Duration max) {
  const auto text = Text(spot);
  if (!text) return std::nullopt;
  const auto duration = ParseDuration(*text);
  if (!duration) {
    Problem(spot, Shown(duration.error().message));
    return std::nullopt;
  }
  if (*duration < min || *duration > max) {
    Problem(spot, fmt::format("{}: must be between {} ms and {} ms", Shown(*text), ToMs(min), ToMs(max)));
    return std::nullopt;
  }
  return *duration;
}

std::optional<std::vector<std::string>> Reader::Words(const Spot& spot) {
  std::vector<std::string> words;
  if (spot.node->kind == YamlNode::Kind::kList) {
    for (const Spot& entry : List(spot)) {
      auto word = Text(entry);
      if (!word) return std::nullopt;
      words.push_back(std::move(*word));
    }
  } else {
    const auto text = Text(spot);
    if (!text) return std::nullopt;
    auto split = SplitWords(*text);
    if (!split) {
      Problem(spot, split.error().message);
      return std::nullopt;
    }
    words = std::move(*split);
  }
  if (words.empty() || words[0].empty()) {
    Problem(spot, "names no program");
    return std::nullopt;
  }
  if (words.size() > 1024) {
    Problem(spot, "has more than 1024 words");
    return std::nullopt;
  }
  return words;
}

std::vector<Spot> Reader::List(const Spot& spot) {
  std::vector<Spot> spots;
  if (spot.node->kind != YamlNode::Kind::kList) {
    Problem(spot, fmt::format("must be a list, not {}", KindName(*spot.node)));
    return spots;
  }
  for (std::size_t i = 0; i < spot.node->list.size(); ++i) {
    const YamlPtr& node = spot.node->list[i];
    spots.push_back({node, node->mark, fmt::format("{}[{}]", spot.path, i)});
  }
  return spots;
}

std::vector<std::pair<std::string, Spot>> Reader::Map(const Spot& spot) {
  std::vector<std::pair<std::string, Spot>> entries;
  if (spot.node->kind != YamlNode::Kind::kMap) {
    Problem(spot, fmt::format("must be a mapping, not {}", KindName(*spot.node)));
    return entries;
  }
  for (const YamlEntry& entry : spot.node->map) {
    const std::string path = spot.path.empty() ? Shown(entry.key) : spot.path + "." + Shown(entry.key);
    entries.emplace_back(entry.key, Spot{entry.value, entry.mark, path});
  }
  return entries;
}

void Reader::Keys(const Spot& spot, std::span<const Handler> handlers) {
  for (const auto& [key, entry] : Map(spot)) {
    const auto found =
        std::find_if(handlers.begin(), handlers.end(), [&](const Handler& h) { return h.key == key; });
    if (found != handlers.end()) {
      found->handle(entry);
      continue;
    }
    const std::string hint = HintFor(key, handlers);
    Problem(entry, hint.empty() ? "is not supported" : "is not supported: " + hint);
  }
}

Error Reader::TakeError() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const Note& a, const Note& b) {
    return std::pair(a.mark.line, a.mark.column) < std::pair(b.mark.line, b.mark.column);
  });
  std::string message;
  for (std::size_t i = 0; i < problems_.size() && i < kProblemsShown; ++i) {
    if (i > 0) message += '\n';
    message += problems_[i].text;
  }
  if (problems_.size() > kProblemsShown) {
    message += fmt::format("\n{}: and {} more", file_name_, problems_.size() - kProblemsShown);
  }
  return Error{Reaction::kFixInput, std::move(message)};
}

std::vector<std::string> Reader::TakeWarnings() {
  std::vector<std::string> texts;
  for (Note& warning : warnings_) texts.push_back(std::move(warning.text));
  return texts;
}

}  // namespace hs::compose
