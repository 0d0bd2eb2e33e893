// Compose's interpolation, by the Compose specification's section on it.
#include <fmt/core.h>

#include "wire/compose/scalars.h"

namespace hs::compose {
namespace {

constexpr int kNestingMax = 16;
constexpr std::size_t kResultMax = 1 << 20;

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNameRest(char c) { return IsNameStart(c) || (c >= '0' && c <= '9'); }

std::string_view NameAt(std::string_view text) {
  if (text.empty() || !IsNameStart(text[0])) return {};
  std::size_t size = 1;
  while (size < text.size() && IsNameRest(text[size])) ++size;
  return text.substr(0, size);
}

class Interpolation {
 public:
  Interpolation(const std::map<std::string, std::string>& variables, std::vector<std::string>& unset)
      : variables_(variables), unset_(unset) {}

  Result<std::string> Run(std::string_view text, int depth) {
    if (depth > kNestingMax) return BadInput("variables are nested too deeply");
    std::string out;
    while (!text.empty()) {
      const std::size_t dollar = text.find('$');
      out += text.substr(0, dollar);
      if (dollar == std::string_view::npos) break;
      text.remove_prefix(dollar);
      auto taken = One(text, depth);
      if (!taken) return taken;
      out += *taken;
      if (out.size() > kResultMax) return BadInput("grows beyond 1 MiB when its variables are filled in");
    }
    return out;
  }

 private:
  // `text` begins with $; removes what was understood.
  Result<std::string> One(std::string_view& text, int depth) {
    if (text.starts_with("$$")) {
      text.remove_prefix(2);
      return "$";
    }
    if (text.starts_with("${")) return Braced(text, depth);
    const std::string_view name = NameAt(text.substr(1));
    if (name.empty())
      return BadInput("a single $ stands before what is no variable's name; write $$ for a dollar sign");
    const std::string_view whole = text.substr(0, 1 + name.size());
    text.remove_prefix(whole.size());
    if (IsRuntimeVariable(name)) return std::string(whole);
    return ValueOf(name);
  }

  Result<std::string> Braced(std::string_view& text, int depth) {
    const std::string_view body = BodyOf(text);
    if (body.data() == nullptr) return BadInput("${ is not closed");
    text.remove_prefix(body.size() + 3);
    const std::string_view name = NameAt(body);
    if (name.empty()) return BadInput(fmt::format("${{{}}} names no variable", body));
    std::string_view rest = body.substr(name.size());
    const bool runtime = IsRuntimeVariable(name);
    if (rest.empty()) return runtime ? Result<std::string>("${" + std::string(name) + "}") : ValueOf(name);

    const bool or_empty = rest[0] == ':';
    if (or_empty) rest.remove_prefix(1);
    const char action = rest.empty() ? '\0' : rest[0];
    if (action != '-' && action != '?' && action != '+') {
      return BadInput(
          fmt::format("${{{}}} is not understood: after the name come :-, -, :?, ?, :+ or +", body));
    }
    rest.remove_prefix(1);
    const auto found = variables_.find(std::string(name));
    const bool present = runtime || (found != variables_.end() && !(or_empty && found->second.empty()));
    if (action == '+') return present ? Run(rest, depth + 1) : Result<std::string>("");
    if (runtime) return "${" + std::string(name) + "}";
    if (present) return found->second;
    if (action == '-') return Run(rest, depth + 1);
    return BadInput(
        fmt::format("the variable {} is not set: {}", name, rest.empty() ? "it is required" : rest));
  }

  // Between the braces; braces inside defaults are counted. Null data when there is no end.
  static std::string_view BodyOf(std::string_view text) {
    int open = 1;
    for (std::size_t i = 2; i < text.size(); ++i) {
      if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') {
        ++open;
        ++i;
      } else if (text[i] == '}' && --open == 0) {
        return text.substr(2, i - 2);
      }
    }
    return {};
  }

  std::string ValueOf(std::string_view name) {
    const auto found = variables_.find(std::string(name));
    if (found != variables_.end()) return found->second;
    unset_.emplace_back(name);
    return {};
  }

  const std::map<std::string, std::string>& variables_;
  std::vector<std::string>& unset_;
};

}  // namespace

bool IsRuntimeVariable(std::string_view name) {
  return name == "PORT" || name == "HOST" || name.starts_with("HOMEOSTAT_");
}

Result<std::string> Interpolate(std::string_view text, const std::map<std::string, std::string>& variables,
                                std::vector<std::string>& unset) {
  return Interpolation(variables, unset).Run(text, 0);
}

}  // namespace hs::compose
