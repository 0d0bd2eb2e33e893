#include "api/stack_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "api/json.h"

namespace hs {
namespace {

const char* KindName(HealthKind kind) {
  switch (kind) {
    case HealthKind::kNone:
      return "none";
    case HealthKind::kHttp:
      return "http";
    case HealthKind::kTcp:
      return "tcp";
    case HealthKind::kCommand:
      return "command";
  }
  return "?";
}

json::array Words(const std::vector<std::string>& words) {
  json::array out;
  for (const auto& word : words) out.push_back(JsonText(word));
  return out;
}

json::object HealthToJson(const HealthCheck& health) {
  return {{"kind", KindName(health.kind)},      {"path", JsonText(health.path)},
          {"command", Words(health.command)},   {"interval_ms", ToMs(health.interval)},
          {"timeout_ms", ToMs(health.timeout)}, {"start_period_ms", ToMs(health.start_period)},
          {"retries", health.retries}};
}

constexpr Singleton kSingletons[] = {Singleton::kNone, Singleton::kRunBoth, Singleton::kPause};
constexpr ScaleTarget kTargets[] = {ScaleTarget::kAutomatic, ScaleTarget::kInFlight, ScaleTarget::kCpu,
                                    ScaleTarget::kMetric};

json::object ScaleToJson(const ScaleSpec& scale) {
  return {{"min", scale.min},
          {"max", scale.max},
          {"target", ToString(scale.target)},
          {"value", scale.value},
          {"metric", JsonText(scale.metric)},
          {"metric_path", JsonText(scale.metric_path)},
          {"strict", scale.strict}};
}

json::object ServiceObject(const ServiceSpec& spec) {
  json::array environment, ports, constraints;
  for (const auto& [name, value] : spec.environment) environment.push_back({JsonText(name), JsonText(value)});
  for (const auto& port : spec.ports) {
    ports.push_back(json::object{{"port", port.port}, {"http", port.http}});
  }
  for (const auto& constraint : spec.constraints) {
    constraints.push_back(json::object{{"label", JsonText(constraint.label)},
                                       {"value", JsonText(constraint.value)},
                                       {"equal", constraint.equal}});
  }
  json::object out{{"name", JsonText(spec.name)},
                   {"command", Words(spec.command)},
                   {"environment", std::move(environment)},
                   {"working_dir", JsonText(spec.working_dir)},
                   {"user", JsonText(spec.user)},
                   {"bundle", spec.bundle ? json::value(JsonText(spec.bundle.Hex())) : json::value(nullptr)},
                   {"ports", std::move(ports)},
                   {"http", nullptr},
                   {"health", HealthToJson(spec.health)},
                   {"stop_signal", JsonText(spec.stop_signal)},
                   {"stop_grace_ms", ToMs(spec.stop_grace)},
                   {"replicas", spec.replicas},
                   {"reserve", json::object{{"cpu_millicores", spec.reserve.cpu_millicores},
                                            {"memory_bytes", spec.reserve.memory_bytes}}},
                   {"constraints", std::move(constraints)}};
  if (spec.scale) out["scale"] = ScaleToJson(*spec.scale);
  out["priority"] = spec.priority;
  out["movable"] = spec.movable;
  out["singleton"] = ToString(spec.singleton);
  if (spec.http) {
    out["http"] = json::object{{"host", JsonText(spec.http->host)}, {"path", JsonText(spec.http->path)}};
  }
  return out;
}

// Reads one object: each key at most once and known, each value of its type. Remembers the first error with
// its path, after which everything reads as its default.
class Reader {
 public:
  Reader(const json::value& value, std::string path, std::string& error)
      : path_(std::move(path)), error_(error) {
    object_ = value.if_object();
    if (object_ == nullptr) Wrong("", "must be an object");
  }
  ~Reader() {
    if (object_ == nullptr || !error_.empty()) return;
    for (const auto& [key, unused] : *object_) {
      if (!known_.contains(Text(key))) Wrong(Text(key), "is an unknown key");
    }
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  const json::value* Get(const char* key) {
    known_.insert(key);
    return object_ == nullptr ? nullptr : object_->if_contains(key);
  }
  std::string At(const std::string& key) const {
    return path_.empty() ? key : key.empty() ? path_ : path_ + "." + key;
  }
  void Wrong(const std::string& key, const std::string& what) {
    if (error_.empty()) error_ = fmt::format("{} {}", At(key).empty() ? "the document" : At(key), what);
  }

  void Read(const char* key, std::string& out) {
    const auto* value = Get(key);
    if (value == nullptr) return;
    if (const auto* text = value->if_string()) {
      out = Text(*text);
      if (out.find('\0') != std::string::npos) Wrong(key, "must not hold a NUL");
    } else {
      Wrong(key, "must be a string");
    }
  }
  void Read(const char* key, bool& out) {
    const auto* value = Get(key);
    if (value == nullptr) return;
    if (const auto* flag = value->if_bool()) {
      out = *flag;
    } else {
      Wrong(key, "must be true or false");
    }
  }
  template <typename Integer>
  void ReadNumber(const char* key, Integer& out, std::uint64_t min, std::uint64_t max) {
    const auto* value = Get(key);
    if (value == nullptr) return;
    std::uint64_t number = 0;
    if (const auto* i = value->if_int64(); i != nullptr && *i >= 0) {
      number = static_cast<std::uint64_t>(*i);
    } else if (const auto* u = value->if_uint64()) {
      number = *u;
    } else {
      return Wrong(key, fmt::format("must be a whole number from {} to {}", min, max));
    }
    if (number < min || number > max) return Wrong(key, fmt::format("must be from {} to {}", min, max));
    out = static_cast<Integer>(number);
  }
  void Read(const char* key, double& out) {
    const auto* value = Get(key);
    if (value == nullptr) return;
    json::error_code code;
    const double number = value->to_number<double>(code);
    if (code || !(number >= 0)) return Wrong(key, "must be a number from 0 up");
    out = number;
  }
  void ReadMs(const char* key, Duration& out, std::uint64_t min) {
    std::uint64_t ms = static_cast<std::uint64_t>(ToMs(out));
    ReadNumber(key, ms, min, 7ull * 24 * 3600 * 1000);
    out = std::chrono::milliseconds(ms);
  }
  void Read(const char* key, std::vector<std::string>& out) {
    const auto* items = Items(key);
    for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
      const auto* text = (*items)[i].if_string();
      if (text == nullptr) return Wrong(fmt::format("{}[{}]", key, i), "must be a string");
      if (text->find('\0') != json::string::npos)
        return Wrong(fmt::format("{}[{}]", key, i), "must not hold a NUL");
      out.push_back(Text(*text));
    }
  }
  // Null when absent or wrong.
  const json::array* Items(const char* key) {
    const auto* value = Get(key);
    if (value == nullptr) return nullptr;
    const auto* items = value->if_array();
    if (items == nullptr) Wrong(key, "must be an array");
    return items;
  }
  std::string& error() { return error_; }

 private:
  const json::object* object_ = nullptr;
  std::string path_;
  std::string& error_;
  std::set<std::string> known_;
};

void ReadHealth(const json::value& value, std::string path, std::string& error, HealthCheck& out) {
  Reader reader(value, std::move(path), error);
  std::string kind = KindName(out.kind);
  reader.Read("kind", kind);
  bool known = false;
  for (const auto option : {HealthKind::kNone, HealthKind::kHttp, HealthKind::kTcp, HealthKind::kCommand}) {
    if (kind == KindName(option)) out.kind = option, known = true;
  }
  if (!known) reader.Wrong("kind", "must be none, http, tcp or command");
  reader.Read("path", out.path);
  reader.Read("command", out.command);
  reader.ReadMs("interval_ms", out.interval, 1);
  reader.ReadMs("timeout_ms", out.timeout, 1);
  reader.ReadMs("start_period_ms", out.start_period, 0);
  reader.ReadNumber("retries", out.retries, 1, 1000);
  if (out.kind == HealthKind::kHttp && !out.path.starts_with('/')) reader.Wrong("path", "must start with /");
  if (out.kind == HealthKind::kCommand && out.command.empty()) reader.Wrong("command", "must not be empty");
}

void ReadScale(const json::value& value, std::string path, std::string& error, ScaleSpec& out) {
  Reader reader(value, std::move(path), error);
  reader.ReadNumber("min", out.min, 1, 100000);
  reader.ReadNumber("max", out.max, 1, 100000);
  if (out.max < out.min) reader.Wrong("max", "must not be below min");
  std::string target = ToString(out.target);
  reader.Read("target", target);
  bool known = false;
  for (const auto option : kTargets) {
    if (target == ToString(option)) out.target = option, known = true;
  }
  if (!known) reader.Wrong("target", "must be automatic, in-flight, cpu or metric");
  reader.Read("value", out.value);
  if (out.target != ScaleTarget::kAutomatic && !(out.value > 0)) reader.Wrong("value", "must be above 0");
  reader.Read("metric", out.metric);
  if (out.target == ScaleTarget::kMetric && out.metric.empty()) reader.Wrong("metric", "must not be empty");
  reader.Read("metric_path", out.metric_path);
  if (!out.metric_path.starts_with('/')) reader.Wrong("metric_path", "must start with /");
  reader.Read("strict", out.strict);
}

void ReadEnvironment(Reader& reader, ServiceSpec& spec) {
  const auto* items = reader.Items("environment");
  for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
    const auto* pair = (*items)[i].if_array();
    const bool two = pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string();
    if (!two) return reader.Wrong(fmt::format("environment[{}]", i), "must be [name, value]");
    const auto& name = (*pair)[0].get_string();
    const auto& value = (*pair)[1].get_string();
    const bool bad = name.empty() || name.find('=') != json::string::npos ||
                     name.find('\0') != json::string::npos || value.find('\0') != json::string::npos;
    if (bad)
      return reader.Wrong(fmt::format("environment[{}]", i),
                          "has a name or value that no process can be given");
    spec.environment.emplace_back(Text(name), Text(value));
  }
}

void ReadPlaces(Reader& reader, const std::string& path, ServiceSpec& spec) {
  const auto* ports = reader.Items("ports");
  for (std::size_t i = 0; ports != nullptr && i < ports->size(); ++i) {
    Reader item((*ports)[i], fmt::format("{}.ports[{}]", path, i), reader.error());
    PublishedPort port;
    item.ReadNumber("port", port.port, 1, 65535);
    item.Read("http", port.http);
    if (port.port == 0) item.Wrong("port", "must be from 1 to 65535");
    spec.ports.push_back(port);
  }
  const auto* constraints = reader.Items("constraints");
  for (std::size_t i = 0; constraints != nullptr && i < constraints->size(); ++i) {
    Reader item((*constraints)[i], fmt::format("{}.constraints[{}]", path, i), reader.error());
    Constraint constraint;
    item.Read("label", constraint.label);
    item.Read("value", constraint.value);
    item.Read("equal", constraint.equal);
    spec.constraints.push_back(std::move(constraint));
  }
}

void ReadSingleton(Reader& reader, ServiceSpec& spec) {
  std::string word = ToString(Singleton::kNone);
  reader.Read("singleton", word);
  const auto* const known = std::ranges::find(
      kSingletons, word, [](Singleton singleton) { return std::string(ToString(singleton)); });
  if (known == std::end(kSingletons)) return reader.Wrong("singleton", "must be none, run-both or pause");
  spec.singleton = *known;
  if (spec.singleton != Singleton::kNone && (spec.replicas != 1 || spec.scale))
    reader.Wrong("singleton", "needs exactly one replica and no scale");
}

void ReadService(const json::value& value, const std::string& path, std::string& error, ServiceSpec& spec) {
  Reader reader(value, path, error);
  reader.Read("name", spec.name);
  if (spec.name.empty()) reader.Wrong("name", "must not be empty");
  reader.Read("command", spec.command);
  ReadEnvironment(reader, spec);
  reader.Read("working_dir", spec.working_dir);
  reader.Read("user", spec.user);
  if (const auto* bundle = reader.Get("bundle"); bundle != nullptr && !bundle->is_null()) {
    const auto* text = bundle->if_string();
    const auto digest = text == nullptr ? std::nullopt : Digest::FromHex(Text(*text));
    if (digest) {
      spec.bundle = *digest;
    } else {
      reader.Wrong("bundle", "must be null or 64 hexadecimal digits");
    }
  }
  ReadPlaces(reader, path, spec);
  if (const auto* http = reader.Get("http"); http != nullptr && !http->is_null()) {
    Reader route(*http, path + ".http", error);
    spec.http.emplace();
    route.Read("host", spec.http->host);
    route.Read("path", spec.http->path);
    if (!spec.http->path.starts_with('/')) route.Wrong("path", "must start with /");
  }
  if (const auto* health = reader.Get("health")) ReadHealth(*health, path + ".health", error, spec.health);
  reader.Read("stop_signal", spec.stop_signal);
  reader.ReadMs("stop_grace_ms", spec.stop_grace, 0);
  reader.ReadNumber("replicas", spec.replicas, 0, 100000);
  if (const auto* scale = reader.Get("scale"); scale != nullptr && !scale->is_null())
    ReadScale(*scale, path + ".scale", error, spec.scale.emplace());
  reader.ReadNumber("priority", spec.priority, 0, kPriorityMax);
  reader.Read("movable", spec.movable);
  ReadSingleton(reader, spec);
  if (const auto* reserve = reader.Get("reserve")) {
    Reader item(*reserve, path + ".reserve", error);
    item.ReadNumber("cpu_millicores", spec.reserve.cpu_millicores, 0,
                    std::numeric_limits<std::uint32_t>::max());
    item.ReadNumber("memory_bytes", spec.reserve.memory_bytes, 0, std::numeric_limits<std::int64_t>::max());
  }
}

}  // namespace

std::string ServiceToJson(const ServiceSpec& service) { return json::serialize(ServiceObject(service)); }

std::string StackToJson(const StackSpec& stack) {
  json::array services;
  for (const auto& service : stack.services) services.push_back(ServiceObject(service));
  return json::serialize(json::object{{"name", JsonText(stack.name)}, {"services", std::move(services)}});
}

Result<StackSpec> StackFromJson(std::string_view text) {
  json::error_code code;
  const json::value root = json::parse(json::string_view(text.data(), text.size()), code);
  if (code) return BadInput("not JSON: " + code.message());
  StackSpec stack;
  std::string error;
  {
    Reader reader(root, "", error);
    reader.Read("name", stack.name);
    if (stack.name.empty()) reader.Wrong("name", "must not be empty");
    const auto* services = reader.Items("services");
    if (services == nullptr) reader.Wrong("services", "is missing");
    for (std::size_t i = 0; services != nullptr && i < services->size(); ++i) {
      ReadService((*services)[i], fmt::format("services[{}]", i), error, stack.services.emplace_back());
      const bool sorted = i == 0 || stack.services[i - 1].name < stack.services[i].name;
      if (!sorted)
        reader.Wrong(fmt::format("services[{}].name", i), "must come after the one before, by name");
    }
  }
  if (!error.empty()) return BadInput(error);
  return stack;
}

std::string StampText(const Stamp& stamp) {
  return fmt::format("{}-{}-{}", stamp.wall_ms, stamp.logical, stamp.node.Hex());
}

Result<Stamp> ParseStamp(std::string_view text) {
  const auto first = text.find('-');
  const auto second = first == std::string_view::npos ? first : text.find('-', first + 1);
  const auto number = [](std::string_view digits, std::uint64_t max) -> std::optional<std::uint64_t> {
    if (digits.empty() || digits.size() > 15) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return value <= max ? std::optional(value) : std::nullopt;
  };
  if (second != std::string_view::npos) {
    const auto wall = number(text.substr(0, first), std::numeric_limits<std::int64_t>::max());
    const auto logical =
        number(text.substr(first + 1, second - first - 1), std::numeric_limits<std::uint32_t>::max());
    const auto node = NodeId::FromHex(text.substr(second + 1));
    if (wall && logical && node) {
      return Stamp{static_cast<WallMs>(*wall), static_cast<std::uint32_t>(*logical), *node};
    }
  }
  return BadInput(fmt::format("'{}' is no stamp: it looks like 1732263371000-3-<node id>", text));
}

}  // namespace hs
