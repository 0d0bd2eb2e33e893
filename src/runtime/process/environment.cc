#include "runtime/process/environment.h"

#include <map>

namespace hs {
namespace {

using Variables = std::map<std::string, std::string>;

Variables VariablesOf(const ServiceSpec& spec, const ReplicaFacts& facts) {
  return {{"PORT", std::to_string(facts.address.port)},
          {"HOST", facts.address.ip.ToString()},
          {"HOMEOSTAT_DOOR", facts.door_url},
          {"HOMEOSTAT_SERVICE", spec.name},
          {"HOMEOSTAT_REPLICA", ReplicaName(spec.name, facts.id)},
          {"HOMEOSTAT_NODE", facts.node_name}};
}

std::string Substitute(const std::string& text, const Variables& variables) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = text.find("${", at);
    const std::size_t close = open == std::string::npos ? open : text.find('}', open);
    if (close == std::string::npos) return result + text.substr(at);
    const auto variable = variables.find(text.substr(open + 2, close - open - 2));
    result.append(text, at, open - at);
    if (variable == variables.end()) {
      result += "${";  // not ours; another may begin inside it
      at = open + 2;
    } else {
      result += variable->second;
      at = close + 1;
    }
  }
  return result;
}

}  // namespace

std::vector<std::string> EnvironmentOf(const ServiceSpec& spec, const ReplicaFacts& facts) {
  const Variables variables = VariablesOf(spec, facts);
  Variables all{{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
  for (const auto& [name, value] : spec.environment) all[name] = Substitute(value, variables);
  for (const auto& [name, value] : variables) all[name] = value;
  std::vector<std::string> result;
  for (const auto& [name, value] : all) result.push_back(name + "=" + value);
  return result;
}

std::string ReplicaVariable(const ServiceSpec& spec, ReplicaId id) {
  return "HOMEOSTAT_REPLICA=" + ReplicaName(spec.name, id);
}

std::vector<std::string> CommandOf(const std::vector<std::string>& command, const ServiceSpec& spec,
                                   const ReplicaFacts& facts) {
  const Variables variables = VariablesOf(spec, facts);
  std::vector<std::string> result;
  for (const std::string& word : command) result.push_back(Substitute(word, variables));
  return result;
}

}  // namespace hs
