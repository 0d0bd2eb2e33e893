#include "wire/compose/yaml_tree.h"

#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <map>
#include <set>
#include <streambuf>

namespace hs::compose {
namespace {

constexpr std::size_t kNodesMax = 100'000;
constexpr std::size_t kDepthMax = 64;

// Leaves the parser from inside its callbacks; caught in ParseYaml.
struct Stop {
  Mark mark;
  std::string why;
};

Mark MarkOf(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

using MutablePtr = std::shared_ptr<YamlNode>;

// Entries of `node` win over those of merged maps, and earlier merged maps over later ones.
void ResolveMerge(YamlNode& node, const std::vector<YamlEntry>& merges) {
  if (merges.empty()) return;
  std::set<std::string> present;
  for (const YamlEntry& entry : node.map) present.insert(entry.key);
  const auto merge_map = [&](const YamlPtr& from) {
    if (from->kind != YamlNode::Kind::kMap)
      throw Stop{from->mark, "<< takes a mapping or a list of mappings"};
    for (const YamlEntry& entry : from->map) {
      if (present.insert(entry.key).second) node.map.push_back(entry);
    }
  };
  for (const YamlEntry& merge : merges) {
    if (merge.value->kind == YamlNode::Kind::kList) {
      for (const YamlPtr& from : merge.value->list) merge_map(from);
    } else {
      merge_map(merge.value);
    }
  }
}

class TreeBuilder : public YAML::EventHandler {
 public:
  const YamlPtr& root() const { return root_; }
  int documents() const { return documents_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Stop{MarkOf(mark), "only one YAML document is expected"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(Make(mark, YamlNode::Kind::kNull), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Stop{MarkOf(mark), "the alias stands inside what it refers to"};
    AddValue(found->second, MarkOf(mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    MutablePtr node = Make(mark, YamlNode::Kind::kScalar);
    node->text = value;
    node->quoted = tag == "!";
    CheckTag(mark, tag);
    Add(node, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(Make(mark, YamlNode::Kind::kList), anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(Make(mark, YamlNode::Kind::kMap), anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    MutablePtr node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    YamlEntry pending;  // a map's key that waits for its value
    std::vector<YamlEntry> merges;
    std::set<std::string> keys;
  };

  static MutablePtr Make(const YAML::Mark& mark, YamlNode::Kind kind) {
    auto node = std::make_shared<YamlNode>();
    node->mark = MarkOf(mark);
    node->kind = kind;
    return node;
  }

  static void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str") return;
    throw Stop{MarkOf(mark), "the tag " + tag + " is not supported"};
  }

  void Open(MutablePtr node, YAML::anchor_t anchor) {
    if (frames_.size() >= kDepthMax) throw Stop{node->mark, "nested too deeply"};
    frames_.push_back(Frame{.node = std::move(node), .anchor = anchor});
  }

  void Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    ResolveMerge(*frame.node, frame.merges);
    Add(frame.node, frame.anchor);
  }

  void Add(const MutablePtr& node, YAML::anchor_t anchor) {
    if (anchor != 0) {
      node->anchored = true;
      anchors_[anchor] = node;
    }
    AddValue(node, node->mark);
  }

  // To the innermost open collection, or as the root.
  void AddValue(const YamlPtr& value, Mark mark) {
    if (frames_.empty()) {
      root_ = value;
      return;
    }
    Frame& frame = frames_.back();
    YamlNode& parent = *frame.node;
    parent.size += value->size;
    if (parent.size > kNodesMax) throw Stop{mark, "the file unfolds to more than 100000 nodes"};
    parent.anchored = parent.anchored || value->anchored;
    if (parent.kind == YamlNode::Kind::kList) {
      parent.list.push_back(value);
      return;
    }
    if (!frame.has_key) {
      TakeKey(frame, value, mark);
      return;
    }
    frame.has_key = false;
    frame.pending.value = value;
    (frame.pending.key == "<<" ? frame.merges : parent.map).push_back(std::move(frame.pending));
  }

  static void TakeKey(Frame& frame, const YamlPtr& key, Mark mark) {
    if (key->kind != YamlNode::Kind::kScalar) throw Stop{mark, "a key must be plain text"};
    if (!frame.keys.insert(key->text).second) throw Stop{mark, key->text + ": the key is there twice"};
    frame.pending = YamlEntry{key->text, mark, nullptr};
    frame.has_key = true;
  }

  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, YamlPtr> anchors_;
  YamlPtr root_;
  int documents_ = 0;
};

// A stream over text that is not copied.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

std::string At(std::string_view file_name, Mark mark, std::string_view why) {
  return fmt::format("{}:{}:{}: {}", file_name, mark.line, mark.column, why);
}

}  // namespace

Result<YamlPtr> ParseYaml(std::string_view text, std::string_view file_name) {
  TreeBuilder builder;
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    return BadInput(At(file_name, stop.mark, stop.why));
  } catch (const YAML::Exception& error) {
    return BadInput(At(file_name, error.mark.is_null() ? Mark{1, 1} : MarkOf(error.mark), error.msg));
  } catch (const std::exception& error) {
    return BadInput(At(file_name, {1, 1}, error.what()));
  }
  if (!builder.root()) return BadInput(At(file_name, {1, 1}, "the file is empty"));
  return builder.root();
}

}  // namespace hs::compose
