#include "wire/compose/service_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "wire/compose/scalars.h"
#include "wire/compose/scale_reader.h"
#include "wire/names.h"

namespace hs::compose {
namespace {

constexpr std::int64_t kReplicasMax = 100'000;
constexpr Duration kDay = 24h;

class ServiceReader {
 public:
  ServiceReader(Reader& reader, const std::string& name) : reader_(reader) { result_.spec.name = name; }

  ServiceResult Read(const Spot& spot) {
    const Reader::Handler handlers[] = {
        {"command", [this](const Spot& at) { Command(at); }},
        {"environment", [this](const Spot& at) { Environment(at); }},
        {"working_dir", [this](const Spot& at) { WorkingDir(at); }},
        {"user", [this](const Spot& at) { User(at); }},
        {"ports", [this](const Spot& at) { Ports(at); }},
        {"healthcheck", [this](const Spot& at) { HealthCheckKey(at); }},
        {"stop_signal", [this](const Spot& at) { StopSignal(at); }},
        {"stop_grace_period",
         [this](const Spot& at) { Set(reader_.TakeDuration(at, 0s, kDay), spec().stop_grace); }},
        {"deploy", [this](const Spot& at) { Deploy(at); }},
        {"x-process", [this](const Spot& at) { Process(at); }},
        {"x-http", [this](const Spot& at) { Http(at); }},
        {"x-health", [this](const Spot& at) { XHealth(at); }},
        {"x-scale",
         [this](const Spot& at) {
           scale_ = at;
           spec().scale = ReadScale(reader_, at);
         }},
        {"x-move", [this](const Spot& at) { Move(at); }},
        {"x-singleton",
         [this](const Spot& at) {
           singleton_ = at;
           spec().singleton = ReadSingleton(reader_, at);
         }},
        {"x-priority",
         [this](const Spot& at) { Set(reader_.Integer(at, 0, kPriorityMax), spec().priority); }},
    };
    reader_.Keys(spot, handlers);
    if (!command_ && spot.node->kind == YamlNode::Kind::kMap) {
      reader_.Problem(spot, "has no command; give x-process.command or command");
    }
    CheckScale();
    if (singleton_) CheckSingleton(reader_, *singleton_, spec(), replicas_given_);
    return std::move(result_);
  }

 private:
  ServiceSpec& spec() { return result_.spec; }

  template <typename T, typename U>
  static void Set(const std::optional<T>& from, U& to) {
    if (from) to = static_cast<U>(*from);
  }

  void Command(const Spot& spot) {
    if (command_) return reader_.Problem(spot, "the command is given twice, here and at " + command_->path);
    command_ = spot;
    if (auto words = reader_.Words(spot)) spec().command = std::move(*words);
  }

  void Environment(const Spot& spot) {
    std::map<std::string, std::string> variables;
    const auto add = [&](const Spot& at, const std::string& name, std::optional<std::string> value) {
      if (!IsVariableName(name)) return reader_.Problem(at, "is not a variable's name");
      if (IsRuntimeVariable(name)) return reader_.Problem(at, "is set by homeostat for each replica");
      if (!value) {
        // A name alone passes the caller's variable on, if there is one.
        const auto found = reader_.options().variables.find(name);
        if (found == reader_.options().variables.end()) {
          return reader_.Warn(at, "the variable is not set here, so the service does not get it");
        }
        value = found->second;
      }
      if (!variables.emplace(name, std::move(*value)).second)
        reader_.Problem(at, "the variable is there twice");
    };
    if (spot.node->kind == YamlNode::Kind::kList) {
      for (const Spot& entry : reader_.List(spot)) {
        const auto text = reader_.NonEmpty(entry);
        if (!text) continue;
        const std::size_t equals = text->find('=');
        const bool alone = equals == std::string::npos;
        add(entry, text->substr(0, equals), alone ? std::nullopt : std::optional(text->substr(equals + 1)));
      }
    } else {
      for (const auto& [name, entry] : reader_.Map(spot)) {
        if (entry.node->kind == YamlNode::Kind::kNull) {
          add(entry, name, std::nullopt);
        } else if (auto value = reader_.Text(entry)) {
          add(entry, name, std::move(value));
        }
      }
    }
    if (variables.size() > 1024) return reader_.Problem(spot, "has more than 1024 variables");
    spec().environment.assign(variables.begin(), variables.end());
  }

  void WorkingDir(const Spot& spot) {
    const auto text = reader_.NonEmpty(spot);
    if (!text) return;
    if (!IsLine(*text, 4096)) return reader_.Problem(spot, "is not a directory's name");
    spec().working_dir = *text;
  }

  void User(const Spot& spot) {
    const auto text = reader_.NonEmpty(spot);
    if (!text) return;
    if (!IsWord(*text, "._-:$", 64)) return reader_.Problem(spot, "is not a user's name or number");
    spec().user = *text;
  }

  // deploy.replicas is where a scaled service starts from.
  void CheckScale() {
    if (!spec().scale) return;
    const ScaleSpec& scale = *spec().scale;
    if (!replicas_given_) spec().replicas = scale.min;
    if (spec().replicas < scale.min || spec().replicas > scale.max) {
      reader_.Problem(*scale_, fmt::format("runs from {} to {} replicas, but deploy.replicas is {}",
                                           scale.min, scale.max, spec().replicas));
    }
  }

  void Move(const Spot& spot) {
    const auto text = reader_.NonEmpty(spot);
    if (text && *text != "never") return reader_.Problem(spot, "must be never, or left out");
    if (text) spec().movable = false;
  }

  void StopSignal(const Spot& spot) {
    const auto text = reader_.NonEmpty(spot);
    if (!text) return;
    auto signal = ParseSignal(*text);
    if (!signal) return reader_.Problem(spot, signal.error().message);
    spec().stop_signal = std::move(*signal);
  }

  // ---- ports

  void Ports(const Spot& spot) {
    for (const Spot& entry : reader_.List(spot)) {
      PublishedPort port;
      const bool good =
          entry.node->kind == YamlNode::Kind::kMap ? LongPort(entry, port) : ShortPort(entry, port);
      if (!good) continue;
      const auto same = [&](const PublishedPort& other) { return other.port == port.port; };
      if (std::any_of(spec().ports.begin(), spec().ports.end(), same)) {
        reader_.Problem(entry, fmt::format("port {} is published twice", port.port));
        continue;
      }
      spec().ports.push_back(port);
      result_.ports.emplace_back(port, entry);
    }
    if (spec().ports.size() > 64) reader_.Problem(spot, "has more than 64 ports");
  }

  bool PortNumber(const Spot& spot, std::string_view text, std::uint16_t& port) {
    const bool digits = !text.empty() && text.size() <= 5 &&
                        std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    const int value = digits ? std::stoi(std::string(text)) : 0;
    if (value < 1 || value > 65535) {
      const bool range = text.find('-') != std::string_view::npos;
      reader_.Problem(spot, fmt::format("\"{}\": {}", text,
                                        range ? "port ranges are not supported; list each port"
                                              : "a port is a number from 1 to 65535"));
      return false;
    }
    port = static_cast<std::uint16_t>(value);
    return true;
  }

  bool Protocol(const Spot& spot, std::string_view protocol) {
    if (protocol == "tcp") return true;
    reader_.Problem(spot, protocol == "udp" ? "udp is not supported; doors carry HTTP and TCP"
                                            : fmt::format("\"{}\" is not a protocol; tcp is", protocol));
    return false;
  }

  // PUBLISHED:TARGET or PORT, with /tcp. The app listens on $PORT, so only the published number counts.
  bool ShortPort(const Spot& spot, PublishedPort& port) {
    const auto text = reader_.NonEmpty(spot);
    if (!text) return false;
    std::string_view rest = *text;
    if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
      if (!Protocol(spot, rest.substr(slash + 1))) return false;
      rest = rest.substr(0, slash);
    }
    const std::size_t colon = rest.find(':');
    if (colon != std::string_view::npos && rest.find(':', colon + 1) != std::string_view::npos) {
      reader_.Problem(spot,
                      "a host address is not supported; ports open on the address given to `up --door`");
      return false;
    }
    std::uint16_t target = 0;
    if (colon != std::string_view::npos && !PortNumber(spot, rest.substr(colon + 1), target)) return false;
    return PortNumber(spot, rest.substr(0, colon), port.port);
  }

  bool LongPort(const Spot& spot, PublishedPort& port) {
    bool good = true;
    std::uint16_t target = 0;
    const auto number = [&](const Spot& at, std::uint16_t& out) {
      const auto text = reader_.NonEmpty(at);
      good = text && PortNumber(at, *text, out) && good;
    };
    const Reader::Handler handlers[] = {
        {"target", [&](const Spot& at) { number(at, target); }},
        {"published", [&](const Spot& at) { number(at, port.port); }},
        {"protocol",
         [&](const Spot& at) {
           const auto text = reader_.NonEmpty(at);
           good = text && Protocol(at, *text) && good;
         }},
        {"app_protocol",
         [&](const Spot& at) {
           const auto text = reader_.NonEmpty(at);
           if (!text) return;
           port.http = *text == "http";
           if (!port.http && *text != "tcp") {
             reader_.Problem(at, fmt::format("\"{}\" is not supported; http or tcp are", *text));
             good = false;
           }
         }},
        {"host_ip",
         [&](const Spot& at) {
           reader_.Problem(at, "is not supported; ports open on the address given to `up --door`");
           good = false;
         }},
    };
    reader_.Keys(spot, handlers);
    if (good && port.port == 0 && target != 0) port.port = target;
    if (good && port.port == 0) {
      reader_.Problem(spot, "names no published port");
      good = false;
    }
    return good;
  }

  // ---- health

  bool OneHealth(const Spot& spot) {
    if (health_) {
      reader_.Problem(spot, "health is described twice, here and at " + health_->path);
      return false;
    }
    health_ = spot;
    return true;
  }

  void HealthCheckKey(const Spot& spot) {
    if (!OneHealth(spot)) return;
    bool said = false;
    HealthCheck& health = spec().health;
    const Reader::Handler handlers[] = {
        {"test",
         [&](const Spot& at) {
           said = true;
           Test(at);
         }},
        {"disable",
         [&](const Spot& at) {
           if (reader_.Bool(at).value_or(false)) {
             said = true;
             health.kind = HealthKind::kNone;
           }
         }},
        {"interval", [&](const Spot& at) { Set(reader_.TakeDuration(at, 100ms, kDay), health.interval); }},
        {"timeout", [&](const Spot& at) { Set(reader_.TakeDuration(at, 1ms, kDay), health.timeout); }},
        {"start_period",
         [&](const Spot& at) { Set(reader_.TakeDuration(at, 0s, kDay), health.start_period); }},
        {"retries", [&](const Spot& at) { Set(reader_.Integer(at, 1, 1000), health.retries); }},
    };
    reader_.Keys(spot, handlers);
    if (!said && spot.node->kind == YamlNode::Kind::kMap) {
      reader_.Problem(spot, "has no test; give one, or use x-health");
    }
  }

  // A string is for the shell; a list begins with CMD, CMD-SHELL or NONE.
  void Test(const Spot& spot) {
    HealthCheck& health = spec().health;
    const auto shell = [&](std::string line) {
      health.kind = HealthKind::kCommand;
      health.command = {"/bin/sh", "-c", std::move(line)};
    };
    if (spot.node->kind != YamlNode::Kind::kList) {
      auto text = reader_.NonEmpty(spot);
      if (text) shell(std::move(*text));
      return;
    }
    auto words = reader_.Words(spot);
    if (!words) return;
    const std::string first = words->front();
    words->erase(words->begin());
    if (first == "NONE" && words->empty()) {
      health.kind = HealthKind::kNone;
    } else if (first == "CMD" && !words->empty()) {
      health.kind = HealthKind::kCommand;
      health.command = std::move(*words);
    } else if (first == "CMD-SHELL" && words->size() == 1) {
      shell(std::move(words->front()));
    } else {
      reader_.Problem(spot, "must be text, [CMD, program, ...], [CMD-SHELL, text] or [NONE]");
    }
  }

  void XHealth(const Spot& spot) {
    if (!OneHealth(spot)) return;
    HealthCheck& health = spec().health;
    int kinds = 0;
    const Reader::Handler handlers[] = {
        {"http",
         [&](const Spot& at) {
           ++kinds;
           health.kind = HealthKind::kHttp;
           if (auto path = Path(at)) health.path = std::move(*path);
         }},
        {"tcp",
         [&](const Spot& at) {
           const auto wanted = reader_.Bool(at);
           if (wanted && !*wanted) reader_.Problem(at, "must be true, or left out");
           ++kinds;
           health.kind = HealthKind::kTcp;
         }},
        {"interval", [&](const Spot& at) { Set(reader_.TakeDuration(at, 100ms, kDay), health.interval); }},
        {"timeout", [&](const Spot& at) { Set(reader_.TakeDuration(at, 1ms, kDay), health.timeout); }},
    };
    reader_.Keys(spot, handlers);
    if (kinds != 1 && spot.node->kind == YamlNode::Kind::kMap) {
      reader_.Problem(spot, "needs either `http: /path` or `tcp: true`");
    }
  }

  // ---- x-process, x-http, deploy

  void Process(const Spot& spot) {
    const Reader::Handler handlers[] = {
        {"command", [this](const Spot& at) { Command(at); }},
        {"bundle",
         [this](const Spot& at) {
           auto directory = reader_.NonEmpty(at);
           if (!directory) return;
           if (!IsLine(*directory, 4096)) return reader_.Problem(at, "is not a directory's name");
           result_.bundle = BundleSource{std::move(*directory), reader_.Place(at)};
         }},
    };
    reader_.Keys(spot, handlers);
  }

  std::optional<std::string> Path(const Spot& spot) {
    auto path = reader_.NonEmpty(spot);
    if (!path) return std::nullopt;
    if (!path->starts_with('/') || !IsLine(*path, 4096) || path->find(' ') != std::string::npos) {
      reader_.Problem(spot, "must be a path that begins with / and has no spaces");
      return std::nullopt;
    }
    return path;
  }

  void Http(const Spot& spot) {
    result_.http = spot;
    HttpRoute& route = spec().http.emplace();
    const Reader::Handler handlers[] = {
        {"host",
         [&](const Spot& at) {
           auto host = reader_.NonEmpty(at);
           if (!host) return;
           if (!IsWord(*host, ".-", 253)) return reader_.Problem(at, "is not a host's name");
           std::transform(host->begin(), host->end(), host->begin(),
                          [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
           route.host = std::move(*host);
         }},
        {"path", [&](const Spot& at) { Set(Path(at), route.path); }},
    };
    reader_.Keys(spot, handlers);
  }

  void Deploy(const Spot& spot) {
    const Reader::Handler handlers[] = {
        {"replicas",
         [this](const Spot& at) {
           replicas_given_ = true;
           Set(reader_.Integer(at, 0, kReplicasMax), spec().replicas);
         }},
        {"resources", [this](const Spot& at) { ResourcesKey(at); }},
        {"placement", [this](const Spot& at) { Placement(at); }},
    };
    reader_.Keys(spot, handlers);
  }

  Resources Amounts(const Spot& spot) {
    Resources amounts;
    const auto take = [&](const Spot& at, auto parse, auto& out) {
      const auto text = reader_.NonEmpty(at);
      if (!text) return;
      const auto value = parse(*text);
      if (!value) return reader_.Problem(at, value.error().message);
      out = *value;
    };
    const Reader::Handler handlers[] = {
        {"cpus", [&](const Spot& at) { take(at, ParseMillicores, amounts.cpu_millicores); }},
        {"memory", [&](const Spot& at) { take(at, ParseBytes, amounts.memory_bytes); }},
    };
    reader_.Keys(spot, handlers);
    return amounts;
  }

  // Limits are not enforced yet; they stand in for a reservation that is not given, since that much may be
  // used.
  void ResourcesKey(const Spot& spot) {
    Resources limits;
    std::optional<Spot> limits_spot;
    const Reader::Handler handlers[] = {
        {"reservations", [&](const Spot& at) { spec().reserve = Amounts(at); }},
        {"limits",
         [&](const Spot& at) {
           limits_spot = at;
           limits = Amounts(at);
         }},
    };
    reader_.Keys(spot, handlers);
    if (!limits_spot) return;
    Resources& reserve = spec().reserve;
    if ((limits.cpu_millicores != 0 && limits.cpu_millicores < reserve.cpu_millicores) ||
        (limits.memory_bytes != 0 && limits.memory_bytes < reserve.memory_bytes)) {
      reader_.Problem(*limits_spot, "is less than what is reserved");
    }
    if (reserve.cpu_millicores == 0) reserve.cpu_millicores = limits.cpu_millicores;
    if (reserve.memory_bytes == 0) reserve.memory_bytes = limits.memory_bytes;
    reader_.Warn(*limits_spot,
                 "is taken as the reservation where none is given, and is not enforced in this release");
  }

  void Placement(const Spot& spot) {
    const Reader::Handler handlers[] = {{"constraints", [this](const Spot& at) {
                                           for (const Spot& entry : reader_.List(at)) ConstraintEntry(entry);
                                           if (spec().constraints.size() > 64) {
                                             reader_.Problem(at, "has more than 64 constraints");
                                           }
                                         }}};
    reader_.Keys(spot, handlers);
  }

  // node.labels.KEY == VALUE, with or without spaces.
  void ConstraintEntry(const Spot& spot) {
    const auto text = reader_.NonEmpty(spot);
    if (!text) return;
    std::size_t at = text->find("==");
    const bool equal = at != std::string::npos;
    if (!equal) at = text->find("!=");
    if (at == std::string::npos) return reader_.Problem(spot, "must be `LABEL == VALUE` or `LABEL != VALUE`");
    const auto trim = [](std::string_view part) {
      while (part.starts_with(' ')) part.remove_prefix(1);
      while (part.ends_with(' ')) part.remove_suffix(1);
      return std::string(part);
    };
    Constraint constraint{trim(std::string_view(*text).substr(0, at)),
                          trim(std::string_view(*text).substr(at + 2)), equal};
    const std::string& label = constraint.label;
    if (label == "node.role")
      return reader_.Problem(spot, "node.role is not supported: any node can take any role");
    const bool known = label == "node.hostname" || label == "node.id" ||
                       (label.starts_with("node.labels.") && IsWord(label.substr(12), "._-/", 200));
    if (!known) return reader_.Problem(spot, "must be about node.labels.KEY, node.hostname or node.id");
    if (constraint.value.empty() || !IsLine(constraint.value, 253))
      return reader_.Problem(spot, "has no value");
    spec().constraints.push_back(std::move(constraint));
  }

  Reader& reader_;
  ServiceResult result_;
  std::optional<Spot> command_;
  std::optional<Spot> health_;
  std::optional<Spot> scale_;
  std::optional<Spot> singleton_;
  bool replicas_given_ = false;
};

}  // namespace

ServiceResult ReadService(Reader& reader, const std::string& name, const Spot& spot) {
  return ServiceReader(reader, name).Read(spot);
}

}  // namespace hs::compose
