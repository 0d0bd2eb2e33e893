#include "runtime/bundle/archive/archive.h"
#include "wire/names.h"

namespace hs::bundle {
namespace {

constexpr std::size_t kPathMax = 4000;

// Removes and returns what stands before the next slash.
std::string_view TakePart(std::string_view& path) {
  const std::size_t slash = path.find('/');
  const std::string_view part = path.substr(0, slash);
  path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  return part;
}

}  // namespace

bool IsInnerPath(std::string_view path) {
  if (path.empty() || path.ends_with('/') || !IsText(path, kPathMax)) return false;
  while (!path.empty()) {
    const std::string_view part = TakePart(path);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
  }
  return true;
}

bool LinkStaysInside(std::string_view path, std::string_view target) {
  if (target.empty() || target.starts_with('/') || !IsText(target, kPathMax)) return false;
  int depth = 0;
  for (char c : path) depth += c == '/' ? 1 : 0;
  // Each ".." may only climb out of directories the link itself is in: then no other link can be in its way
  // up.
  bool descended = false;
  while (!target.empty()) {
    const std::string_view part = TakePart(target);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (descended || --depth < 0) return false;
    } else {
      descended = true;
    }
  }
  return true;
}

}  // namespace hs::bundle
