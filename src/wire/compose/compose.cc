#include "wire/compose/compose.h"

#include <fmt/core.h>

#include <algorithm>

#include "wire/compose/reader.h"
#include "wire/compose/service_reader.h"
#include "wire/compose/yaml_tree.h"
#include "wire/names.h"

namespace hs {
namespace {

using compose::Reader;
using compose::ServiceResult;
using compose::Spot;
using compose::YamlNode;

constexpr std::size_t kServicesMax = 1024;
constexpr const char* kNameRule = "must be a-z, 0-9 and -, not begin with -, and have at most 63 characters";

std::string NameFromDirectory(std::string_view directory) {
  std::string name;
  for (char c : directory) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && !name.empty())) name += c;
  }
  return name.substr(0, 63);
}

// Two services cannot answer for the same port, nor for the same host and path.
void CheckUnique(Reader& reader, const std::vector<ServiceResult>& services) {
  std::map<std::uint16_t, std::string> ports;
  std::map<HttpRoute, std::string> routes;
  for (const ServiceResult& service : services) {
    for (const auto& [port, spot] : service.ports) {
      const auto [other, fresh] = ports.emplace(port.port, service.spec.name);
      if (!fresh)
        reader.Problem(spot, fmt::format("port {} is published by {} too", port.port, other->second));
    }
    if (!service.http) continue;
    const auto [other, fresh] = routes.emplace(*service.spec.http, service.spec.name);
    if (!fresh) reader.Problem(*service.http, fmt::format("{} has the same host and path", other->second));
  }
}

class FileReader {
 public:
  FileReader(std::string_view file_name, const ComposeOptions& options) : reader_(file_name, options) {}

  Result<ComposeFile> Read(const compose::YamlPtr& root) {
    const Spot top{root, root->mark, ""};
    const Reader::Handler handlers[] = {
        {"name", [this](const Spot& at) { Name(at); }},
        {"services", [this](const Spot& at) { Services(at); }},
        {"version",
         [this](const Spot& at) { reader_.Warn(at, "is obsolete, here as in Compose; it has no effect"); }},
    };
    // Templates for << stand under x- keys of their own, as in Compose.
    auto pruned = std::make_shared<YamlNode>(*root);
    std::erase_if(pruned->map,
                  [](const auto& entry) { return entry.key.starts_with("x-") && entry.value->anchored; });
    reader_.Keys(Spot{pruned, top.mark, ""}, handlers);

    if (!said_services_ && root->kind == YamlNode::Kind::kMap) reader_.Problem(top, "has no services");
    if (file_.stack.name.empty() && !said_name_) {
      file_.stack.name = NameFromDirectory(reader_.options().directory_name);
      if (!IsServiceName(file_.stack.name)) {
        reader_.Problem(top,
                        "the stack has no name, and the directory's cannot serve; give one with `name:`");
      }
    }
    if (!reader_.ok()) return std::unexpected(reader_.TakeError());
    file_.warnings = reader_.TakeWarnings();
    return std::move(file_);
  }

 private:
  void Name(const Spot& spot) {
    said_name_ = true;
    const auto name = reader_.NonEmpty(spot);
    if (!name) return;
    if (!IsServiceName(*name)) return reader_.Problem(spot, kNameRule);
    file_.stack.name = *name;
  }

  void Services(const Spot& spot) {
    said_services_ = true;
    std::vector<ServiceResult> services;
    const auto entries = reader_.Map(spot);
    if (entries.size() > kServicesMax) return reader_.Problem(spot, "has more than 1024 services");
    if (entries.empty() && spot.node->kind == YamlNode::Kind::kMap) return reader_.Problem(spot, "is empty");
    for (const auto& [name, entry] : entries) {
      if (!IsServiceName(name)) reader_.Problem(entry, fmt::format("a service's name {}", kNameRule));
      services.push_back(compose::ReadService(reader_, name, entry));
    }
    CheckUnique(reader_, services);
    std::sort(services.begin(), services.end(),
              [](const ServiceResult& a, const ServiceResult& b) { return a.spec.name < b.spec.name; });
    for (ServiceResult& service : services) {
      if (service.bundle) file_.bundles.emplace(service.spec.name, std::move(*service.bundle));
      file_.stack.services.push_back(std::move(service.spec));
    }
  }

  Reader reader_;
  ComposeFile file_;
  bool said_name_ = false;
  bool said_services_ = false;
};

}  // namespace

Result<ComposeFile> ParseCompose(std::string_view text, std::string_view file_name,
                                 const ComposeOptions& options) {
  if (text.size() > kComposeBytesMax) {
    return BadInput(
        fmt::format("{}:1:1: the file has {} bytes, at most {}", file_name, text.size(), kComposeBytesMax));
  }
  const auto root = compose::ParseYaml(text, file_name);
  if (!root) return std::unexpected(root.error());
  return FileReader(file_name, options).Read(*root);
}

}  // namespace hs
