#include "core/intent/keys.h"

#include <algorithm>
#include <charconv>

namespace hs {
namespace {

constexpr std::size_t kNameMax = 63;

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Decimal without leading zeros, so that one revision has one key.
std::optional<std::uint64_t> ParseRevision(std::string_view text) {
  if (text.empty() || text.front() == '0') return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<NodeId> ParseNode(std::string_view hex) {
  const auto id = NodeId::FromHex(hex);
  if (!id || !*id || id->Hex() != hex) return std::nullopt;
  return id;
}

}  // namespace

std::string StackKey(std::string_view stack, std::uint64_t revision) {
  return "stack/" + std::string(stack) + "/" + std::to_string(revision);
}
std::string ScaleKey(std::string_view service) { return "scale/" + std::string(service); }
std::string DrainKey(NodeId node) { return "drain/" + node.Hex(); }
std::string TokenKey(std::string_view id) { return "token/" + std::string(id); }
std::string NodeKey(NodeId node) { return "node/" + node.Hex(); }
std::string QuotaKey(std::string_view subject) { return "quota/" + std::string(subject); }

bool IsValidName(std::string_view name) {
  if (name.empty() || name.size() > kNameMax || !IsLetterOrDigit(name.front())) return false;
  return std::ranges::all_of(name,
                             [](char c) { return IsLetterOrDigit(c) || c == '-' || c == '_' || c == '.'; });
}

std::optional<ParsedKey> ParseKey(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view kind = key.substr(0, slash);
  const std::string_view rest = key.substr(slash + 1);
  ParsedKey parsed;
  if (kind == "stack") {
    const std::size_t second = rest.find('/');
    if (second == std::string_view::npos || !IsValidName(rest.substr(0, second))) return std::nullopt;
    const auto revision = ParseRevision(rest.substr(second + 1));
    if (!revision) return std::nullopt;
    parsed.kind = KeyKind::kStack;
    parsed.name = rest.substr(0, second);
    parsed.revision = *revision;
    return parsed;
  }
  if (kind == "scale" || kind == "token" || kind == "quota") {
    if (!IsValidName(rest)) return std::nullopt;
    parsed.kind = kind == "scale" ? KeyKind::kScale : kind == "token" ? KeyKind::kToken : KeyKind::kQuota;
    parsed.name = rest;
    return parsed;
  }
  if (kind == "drain" || kind == "node") {
    const auto node = ParseNode(rest);
    if (!node) return std::nullopt;
    parsed.kind = kind == "drain" ? KeyKind::kDrain : KeyKind::kNode;
    parsed.node = *node;
    return parsed;
  }
  return std::nullopt;
}

bool KeyFits(std::string_view key, const DocumentBody& body) {
  const auto parsed = ParseKey(key);
  if (!parsed) return false;
  if (std::holds_alternative<std::monostate>(body)) return true;
  switch (parsed->kind) {
    case KeyKind::kStack: {
      const auto* stack = std::get_if<StackSpec>(&body);
      return stack != nullptr && stack->name == parsed->name;
    }
    case KeyKind::kScale: {
      const auto* scale = std::get_if<ScaleOverride>(&body);
      return scale != nullptr && scale->service == parsed->name;
    }
    case KeyKind::kDrain: {
      const auto* drain = std::get_if<DrainOrder>(&body);
      return drain != nullptr && drain->node == parsed->node;
    }
    case KeyKind::kToken: {
      const auto* token = std::get_if<TokenDoc>(&body);
      return token != nullptr && token->id == parsed->name;
    }
    case KeyKind::kNode: {
      const auto* node = std::get_if<NodeDoc>(&body);
      return node != nullptr && node->node == parsed->node;
    }
    case KeyKind::kQuota: {
      const auto* quota = std::get_if<QuotaDoc>(&body);
      return quota != nullptr && quota->subject == parsed->name;
    }
  }
  return false;
}

}  // namespace hs
