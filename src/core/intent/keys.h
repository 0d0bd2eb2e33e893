// Names of documents: stack/NAME/REVISION, scale/SERVICE, drain/NODEHEX, token/ID, node/NODEHEX,
// quota/SUBJECT.
//
// Like file names, they say what a document is about before it is opened; a tombstone has nothing else.
// Invariant: ParseKey(K(x)) gives x back, and a key that parses is written in exactly one way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/types.h"

namespace hs {

enum class KeyKind : std::uint8_t { kStack, kScale, kDrain, kToken, kNode, kQuota };

struct ParsedKey {
  KeyKind kind = KeyKind::kStack;
  std::string name;            // stack, service, token id or quota's subject; empty for kDrain and kNode
  std::uint64_t revision = 0;  // kStack
  NodeId node;                 // kDrain, kNode
  friend bool operator==(const ParsedKey&, const ParsedKey&) = default;
};

std::string StackKey(std::string_view stack, std::uint64_t revision);
std::string ScaleKey(std::string_view service);
std::string DrainKey(NodeId node);
std::string TokenKey(std::string_view id);
std::string NodeKey(NodeId node);
std::string QuotaKey(std::string_view subject);

// Nothing for a key of no known form.
std::optional<ParsedKey> ParseKey(std::string_view key);

// Letters, digits, '-', '_' and '.', starting with a letter or digit, at most 63 characters.
bool IsValidName(std::string_view name);

// True for a tombstone under any well-formed key, and for a body that belongs under this key.
bool KeyFits(std::string_view key, const DocumentBody& body);

}  // namespace hs
