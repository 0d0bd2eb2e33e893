// YAML text -> a tree in which every node and key knows its line and column.
//
// yaml-cpp's own nodes do not keep the place of keys, allow duplicates and let aliases multiply; this tree is
// built from its events instead. Anchors and `<<` are resolved here. Bounds: depth 64, and 100,000 nodes
// counted as if every alias were copied, which stops alias bombs. No exception leaves this file.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hs::compose {

struct YamlNode;
using YamlPtr = std::shared_ptr<const YamlNode>;

// 1-based, as editors count.
struct Mark {
  int line = 0;
  int column = 0;
};

struct YamlEntry {
  std::string key;
  Mark mark;  // of the key
  YamlPtr value;
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  Mark mark;
  std::string text;       // kScalar, as written but unquoted
  bool quoted = false;    // kScalar: 'x', "x" or a block: never a number or a truth value
  bool anchored = false;  // it or something below it has an anchor: a template for others
  std::size_t size = 1;   // nodes at and below it, aliases counted in full
  std::vector<YamlPtr> list;
  std::vector<YamlEntry> map;  // in the file's order, keys unique
};

// An error has the form FILE:LINE:COLUMN: what.
Result<YamlPtr> ParseYaml(std::string_view text, std::string_view file_name);

}  // namespace hs::compose
