// Character sets of names, shared by what reads bytes and what reads compose files. Pure predicates; ASCII
// only except where they say UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hs {

// [a-z0-9][a-z0-9-]*, 1 to 63: services and stacks. A DNS label, since it becomes <service>.internal.
bool IsServiceName(std::string_view text);

// Not empty, at most `size_max`, only ASCII letters, digits and characters of `others`.
bool IsWord(std::string_view text, std::string_view others, std::size_t size_max);

// Valid UTF-8 without NUL, at most `size_max` bytes.
bool IsText(std::string_view text, std::size_t size_max);

// Valid UTF-8 without control characters, at most `size_max` bytes.
bool IsLine(std::string_view text, std::size_t size_max);

// An environment variable's name: no NUL, no '=', not empty.
bool IsVariableName(std::string_view text);

// SIGTERM and the like: SIG and capital letters, digits, + and -.
bool IsSignalName(std::string_view text);

// The longest valid beginning of at most `size_max` bytes, with what is not UTF-8, and NUL, replaced by '?'.
std::string CleanText(std::string_view text, std::size_t size_max);

}  // namespace hs
