#include "wire/names.h"

#include <algorithm>
#include <cstdint>

namespace hs {
namespace {

bool IsLower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlnum(char c) { return IsLower(c) || (c >= 'A' && c <= 'Z'); }

// Bytes of the UTF-8 sequence at the start of `text` by RFC 3629 (no overlong forms, no surrogates); 0: not
// one.
std::size_t SequenceSize(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f)) return 0;
  if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) return 0;
  return size;
}

}  // namespace

bool IsServiceName(std::string_view text) {
  return !text.empty() && text.size() <= 63 && text[0] != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsLower(c) || c == '-'; });
}

bool IsWord(std::string_view text, std::string_view others, std::size_t size_max) {
  return !text.empty() && text.size() <= size_max && std::all_of(text.begin(), text.end(), [&](char c) {
    return IsAlnum(c) || others.find(c) != std::string_view::npos;
  });
}

bool IsText(std::string_view text, std::size_t size_max) {
  if (text.size() > size_max) return false;
  while (!text.empty()) {
    const std::size_t size = SequenceSize(text);
    if (size == 0 || text[0] == '\0') return false;
    text.remove_prefix(size);
  }
  return true;
}

bool IsLine(std::string_view text, std::size_t size_max) {
  return IsText(text, size_max) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<std::uint8_t>(c) < 0x20 || c == 0x7f;
         });
}

bool IsVariableName(std::string_view text) {
  return !text.empty() && text.find('=') == std::string_view::npos && IsLine(text, 256);
}

bool IsSignalName(std::string_view text) {
  return text.starts_with("SIG") && IsWord(text, "+-", 16) && text.size() > 3 &&
         std::none_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

std::string CleanText(std::string_view text, std::size_t size_max) {
  std::string clean;
  clean.reserve(std::min(text.size(), size_max));
  while (!text.empty()) {
    const std::size_t size = SequenceSize(text);
    const std::size_t taken = size == 0 ? 1 : size;
    if (clean.size() + taken > size_max) break;
    if (size == 0 || text[0] == '\0') {
      clean += '?';
    } else {
      clean += text.substr(0, size);
    }
    text.remove_prefix(taken);
  }
  return clean;
}

}  // namespace hs
