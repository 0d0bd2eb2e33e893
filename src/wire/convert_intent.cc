#include <cmath>
#include <type_traits>

#include "wire/codec.h"
#include "wire/convert.h"
#include "wire/names.h"

namespace hs::wire {
namespace {

void Pack(const HealthCheck& in, pb::HealthCheck& out) {
  out.set_kind(static_cast<std::uint32_t>(in.kind));
  out.set_path(in.path);
  for (const auto& word : in.command) out.add_command(word);
  out.set_interval_ns(static_cast<std::uint64_t>(in.interval.count()));
  out.set_timeout_ns(static_cast<std::uint64_t>(in.timeout.count()));
  out.set_start_period_ns(static_cast<std::uint64_t>(in.start_period.count()));
  out.set_retries(in.retries);
}

template <typename PbStrings>
void UnpackWords(const PbStrings& in, std::vector<std::string>& out, std::string_view field, Check& check) {
  if (!check.TakeCount(in.size(), kListMax, field)) return;
  for (const auto& word : in) {
    if (!check.TakeText(word, kStringMax, out.emplace_back(), field)) return;
  }
}

void Unpack(const pb::HealthCheck& in, HealthCheck& out, Check& check) {
  check.TakeNumber(in.kind(), static_cast<std::uint64_t>(HealthKind::kCommand), out.kind, "kind");
  check.TakeText(in.path(), kPathMax, out.path, "path");
  // Becomes a line of an HTTP request.
  check.Need(IsLine(in.path(), kPathMax) && in.path().find(' ') == std::string::npos, "path", "not a path");
  UnpackWords(in.command(), out.command, "command", check);
  check.TakeDuration(in.interval_ns(), out.interval, "interval_ns");
  check.TakeDuration(in.timeout_ns(), out.timeout, "timeout_ns");
  check.TakeDuration(in.start_period_ns(), out.start_period, "start_period_ns");
  out.retries = in.retries();
}

void Unpack(const pb::HttpRoute& in, HttpRoute& out, Check& check) {
  check.Need(in.host().empty() || IsWord(in.host(), ".-_*:", kNameMax), "host", "not a host name");
  out.host = in.host();
  check.Need(
      in.path().starts_with('/') && IsLine(in.path(), kPathMax) && in.path().find(' ') == std::string::npos,
      "path", "not a path that begins with /");
  out.path = in.path();
}

void UnpackEnvironment(const pb::ServiceSpec& in, ServiceSpec& out, Check& check) {
  if (!check.TakeCount(in.environment_size(), kListMax, "environment")) return;
  for (const auto& variable : in.environment()) {
    auto& [name, value] = out.environment.emplace_back();
    check.Need(IsVariableName(variable.name()), "environment", "not a variable's name");
    name = variable.name();
    if (!check.TakeText(variable.value(), kStringMax, value, "environment")) return;
  }
  NeedAscending(out.environment, "environment", check,
                [](const auto& pair) { return std::string_view(pair.first); });
}

void UnpackPorts(const pb::ServiceSpec& in, ServiceSpec& out, Check& check) {
  if (!check.TakeCount(in.ports_size(), kListMax, "ports")) return;
  for (const auto& port : in.ports()) {
    PublishedPort& published = out.ports.emplace_back();
    check.Need(port.port() != 0, "ports", "port 0");
    check.TakeNumber(port.port(), 65535, published.port, "ports");
    published.http = port.http();
  }
}

void Pack(const ScaleSpec& in, pb::ScaleSpec& out) {
  out.set_min(in.min);
  out.set_max(in.max);
  out.set_target(static_cast<std::uint32_t>(in.target));
  out.set_value(in.value);
  out.set_metric(in.metric);
  out.set_metric_path(in.metric_path);
  out.set_strict(in.strict);
}

void Unpack(const pb::ScaleSpec& in, ScaleSpec& out, Check& check) {
  check.TakeNumber(in.min(), kReplicasWantedMax, out.min, "min");
  check.TakeNumber(in.max(), kReplicasWantedMax, out.max, "max");
  check.Need(in.min() >= 1 && in.min() <= in.max(), "min", "not from 1 to max");
  check.TakeNumber(in.target(), static_cast<std::uint64_t>(ScaleTarget::kMetric), out.target, "target");
  check.Need(std::isfinite(in.value()) && in.value() >= 0 && (in.target() == 0 || in.value() > 0), "value",
             "not a number above 0");
  out.value = in.value();
  check.Need(in.metric().empty() || IsWord(in.metric(), "_:", kNameMax), "metric", "not a metric's name");
  out.metric = in.metric();
  check.Need(in.metric_path().starts_with('/') && IsLine(in.metric_path(), kPathMax) &&
                 in.metric_path().find(' ') == std::string::npos,
             "metric_path", "not a path that begins with /");
  out.metric_path = in.metric_path();
  out.strict = in.strict();
}

void UnpackConstraints(const pb::ServiceSpec& in, ServiceSpec& out, Check& check) {
  if (!check.TakeCount(in.constraints_size(), kListMax, "constraints")) return;
  for (const auto& constraint : in.constraints()) {
    Constraint& taken = out.constraints.emplace_back();
    check.Need(IsWord(constraint.label(), "._-/", kNameMax), "constraints", "not a label");
    taken.label = constraint.label();
    check.Need(IsLine(constraint.value(), kNameMax), "constraints", "a value is not a line of text");
    taken.value = constraint.value();
    taken.equal = !constraint.not_equal();
  }
}

void Pack(const StackSpec& in, pb::StackSpec& out) {
  out.set_name(in.name);
  for (const ServiceSpec& service : in.services) wire::Pack(service, *out.add_services());
}

void Unpack(const pb::StackSpec& in, StackSpec& out, Check& check) {
  check.TakeServiceName(in.name(), out.name, "name");
  UnpackList(in.services(), out.services, kServicesMax, "services", check);
  NeedAscending(out.services, "services", check,
                [](const ServiceSpec& spec) { return std::string_view(spec.name); });
}

void Unpack(const pb::ScaleOverride& in, ScaleOverride& out, Check& check) {
  check.TakeServiceName(in.service(), out.service, "service");
  check.TakeNumber(in.replicas(), kReplicasWantedMax, out.replicas, "replicas");
}

void Unpack(const pb::Token& in, TokenDoc& out, Check& check) {
  check.Need(IsWord(in.id(), "._-", 64), "id", "not letters, digits and ._-");
  out.id = in.id();
  check.TakeId(in.secret_digest(), out.secret_digest, "secret_digest");
  check.TakeWall(in.expires_ms(), out.expires_ms, "expires_ms");
  out.admin = in.admin();
}

void Unpack(const pb::Quota& in, QuotaDoc& out, Check& check) {
  const bool of_service = in.subject().starts_with("service.") && IsWord(in.subject(), "._-", kNameMax);
  check.Need(in.subject() == "services" || in.subject() == "batch" || of_service, "subject",
             "not services, batch or service.NAME");
  out = {in.subject(), in.replicas_max(), in.cpu_millicores_max(), in.memory_bytes_max()};
}

void Unpack(const pb::NodeKey& in, NodeDoc& out, Check& check) {
  check.TakeId(in.node(), out.node, "node");
  check.Need(in.name().empty() || IsWord(in.name(), "._-:", kNameMax), "name",
             "not letters, digits and ._-:");
  out.name = in.name();
  check.TakeId(in.public_key(), out.public_key, "public_key");
}

// The key a body must be stored under; for a stack only its beginning, since the revision follows.
std::string KeyOf(const DocumentBody& body) {
  return std::visit(
      [](const auto& of) -> std::string {
        using Body = std::decay_t<decltype(of)>;
        if constexpr (std::is_same_v<Body, StackSpec>) return "stack/" + of.name + "/";
        if constexpr (std::is_same_v<Body, ScaleOverride>) return "scale/" + of.service;
        if constexpr (std::is_same_v<Body, DrainOrder>) return "drain/" + of.node.Hex();
        if constexpr (std::is_same_v<Body, TokenDoc>) return "token/" + of.id;
        if constexpr (std::is_same_v<Body, NodeDoc>) return "node/" + of.node.Hex();
        if constexpr (std::is_same_v<Body, QuotaDoc>) return "quota/" + of.subject;
        return {};
      },
      body);
}

}  // namespace

void Pack(const ServiceSpec& in, pb::ServiceSpec& out) {
  out.set_name(in.name);
  for (const auto& word : in.command) out.add_command(word);
  for (const auto& [name, value] : in.environment) {
    auto& variable = *out.add_environment();
    variable.set_name(name);
    variable.set_value(value);
  }
  out.set_working_dir(in.working_dir);
  out.set_user(in.user);
  out.set_bundle(BytesOf(in.bundle));
  for (const PublishedPort& port : in.ports) {
    auto& published = *out.add_ports();
    published.set_port(port.port);
    published.set_http(port.http);
  }
  if (in.http) {
    out.mutable_http()->set_host(in.http->host);
    out.mutable_http()->set_path(in.http->path);
  }
  Pack(in.health, *out.mutable_health());
  out.set_stop_signal(in.stop_signal);
  out.set_stop_grace_ns(static_cast<std::uint64_t>(in.stop_grace.count()));
  out.set_replicas(in.replicas);
  out.set_cpu_millicores(in.reserve.cpu_millicores);
  out.set_memory_bytes(in.reserve.memory_bytes);
  for (const Constraint& constraint : in.constraints) {
    auto& packed = *out.add_constraints();
    packed.set_label(constraint.label);
    packed.set_value(constraint.value);
    packed.set_not_equal(!constraint.equal);
  }
  if (in.scale) Pack(*in.scale, *out.mutable_scale());
  if (in.priority != kPriorityDefault) out.set_priority(in.priority);
  out.set_not_movable(!in.movable);
  out.set_singleton(static_cast<std::uint32_t>(in.singleton));
}

void Unpack(const pb::ServiceSpec& in, ServiceSpec& out, Check& check) {
  check.TakeServiceName(in.name(), out.name, "name");
  UnpackWords(in.command(), out.command, "command", check);
  UnpackEnvironment(in, out, check);
  check.TakeText(in.working_dir(), kPathMax, out.working_dir, "working_dir");
  check.Need(in.user().empty() || IsWord(in.user(), "._-:$", 64), "user", "not a user's name");
  out.user = in.user();
  check.TakeId(in.bundle(), out.bundle, "bundle", Check::Zero::kAllowed);
  UnpackPorts(in, out, check);
  if (in.has_http()) {
    Check::Scope scope(check, "http");
    Unpack(in.http(), out.http.emplace(), check);
  }
  {
    Check::Scope scope(check, "health");
    Unpack(in.health(), out.health, check);
  }
  check.Need(IsSignalName(in.stop_signal()), "stop_signal", "not a signal's name");
  out.stop_signal = in.stop_signal();
  check.TakeDuration(in.stop_grace_ns(), out.stop_grace, "stop_grace_ns");
  check.TakeNumber(in.replicas(), kReplicasWantedMax, out.replicas, "replicas");
  out.reserve = {in.cpu_millicores(), in.memory_bytes()};
  UnpackConstraints(in, out, check);
  if (in.has_scale()) {
    Check::Scope scope(check, "scale");
    Unpack(in.scale(), out.scale.emplace(), check);
  }
  if (in.has_priority()) check.TakeNumber(in.priority(), kPriorityMax, out.priority, "priority");
  out.movable = !in.not_movable();
  check.TakeNumber(in.singleton(), static_cast<std::uint64_t>(Singleton::kPause), out.singleton, "singleton");
  check.Need(out.singleton == Singleton::kNone || (out.replicas == 1 && !out.scale), "singleton",
             "of a service that does not have exactly one replica");
}

void Pack(const DocumentBody& in, pb::DocumentBody& out) {
  std::visit(
      [&out](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, std::monostate>) {
          out.set_tombstone(true);
        } else if constexpr (std::is_same_v<Body, StackSpec>) {
          Pack(body, *out.mutable_stack());
        } else if constexpr (std::is_same_v<Body, ScaleOverride>) {
          out.mutable_scale()->set_service(body.service);
          out.mutable_scale()->set_replicas(body.replicas);
        } else if constexpr (std::is_same_v<Body, DrainOrder>) {
          out.mutable_drain()->set_node(BytesOf(body.node));
        } else if constexpr (std::is_same_v<Body, TokenDoc>) {
          auto& token = *out.mutable_token();
          token.set_id(body.id);
          token.set_secret_digest(BytesOf(body.secret_digest));
          token.set_expires_ms(body.expires_ms);
          token.set_admin(body.admin);
        } else if constexpr (std::is_same_v<Body, QuotaDoc>) {
          auto& quota = *out.mutable_quota();
          quota.set_subject(body.subject);
          quota.set_replicas_max(body.replicas_max);
          quota.set_cpu_millicores_max(body.cpu_millicores_max);
          quota.set_memory_bytes_max(body.memory_bytes_max);
        } else {
          static_assert(std::is_same_v<Body, NodeDoc>);
          auto& node = *out.mutable_node();
          node.set_node(BytesOf(body.node));
          node.set_name(body.name);
          node.set_public_key(BytesOf(body.public_key));
        }
      },
      in);
}

void Unpack(const pb::DocumentBody& in, DocumentBody& out, Check& check) {
  const auto into = [&](const auto& from, auto body, std::string_view field) {
    Check::Scope scope(check, field);
    Unpack(from, body, check);
    out = std::move(body);
  };
  const std::size_t bytes = in.ByteSizeLong();
  check.Need(bytes <= kDocumentBytesMax, "body",
             std::to_string(bytes) + " bytes, at most " + std::to_string(kDocumentBytesMax));
  switch (in.body_case()) {
    case pb::DocumentBody::kTombstone:
      out = std::monostate{};
      return;
    case pb::DocumentBody::kStack:
      return into(in.stack(), StackSpec{}, "stack");
    case pb::DocumentBody::kScale:
      return into(in.scale(), ScaleOverride{}, "scale");
    case pb::DocumentBody::kToken:
      return into(in.token(), TokenDoc{}, "token");
    case pb::DocumentBody::kNode:
      return into(in.node(), NodeDoc{}, "node");
    case pb::DocumentBody::kQuota:
      return into(in.quota(), QuotaDoc{}, "quota");
    case pb::DocumentBody::kDrain: {
      DrainOrder order;
      check.TakeId(in.drain().node(), order.node, "drain.node");
      out = order;
      return;
    }
    case pb::DocumentBody::BODY_NOT_SET:
      break;
  }
  check.Fail("body", "absent, or of a kind this release does not know");
}

void UnpackDocumentKey(const std::string& in, std::string& out, Check& check) {
  check.Need(IsWord(in, "/._-", kNameMax), "key", "not letters, digits and /._-");
  bool known = false;
  for (std::string_view kind : {"stack/", "scale/", "drain/", "token/", "node/", "quota/"}) {
    known = known || (in.starts_with(kind) && in.size() > kind.size());
  }
  check.Need(known, "key", "of a kind this release does not know");
  out = in;
}

void Pack(const Document& in, pb::Document& out) {
  out.set_key(in.key);
  Pack(in.stamp, *out.mutable_stamp());
  Pack(in.body, *out.mutable_body());
  if (in.seen != Stamp{}) Pack(in.seen, *out.mutable_seen());
}

void Unpack(const pb::Document& in, Document& out, Check& check) {
  UnpackDocumentKey(in.key(), out.key, check);
  {
    Check::Scope scope(check, "stamp");
    Unpack(in.stamp(), out.stamp, check);
  }
  {
    Check::Scope scope(check, "body");
    Unpack(in.body(), out.body, check);
  }
  if (in.has_seen()) {
    Check::Scope scope(check, "seen");
    Unpack(in.seen(), out.seen, check);
  }
  const std::string expected = KeyOf(out.body);
  const bool fits = std::holds_alternative<StackSpec>(out.body)
                        ? out.key.starts_with(expected) && out.key.size() > expected.size()
                        : expected.empty() || out.key == expected;
  check.Need(fits, "key", "does not fit the body");
}

}  // namespace hs::wire
