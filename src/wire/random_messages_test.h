// Random but valid instances of everything that travels, rich in edge cases: empty and full lists, zero and
// greatest numbers, IPv4, IPv6 and no address, text of several bytes a character. For the tests and the
// golden bytes.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/prng.h"
#include "core/messages.h"
#include "core/types.h"

namespace hs {

class RandomMessages {
 public:
  explicit RandomMessages(std::uint64_t seed) : prng_(seed) {}

  Prng& prng() { return prng_; }
  bool Coin() { return prng_.Chance(0.5); }
  std::size_t Count(std::size_t max) { return Coin() ? prng_.Below(2) : prng_.Below(max + 1); }

  template <typename Int>
  Int Number() {
    switch (prng_.Below(4)) {
      case 0:
        return 0;
      case 1:
        return static_cast<Int>(prng_.Below(128));
      case 2:
        return std::numeric_limits<Int>::max();
      default:
        return static_cast<Int>(prng_.Next());
    }
  }
  WallMs Wall() { return Coin() ? 0 : static_cast<WallMs>(prng_.Below(253'402'300'800'001)); }
  Duration Span() {
    return Duration(static_cast<std::int64_t>(prng_.Below(std::uint64_t{3600} * 1'000'000'000 * 1000)));
  }

  template <typename Id>
  Id Bytes() {
    Id id;
    for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(prng_.Next());
    id.bytes[0] |= 1;
    return id;
  }
  template <typename Id>
  Id BytesOrNone() {
    return Coin() ? Id{} : Bytes<Id>();
  }
  std::string Pick(std::string_view alphabet, std::size_t size) {
    std::string text;
    while (text.size() < size) text += alphabet[prng_.Below(alphabet.size())];
    return text;
  }
  // One draw a statement: the order of draws within an expression is the compiler's, and the golden bytes
  // need one.
  std::string Name() {
    std::string name = Pick("abz09", 1);
    name += Pick("az09-", prng_.Below(20));
    return name;
  }
  std::string Words() {
    return Coin() ? "" : Pick("A b.,\n", prng_.Below(60)) + "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
  }

  Endpoint Address() {
    Endpoint endpoint{IpAddress{}, Number<std::uint16_t>()};
    if (Coin()) {
      const auto first = static_cast<std::uint8_t>(prng_.Below(256));
      endpoint.ip = IpAddress::V4(first, 0, 0, Coin() ? 0 : 255);
    }
    if (prng_.Below(3) == 0) endpoint.ip = IpAddress{Bytes<NodeId>().bytes};
    return prng_.Below(5) == 0 ? Endpoint{} : endpoint;
  }

  Stamp RandomStamp() {
    return Coin() ? Stamp{} : Stamp{Wall(), Number<std::uint32_t>(), BytesOrNone<NodeId>()};
  }

  MemberMeta Meta() {
    MemberMeta meta{.name = Coin() ? "" : Pick("aZ9.-_:", 12), .address = Address(), .door = Address()};
    meta.inbound_http = Number<std::uint16_t>();
    meta.inbound_tcp = Number<std::uint16_t>();
    for (std::size_t i = Count(8); i > 0; --i)
      meta.labels[Pick("aZ9.-_/", 4)] = Coin() ? "" : "r\xc3\xa4" + Pick("a b=", 5);
    meta.capacity = {Number<std::uint32_t>(), Number<std::uint64_t>()};
    meta.region = Number<std::uint32_t>();
    meta.roles = {Coin(), Coin(), Coin(), Coin(), Coin(), Coin(), {}, Number<std::uint64_t>()};
    meta.roles.disk = static_cast<DiskFault>(meta.roles.term % 4);
    meta.version = Coin() ? "" : "1.2.3-rc4";
    meta.dials_out = Coin();
    if (meta.dials_out) meta.relays = List<NodeId>(kLineRelaysMax, [this] { return Bytes<NodeId>(); });
    std::sort(meta.relays.begin(), meta.relays.end());
    return meta;
  }

  MemberUpdate Update() {
    MemberUpdate update{.id = Bytes<NodeId>(), .boot_id = BootId{Number<std::uint64_t>()}};
    update.incarnation = {Number<std::uint32_t>(), Number<std::uint32_t>()};
    update.state = static_cast<MemberState>(prng_.Below(6));
    if (update.state == MemberState::kAlive) update.meta = Meta();
    auto witnesses = List<NodeId>(8, [this] { return Bytes<NodeId>(); });
    std::sort(witnesses.begin(), witnesses.end());
    update.witnesses = std::move(witnesses);
    return update;
  }

  GossipMessage Gossip() {
    GossipMessage message;
    const auto sequence = Number<std::uint32_t>();
    switch (prng_.Below(7)) {
      case 0:
        message.body = Ping{sequence, BytesOrNone<NodeId>()};
        break;
      case 1:
        message.body = PingRequest{sequence, Bytes<NodeId>(), Address()};
        break;
      case 2:
        message.body = Ack{sequence};
        break;
      case 3:
        message.body = Nack{sequence};
        break;
      case 4:
        message.body = News{};
        break;
      case 5:
        message.body = RefusalClaim{Bytes<NodeId>(), {Number<std::uint32_t>(), Number<std::uint32_t>()}};
        break;
      default:
        message.body = DocumentAck{RandomStamp()};
        break;
    }
    message.intent_digest = Number<std::uint64_t>();
    message.observation_digest = Number<std::uint64_t>();
    message.members_digest = Number<std::uint32_t>();
    message.wall_ms = Wall();
    message.updates = List<MemberUpdate>(6, [this] { return Update(); });
    return message;
  }

  ServiceSpec Spec() {
    ServiceSpec spec{.name = Name()};
    spec.command = List<std::string>(4, [this] { return Words(); });
    std::map<std::string, std::string> variables;
    for (std::size_t i = Count(5); i > 0; --i) variables[Pick("AB_9", 3)] = Words();
    spec.environment.assign(variables.begin(), variables.end());
    spec.working_dir = Coin() ? "" : "/srv/" + Name();
    spec.user = Coin() ? "" : "www-data";
    spec.bundle = BytesOrNone<Digest>();
    spec.ports = List<PublishedPort>(3, [this] {
      return PublishedPort{static_cast<std::uint16_t>(1 + prng_.Below(65535)), Coin()};
    });
    if (Coin()) spec.http = HttpRoute{Coin() ? "" : "a.example", "/" + Name()};
    spec.health = {
        .kind = static_cast<HealthKind>(prng_.Below(4)), .path = Coin() ? "" : "/h", .interval = Span()};
    spec.health.command = List<std::string>(3, [this] { return Words(); });
    spec.health.timeout = Span();
    spec.health.start_period = Span();
    spec.health.retries = Number<std::uint32_t>();
    spec.stop_signal = Coin() ? "SIGTERM" : "SIGRTMIN+3";
    spec.stop_grace = Span();
    spec.replicas = static_cast<std::uint32_t>(prng_.Below(1'000'001));
    spec.reserve = {Number<std::uint32_t>(), Number<std::uint64_t>()};
    spec.constraints = List<Constraint>(3, [this] {
      return Constraint{"node.labels." + Name(), Coin() ? "" : "a b", Coin()};
    });
    return spec;
  }

  // With what later releases added: apart from Spec(), so that its golden bytes stay as they are.
  ServiceSpec ScaledSpec() {
    ServiceSpec spec = Spec();
    ScaleSpec scale{.min = static_cast<std::uint32_t>(1 + prng_.Below(10))};
    scale.max = scale.min + static_cast<std::uint32_t>(prng_.Below(100));
    scale.target = static_cast<ScaleTarget>(prng_.Below(4));
    scale.value = static_cast<double>(1 + prng_.Below(1000)) / 8;
    if (Coin()) scale.metric = "queue_length";
    if (Coin()) scale.metric_path = "/m";
    if (Coin()) spec.scale = scale;
    spec.priority = static_cast<std::uint32_t>(prng_.Below(kPriorityMax + 1));
    spec.movable = Coin();
    if (spec.scale) {
      spec.scale->strict = Coin();
    } else if (Coin()) {
      spec.replicas = 1;
      spec.singleton = static_cast<Singleton>(prng_.Below(3));
    }
    return spec;
  }

  Document Quota() {
    QuotaDoc quota{.subject = Coin() ? "services" : "service." + Name()};
    quota.replicas_max = Number<std::uint32_t>();
    quota.cpu_millicores_max = Number<std::uint64_t>();
    quota.memory_bytes_max = Number<std::uint64_t>();
    return {.key = "quota/" + quota.subject, .stamp = RandomStamp(), .body = quota};
  }

  float Measure() { return static_cast<float>(prng_.Below(100'000)) / 64; }

  LinkMessage Load() {
    std::map<NodeId, NodeLoad> nodes;
    for (std::size_t i = Count(4); i > 0; --i) {
      NodeLoad node{.node = Bytes<NodeId>(), .cpu = Measure(), .cores = Measure()};
      node.memory_used_bytes = Number<std::uint64_t>();
      node.memory_total_bytes = Number<std::uint64_t>();
      node.disk_free_bytes = Number<std::uint64_t>();
      node.disk_total_bytes = Number<std::uint64_t>();
      node.disk_bytes_s = Measure();
      node.net_bytes_s = Measure();
      if (Coin()) node.pressure_cpu = Measure();
      if (Coin()) node.pressure_memory = Measure();
      if (Coin()) node.pressure_io = Measure();
      node.lag_ms = Measure();
      node.documents = prng_.Next();
      nodes.emplace(node.node, node);
    }
    std::map<std::string, ServiceLoad> services;
    for (std::size_t i = Count(4); i > 0; --i) {
      ServiceLoad service{.service = Name(), .arrivals_s = Measure(), .completions_s = Measure()};
      service.refused_s = Measure();
      service.errors_s = Measure();
      service.in_flight = Measure();
      service.queued = Measure();
      service.cpu = Measure();
      service.memory_bytes = Number<std::uint64_t>();
      service.replicas = static_cast<std::uint32_t>(prng_.Below(1000));
      service.start_ms = Measure();
      service.metric = Coin() ? -Measure() : Measure();
      service.metric_replicas = static_cast<std::uint32_t>(prng_.Below(1000));
      std::map<std::uint16_t, std::uint32_t> latency;
      for (std::size_t j = Count(9); j > 0; --j) {
        const auto bucket = static_cast<std::uint16_t>(prng_.Below(300));
        latency[bucket] = static_cast<std::uint32_t>(1 + prng_.Below(1000));
      }
      service.latency.assign(latency.begin(), latency.end());
      services.emplace(service.service, service);
    }
    LoadReport report;
    for (auto& [id, node] : nodes) report.nodes.push_back(node);
    for (auto& [name, service] : services) report.services.push_back(service);
    return report;
  }

  Shortage Short() {
    constexpr auto kKinds = static_cast<std::uint32_t>(ShortOf::kMajority) + 1;
    return {Name(), Number<std::uint32_t>(), Words(),
            ShortOf{static_cast<std::uint8_t>(prng_.Below(kKinds))}};
  }
  RegionReport Levels() {
    RegionReport report{.region = Number<RegionId>(), .stamp = Plan()};
    std::map<std::string, ServiceLevel> levels;
    for (std::size_t i = Count(4); i > 0; --i) {
      ServiceLevel level{.service = Name(), .wanted = static_cast<std::uint32_t>(prng_.Below(1000))};
      level.granted = static_cast<std::uint32_t>(prng_.Below(1000));
      level.per_replica_s = static_cast<double>(prng_.Below(100'000)) / 64;
      level.cause = Words();
      levels.emplace(level.service, level);
    }
    for (auto& [name, level] : levels) report.levels.push_back(level);
    std::map<std::string, ServiceInRegion> services;
    for (std::size_t i = Count(3); i > 0; --i) {
      ServiceInRegion service{.service = Name(), .keeper = ReplicaId{prng_.Next()}};
      service.healthy = static_cast<std::uint32_t>(prng_.Below(1000));
      service.starting = static_cast<std::uint32_t>(prng_.Below(1000));
      service.draining = static_cast<std::uint32_t>(prng_.Below(1000));
      std::map<NodeId, ServiceAtNode> nodes;
      for (std::size_t n = Count(3); n > 0; --n) {
        const auto id = Bytes<NodeId>();
        nodes[id] = {id, 1 + static_cast<std::uint32_t>(prng_.Below(9)), 3, 2, 1};
      }
      for (auto& [id, at] : nodes) service.nodes.push_back(at);
      services.emplace(service.service, service);
    }
    for (auto& [name, service] : services) report.services.push_back(service);
    report.held = {{"quota.services.mib", prng_.Next()}, {"service.web", 7}};
    report.follows = Plan();
    report.division = {{1, {{"replicas.web", 3}}}, {2 + static_cast<RegionId>(prng_.Below(9)), report.held}};
    report.division_sequence = prng_.Next();
    report.documents = prng_.Next();
    return report;
  }

  Document RandomDocument() {
    Document document{.stamp = RandomStamp(), .seen = RandomStamp()};
    switch (prng_.Below(6)) {
      case 0:
        document.key = "stack/" + Name();
        document.key += "/" + Name();
        break;
      case 1: {
        std::map<std::string, ServiceSpec> specs;
        for (std::size_t i = Count(4); i > 0; --i) {
          ServiceSpec spec = Spec();
          specs.insert_or_assign(spec.name, spec);
        }
        StackSpec stack{Name(), {}};
        for (auto& [name, spec] : specs) stack.services.push_back(std::move(spec));
        document.key = "stack/" + stack.name + "/" + Name();
        document.body = std::move(stack);
        break;
      }
      case 2: {
        const ScaleOverride scale{Name(), static_cast<std::uint32_t>(prng_.Below(1'000'001))};
        document.key = "scale/" + scale.service;
        document.body = scale;
        break;
      }
      case 3: {
        const DrainOrder order{Bytes<NodeId>()};
        document.key = "drain/" + order.node.Hex();
        document.body = order;
        break;
      }
      case 4: {
        const TokenDoc token{Pick("aZ9._-", 9), Bytes<Digest>(), Wall(), Coin()};
        document.key = "token/" + token.id;
        document.body = token;
        break;
      }
      default: {
        const NodeDoc node{Bytes<NodeId>(), Coin() ? "" : "box-1.example", Bytes<Digest>()};
        document.key = "node/" + node.node.Hex();
        document.body = node;
        break;
      }
    }
    return document;
  }

  PlanStamp Plan() { return {Number<std::uint64_t>(), BytesOrNone<NodeId>(), Number<std::uint64_t>()}; }

  NodeReport Report() {
    NodeReport report{.plan = Plan(), .door_error = Words(), .containment = Words()};
    for (const Role role : {Role::kWorker, Role::kMonitor, Role::kController}) {
      if (Coin()) report.roles.push_back({role, Wall(), Words()});
    }
    report.replicas = List<ReplicaStatus>(5, [this] {
      ReplicaStatus replica{
          .id = ReplicaId{prng_.Next() | 1}, .service = Name(), .spec = SpecHash{prng_.Next()}};
      replica.state = static_cast<ReplicaState>(prng_.Below(6));
      replica.health = static_cast<Health>(prng_.Below(3));
      replica.address = Address();
      replica.pid = Number<std::uint32_t>();
      replica.restarts = Number<std::uint32_t>();
      replica.since_ms = Wall();
      replica.last_error = Words();
      return replica;
    });
    std::sort(report.replicas.begin(), report.replicas.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    report.bundles = List<Digest>(4, [this] { return Bytes<Digest>(); });
    std::sort(report.bundles.begin(), report.bundles.end());
    report.allotments = Allotments();
    report.troubles = List<std::string>(3, [this] { return Words(); });
    return report;
  }

  std::vector<Allotment> Allotments() {
    std::map<std::string, std::uint64_t> amounts;
    for (std::size_t i = Count(4); i > 0; --i) amounts["service." + Name()] = Number<std::uint64_t>();
    std::vector<Allotment> allotments;
    for (const auto& [subject, amount] : amounts) allotments.push_back({subject, amount});
    return allotments;
  }

  PlanSlice Slice() {
    PlanSlice slice{.region = Number<RegionId>(),
                    .stamp = Plan(),
                    .members_digest = prng_.Next(),
                    .node = Bytes<NodeId>()};
    slice.assignments = List<Assignment>(5, [this] {
      return Assignment{ReplicaId{prng_.Next() | 1},
                        Name(),
                        SpecHash{prng_.Next()},
                        Coin() ? ReplicaId{} : ReplicaId{prng_.Next()},
                        Words(),
                        Coin() ? ReplicaId{} : ReplicaId{prng_.Next()}};
    });
    slice.allotments = Allotments();
    std::sort(slice.assignments.begin(), slice.assignments.end(),
              [](const auto& a, const auto& b) { return a.replica < b.replica; });
    return slice;
  }

  Record RandomRecord() {
    Record record{.version = {Number<std::uint32_t>(), Number<std::uint64_t>()}};
    record.key = Key();
    RecordBody body;
    switch (record.key.kind) {
      case RecordKind::kNodeReport:
        body = Report();
        break;
      case RecordKind::kPlanSlice:
        body = Slice();
        break;
      case RecordKind::kRegionReport:
        body = RegionReport{Number<RegionId>(), Plan(), List<Shortage>(3, [this] { return Short(); }),
                            List<std::string>(3, [this] { return Words(); })};
        break;
      case RecordKind::kReach:
        body = Reach();
        break;
      case RecordKind::kEvent:
        body = Event{Wall(), BytesOrNone<NodeId>(), "member.agent-down", Words(), Words()};
        break;
    }
    record.body = std::make_shared<const RecordBody>(std::move(body));
    return record;
  }

  // Of later releases than Gossip() and RandomRecord(), so that the golden bytes of those stay as they are.
  ReachReport Reach() {
    ReachReport report;
    if (Coin()) {
      report.same_as = Bytes<NodeId>();
      report.peers_hash = prng_.Next();
      return report;
    }
    report.exceptions = List<ReachException>(4, [this] {
      ReachException exception{.peer = Bytes<NodeId>(), .heard = Coin()};
      exception.relays = List<NodeId>(2, [this] { return Bytes<NodeId>(); });
      exception.round_trip_us = Number<std::uint32_t>();
      return exception;
    });
    std::sort(report.exceptions.begin(), report.exceptions.end(),
              [](const auto& a, const auto& b) { return a.peer < b.peer; });
    return report;
  }

  GossipMessage OnAPath() {
    GossipMessage message;
    const auto sequence = Number<std::uint32_t>();
    const auto kind = prng_.Below(3);
    if (kind == 0) message.body = PathPing{sequence};
    if (kind == 1) message.body = PathPong{sequence};
    if (kind < 2) return message;
    Relayed relayed{.source = Bytes<NodeId>()};
    relayed.ahead = List<NodeId>(1, [this] { return Bytes<NodeId>(); });
    relayed.behind = List<NodeId>(1, [this] { return Bytes<NodeId>(); });
    relayed.inner = std::make_shared<const GossipMessage>(Gossip());
    message.body = std::move(relayed);
    return message;
  }

  RecordKey Key() {
    return {static_cast<RecordKind>(prng_.Below(4)), Bytes<NodeId>(), Number<std::uint64_t>()};
  }

  LinkMessage Link() {
    switch (prng_.Below(5)) {
      case 0:
        return PushPull{Coin(), List<MemberUpdate>(6, [this] { return Update(); })};
      case 1:
        return DocumentPush{List<Document>(4, [this] { return RandomDocument(); }), Coin(),
                            BytesOrNone<NodeId>()};
      case 2: {
        std::map<std::string, Stamp> held;
        for (std::size_t i = Count(6); i > 0; --i) {
          const Stamp stamp = RandomStamp();
          held["scale/" + Name()] = stamp;
        }
        return DocumentOffer{Coin(), RandomStamp(), {held.begin(), held.end()}};
      }
      case 3: {
        RecordPush push{List<Record>(4, [this] { return RandomRecord(); }), Coin()};
        push.known = push.records.empty();
        return push;
      }
      default: {
        std::map<RecordKey, RecordVersion> held;
        for (std::size_t i = Count(6); i > 0; --i) {
          const auto boot = Number<std::uint32_t>();
          const std::uint64_t sequence = prng_.Next();
          held[Key()] = {boot, sequence};
        }
        return RecordOffer{Coin(), {held.begin(), held.end()}};
      }
    }
  }

 private:
  template <typename T, typename Make>
  std::vector<T> List(std::size_t max, Make make) {
    std::vector<T> list;
    for (std::size_t i = Count(max); i > 0; --i) list.push_back(make());
    return list;
  }

  Prng prng_;
};

}  // namespace hs
