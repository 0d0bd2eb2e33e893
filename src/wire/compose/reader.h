// Walks a YAML tree and collects every problem with its place and key path. Internal to compose/.
//
// A Spot is "this node, reached by this path". Take* functions return the value, or note a problem and return
// nothing.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "wire/compose/compose.h"
#include "wire/compose/yaml_tree.h"

namespace hs::compose {

struct Spot {
  YamlPtr node;
  Mark mark;  // of the key where there is one: that is what a person looks for
  std::string path;
};

class Reader {
 public:
  Reader(std::string_view file_name, const ComposeOptions& options)
      : file_name_(file_name), options_(options) {}

  void Problem(const Spot& spot, std::string_view why) { Problem(spot.mark, spot.path, why); }
  void Problem(Mark mark, std::string_view path, std::string_view why);
  void Warn(const Spot& spot, std::string_view what);
  std::string Place(const Spot& spot) const;

  // Interpolated text of any scalar.
  std::optional<std::string> Text(const Spot& spot);
  // The same, and not empty.
  std::optional<std::string> NonEmpty(const Spot& spot);
  std::optional<bool> Bool(const Spot& spot);
  std::optional<std::int64_t> Integer(const Spot& spot, std::int64_t min, std::int64_t max);
  std::optional<Duration> TakeDuration(const Spot& spot, Duration min, Duration max);
  // A string split like a shell does, or a list of strings. Never empty.
  std::optional<std::vector<std::string>> Words(const Spot& spot);

  // The entries of a mapping or list; a problem and nothing otherwise.
  std::vector<Spot> List(const Spot& spot);
  std::vector<std::pair<std::string, Spot>> Map(const Spot& spot);

  // Calls the handler of each key; a key without one is a problem, with a hint where one is known.
  struct Handler {
    std::string_view key;
    std::function<void(const Spot&)> handle;
  };
  void Keys(const Spot& spot, std::span<const Handler> handlers);

  const ComposeOptions& options() const { return options_; }
  bool ok() const { return problems_.empty(); }
  // All problems in the order of the file, one per line, capped.
  Error TakeError();
  std::vector<std::string> TakeWarnings();

 private:
  struct Note {
    Mark mark;
    std::string text;
  };
  std::string Format(Mark mark, std::string_view path, std::string_view what) const;

  std::string file_name_;
  const ComposeOptions& options_;
  std::vector<Note> problems_;
  std::vector<Note> warnings_;
};

// What to do about a key that is not supported; empty when nothing special is known.
std::string HintFor(std::string_view key, std::span<const Reader::Handler> handlers);

}  // namespace hs::compose
