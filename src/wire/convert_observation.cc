#include <cmath>
#include <type_traits>

#include "wire/convert.h"
#include "wire/names.h"

namespace hs::wire {

// Not in an unnamed namespace: UnpackList finds these by their argument Check.
static void Pack(const PlanStamp& in, pb::PlanStamp& out) {
  out.set_term(in.term);
  out.set_controller(BytesOf(in.controller));
  out.set_sequence(in.sequence);
}

static void Unpack(const pb::PlanStamp& in, PlanStamp& out, Check& check) {
  out.term = in.term();
  check.TakeId(in.controller(), out.controller, "controller", Check::Zero::kAllowed);
  out.sequence = in.sequence();
}

static void UnpackPlanStamp(const pb::PlanStamp& in, PlanStamp& out, std::string_view field, Check& check) {
  Check::Scope scope(check, field);
  Unpack(in, out, check);
}

static void Pack(const ReplicaStatus& in, pb::ReplicaStatus& out) {
  out.set_id(in.id.value);
  out.set_service(in.service);
  out.set_spec(in.spec.value);
  out.set_state(static_cast<std::uint32_t>(in.state));
  out.set_health(static_cast<std::uint32_t>(in.health));
  if (in.address != Endpoint{}) wire::Pack(in.address, *out.mutable_address());
  out.set_pid(in.pid);
  out.set_restarts(in.restarts);
  out.set_since_ms(in.since_ms);
  out.set_last_error(CleanText(in.last_error, kWordsMax));
}

static void Unpack(const pb::ReplicaStatus& in, ReplicaStatus& out, Check& check) {
  out.id = ReplicaId{in.id()};
  check.Need(in.id() != 0, "id", "is zero");
  check.TakeServiceName(in.service(), out.service, "service");
  out.spec = SpecHash{in.spec()};
  check.TakeNumber(in.state(), static_cast<std::uint64_t>(ReplicaState::kStopping), out.state, "state");
  check.TakeNumber(in.health(), static_cast<std::uint64_t>(Health::kUnhealthy), out.health, "health");
  if (in.has_address()) {
    Check::Scope scope(check, "address");
    wire::Unpack(in.address(), out.address, check);
  }
  out.pid = in.pid();
  out.restarts = in.restarts();
  check.TakeWall(in.since_ms(), out.since_ms, "since_ms");
  check.TakeText(in.last_error(), kWordsMax, out.last_error, "last_error");
}

static void Pack(const Allotment& in, pb::Allotment& out) {
  out.set_subject(in.subject);
  out.set_amount(in.amount);
}

static void Unpack(const pb::Allotment& in, Allotment& out, Check& check) {
  check.Need(IsWord(in.subject(), ".-", 128), "subject", "not letters, digits, . and -");
  out.subject = in.subject();
  out.amount = in.amount();
}

static void Pack(const Assignment& in, pb::Assignment& out) {
  out.set_replica(in.replica.value);
  out.set_service(in.service);
  out.set_spec(in.spec.value);
  out.set_stop_keeper(in.stop_keeper.value);
  out.set_cause(CleanText(in.cause, kWordsMax));
  out.set_replaces(in.replaces.value);
}

static void Unpack(const pb::Assignment& in, Assignment& out, Check& check) {
  check.Need(in.replica() != 0, "replica", "is zero");
  out.replica = ReplicaId{in.replica()};
  check.TakeServiceName(in.service(), out.service, "service");
  out.spec = SpecHash{in.spec()};
  out.stop_keeper = ReplicaId{in.stop_keeper()};
  check.TakeText(in.cause(), kWordsMax, out.cause, "cause");
  out.replaces = ReplicaId{in.replaces()};
}

// Of a slice or a report.
template <typename From, typename To>
static void UnpackAllotments(const From& in, To& out, Check& check) {
  UnpackList(in.allotments(), out.allotments, kReplicasMax, "allotments", check);
  NeedAscending(out.allotments, "allotments", check,
                [](const Allotment& entry) { return std::string_view(entry.subject); });
}

static void Pack(const PlanSlice& in, pb::PlanSlice& out) {
  out.set_region(in.region);
  Pack(in.stamp, *out.mutable_stamp());
  out.set_members_digest(in.members_digest);
  out.set_node(BytesOf(in.node));
  for (const Assignment& assignment : in.assignments) Pack(assignment, *out.add_assignments());
  for (const Allotment& allotment : in.allotments) Pack(allotment, *out.add_allotments());
}

static void Unpack(const pb::PlanSlice& in, PlanSlice& out, Check& check) {
  out.region = in.region();
  UnpackPlanStamp(in.stamp(), out.stamp, "stamp", check);
  out.members_digest = in.members_digest();
  check.TakeId(in.node(), out.node, "node");
  UnpackList(in.assignments(), out.assignments, kReplicasMax, "assignments", check);
  NeedAscending(out.assignments, "assignments", check, [](const Assignment& entry) { return entry.replica; });
  UnpackAllotments(in, out, check);
}

static void Pack(const ServiceLevel& in, pb::ServiceLevel& out) {
  out.set_service(in.service);
  out.set_wanted(in.wanted);
  out.set_granted(in.granted);
  out.set_per_replica_s(in.per_replica_s);
  out.set_cause(CleanText(in.cause, kWordsMax));
}

static void Unpack(const pb::ServiceLevel& in, ServiceLevel& out, Check& check) {
  check.TakeServiceName(in.service(), out.service, "service");
  check.TakeNumber(in.wanted(), kReplicasWantedMax, out.wanted, "wanted");
  check.TakeNumber(in.granted(), kReplicasWantedMax, out.granted, "granted");
  check.Need(std::isfinite(in.per_replica_s()) && in.per_replica_s() >= 0, "per_replica_s", "not a number");
  out.per_replica_s = in.per_replica_s();
  check.TakeText(in.cause(), kWordsMax, out.cause, "cause");
}

static void Pack(const ServiceInRegion& in, pb::ServiceInRegion& out) {
  out.set_service(in.service);
  out.set_healthy(in.healthy);
  out.set_starting(in.starting);
  out.set_draining(in.draining);
  out.set_keeper(in.keeper.value);
  for (const ServiceAtNode& at : in.nodes) {
    auto& packed = *out.add_nodes();
    packed.set_node(BytesOf(at.node));
    packed.set_staying(at.staying);
    packed.set_running(at.running);
    packed.set_well(at.well);
    packed.set_draining(at.draining);
  }
}

static void Unpack(const pb::ServiceAtNode& in, ServiceAtNode& out, Check& check) {
  check.TakeId(in.node(), out.node, "node");
  check.TakeNumber(in.staying(), kReplicasWantedMax, out.staying, "staying");
  check.TakeNumber(in.running(), kReplicasWantedMax, out.running, "running");
  check.TakeNumber(in.well(), kReplicasWantedMax, out.well, "well");
  check.TakeNumber(in.draining(), kReplicasWantedMax, out.draining, "draining");
}

static void Unpack(const pb::ServiceInRegion& in, ServiceInRegion& out, Check& check) {
  check.TakeServiceName(in.service(), out.service, "service");
  check.TakeNumber(in.healthy(), kReplicasWantedMax, out.healthy, "healthy");
  check.TakeNumber(in.starting(), kReplicasWantedMax, out.starting, "starting");
  check.TakeNumber(in.draining(), kReplicasWantedMax, out.draining, "draining");
  out.keeper = ReplicaId{in.keeper()};
  UnpackList(in.nodes(), out.nodes, kMembersMax, "nodes", check);
  NeedAscending(out.nodes, "nodes", check, [](const ServiceAtNode& at) { return at.node; });
}

static void Unpack(const pb::RegionShare& in, RegionShare& out, Check& check) {
  out.region = in.region();
  UnpackAllotments(in, out, check);
}

static void Pack(const RegionReport& in, pb::RegionReport& out) {
  out.set_region(in.region);
  Pack(in.stamp, *out.mutable_stamp());
  for (const Shortage& shortage : in.shortages) {
    auto& packed = *out.add_shortages();
    packed.set_service(shortage.service);
    packed.set_missing(shortage.missing);
    packed.set_reason(CleanText(shortage.reason, kWordsMax));
    packed.set_of(static_cast<std::uint32_t>(shortage.of));
  }
  for (const auto& sentence : in.pending) out.add_pending(CleanText(sentence, kWordsMax));
  for (const ServiceLevel& level : in.levels) Pack(level, *out.add_levels());
  for (const ServiceInRegion& service : in.services) Pack(service, *out.add_services());
  for (const Allotment& part : in.held) Pack(part, *out.add_held());
  if (in.follows != PlanStamp{}) Pack(in.follows, *out.mutable_follows());
  for (const RegionShare& share : in.division) {
    auto& packed = *out.add_division();
    packed.set_region(share.region);
    for (const Allotment& part : share.allotments) Pack(part, *packed.add_allotments());
  }
  out.set_division_sequence(in.division_sequence);
  out.set_documents(in.documents);
}

static void Unpack(const pb::Shortage& in, Shortage& out, Check& check) {
  check.TakeServiceName(in.service(), out.service, "service");
  out.missing = in.missing();
  check.TakeText(in.reason(), kWordsMax, out.reason, "reason");
  // A kind that a newer node knows has its words.
  if (in.of() <= static_cast<std::uint32_t>(ShortOf::kMajority)) out.of = static_cast<ShortOf>(in.of());
}

static void Unpack(const pb::RegionReport& in, RegionReport& out, Check& check) {
  out.region = in.region();
  UnpackPlanStamp(in.stamp(), out.stamp, "stamp", check);
  UnpackList(in.shortages(), out.shortages, kReplicasMax, "shortages", check);
  if (!check.TakeCount(in.pending_size(), kReplicasMax, "pending")) return;
  for (const auto& sentence : in.pending())
    check.TakeText(sentence, kWordsMax, out.pending.emplace_back(), "pending");
  UnpackList(in.levels(), out.levels, kReplicasMax, "levels", check);
  NeedAscending(out.levels, "levels", check,
                [](const ServiceLevel& level) { return std::string_view(level.service); });
  UnpackList(in.services(), out.services, kReplicasMax, "services", check);
  NeedAscending(out.services, "services", check,
                [](const ServiceInRegion& service) { return std::string_view(service.service); });
  UnpackList(in.held(), out.held, kReplicasMax, "held", check);
  NeedAscending(out.held, "held", check,
                [](const Allotment& part) { return std::string_view(part.subject); });
  UnpackPlanStamp(in.follows(), out.follows, "follows", check);
  UnpackList(in.division(), out.division, kMembersMax, "division", check);
  NeedAscending(out.division, "division", check, [](const RegionShare& share) { return share.region; });
  out.division_sequence = in.division_sequence();
  out.documents = in.documents();
}

static void Pack(const Event& in, pb::Event& out) {
  out.set_at_ms(in.at_ms);
  out.set_node(BytesOf(in.node));
  out.set_kind(in.kind);
  out.set_subject(CleanText(in.subject, kWordsMax));
  out.set_cause(CleanText(in.cause, kWordsMax));
}

static void Unpack(const pb::Event& in, Event& out, Check& check) {
  check.TakeWall(in.at_ms(), out.at_ms, "at_ms");
  check.TakeId(in.node(), out.node, "node", Check::Zero::kAllowed);
  check.Need(IsWord(in.kind(), ".-_", 64), "kind", "not letters, digits and .-_");
  out.kind = in.kind();
  check.TakeText(in.subject(), kWordsMax, out.subject, "subject");
  check.TakeText(in.cause(), kWordsMax, out.cause, "cause");
}

static void Pack(const ReachReport& in, pb::ReachReport& out) {
  for (const ReachException& exception : in.exceptions) {
    auto& packed = *out.add_exceptions();
    packed.set_peer(BytesOf(exception.peer));
    packed.set_heard(exception.heard);
    for (const NodeId& relay : exception.relays) packed.add_relays(BytesOf(relay));
    packed.set_round_trip_us(exception.round_trip_us);
  }
  out.set_same_as(BytesOf(in.same_as));
  out.set_peers_hash(in.peers_hash);
}

static void Unpack(const pb::ReachException& in, ReachException& out, Check& check) {
  check.TakeId(in.peer(), out.peer, "peer");
  out.heard = in.heard();
  if (!check.TakeCount(in.relays_size(), 2, "relays")) return;
  for (const auto& relay : in.relays()) check.TakeId(relay, out.relays.emplace_back(), "relays");
  out.round_trip_us = in.round_trip_us();
}

static void Unpack(const pb::ReachReport& in, ReachReport& out, Check& check) {
  UnpackList(in.exceptions(), out.exceptions, kMembersMax, "exceptions", check);
  NeedAscending(out.exceptions, "exceptions", check, [](const ReachException& entry) { return entry.peer; });
  check.TakeId(in.same_as(), out.same_as, "same_as", Check::Zero::kAllowed);
  check.Need(!out.same_as || out.exceptions.empty(), "exceptions", "listed as well as named by another node");
  out.peers_hash = in.peers_hash();
}

static void Pack(const RoleHeld& in, pb::RoleHeld& out) {
  out.set_role(static_cast<std::uint32_t>(in.role));
  out.set_since_ms(in.since_ms);
  out.set_cause(CleanText(in.cause, kWordsMax));
}

// Roles of a later release are ignored: they must not cost a report.
static void UnpackRoles(const pb::NodeReport& in, std::vector<RoleHeld>& out, Check& check) {
  Check::Scope scope(check, "roles");
  if (!check.TakeCount(in.roles_size(), kRolesMax, "roles")) return;
  for (const auto& role : in.roles()) {
    if (role.role() > static_cast<std::uint32_t>(Role::kController)) continue;
    RoleHeld& held = out.emplace_back();
    held.role = static_cast<Role>(role.role());
    check.TakeWall(role.since_ms(), held.since_ms, "since_ms");
    check.TakeText(role.cause(), kWordsMax, held.cause, "cause");
  }
  NeedAscending(out, "role", check, [](const RoleHeld& held) { return held.role; });
}

void Pack(const NodeReport& in, pb::NodeReport& out) {
  for (const ReplicaStatus& replica : in.replicas) Pack(replica, *out.add_replicas());
  Pack(in.plan, *out.mutable_plan());
  for (const Digest& bundle : in.bundles) out.add_bundles(BytesOf(bundle));
  out.set_door_error(CleanText(in.door_error, kWordsMax));
  out.set_containment(CleanText(in.containment, kWordsMax));
  for (const Allotment& allotment : in.allotments) Pack(allotment, *out.add_allotments());
  for (const std::string& trouble : in.troubles) out.add_troubles(CleanText(trouble, kWordsMax));
  for (const RoleHeld& role : in.roles) Pack(role, *out.add_roles());
}

void Unpack(const pb::NodeReport& in, NodeReport& out, Check& check) {
  UnpackList(in.replicas(), out.replicas, kReplicasMax, "replicas", check);
  NeedAscending(out.replicas, "replicas", check, [](const ReplicaStatus& replica) { return replica.id; });
  UnpackPlanStamp(in.plan(), out.plan, "plan", check);
  if (!check.TakeCount(in.bundles_size(), kReplicasMax, "bundles")) return;
  for (const auto& bundle : in.bundles()) check.TakeId(bundle, out.bundles.emplace_back(), "bundles");
  NeedAscending(out.bundles, "bundles", check, [](const Digest& digest) { return digest; });
  check.TakeText(in.door_error(), kWordsMax, out.door_error, "door_error");
  check.TakeText(in.containment(), kWordsMax, out.containment, "containment");
  UnpackAllotments(in, out, check);
  if (!check.TakeCount(in.troubles_size(), kReplicasMax, "troubles")) return;
  for (const auto& words : in.troubles())
    check.TakeText(words, kWordsMax, out.troubles.emplace_back(), "troubles");
  UnpackRoles(in, out.roles, check);
}

void Pack(const RecordKey& in, pb::RecordKey& out) {
  out.set_kind(static_cast<std::uint32_t>(in.kind));
  out.set_owner(BytesOf(in.owner));
  out.set_sub(in.sub);
}

void Unpack(const pb::RecordKey& in, RecordKey& out, Check& check) {
  check.TakeNumber(in.kind(), static_cast<std::uint64_t>(RecordKind::kReach), out.kind, "kind");
  check.TakeId(in.owner(), out.owner, "owner");
  out.sub = in.sub();
}

void Pack(const RecordVersion& in, pb::RecordVersion& out) {
  out.set_boot(in.boot);
  out.set_sequence(in.sequence);
}

void Unpack(const pb::RecordVersion& in, RecordVersion& out, Check&) { out = {in.boot(), in.sequence()}; }

void Pack(const Record& in, pb::Record& out) {
  Pack(in.key, *out.mutable_key());
  Pack(in.version, *out.mutable_version());
  std::visit(
      [&out](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, NodeReport>) Pack(body, *out.mutable_node_report());
        if constexpr (std::is_same_v<Body, PlanSlice>) Pack(body, *out.mutable_plan_slice());
        if constexpr (std::is_same_v<Body, RegionReport>) Pack(body, *out.mutable_region_report());
        if constexpr (std::is_same_v<Body, Event>) Pack(body, *out.mutable_event());
        if constexpr (std::is_same_v<Body, ReachReport>) Pack(body, *out.mutable_reach());
      },
      *in.body);
}

void Unpack(const pb::Record& in, Record& out, Check& check) {
  {
    Check::Scope scope(check, "key");
    Unpack(in.key(), out.key, check);
  }
  Unpack(in.version(), out.version, check);
  const auto into = [&](const auto& from, auto body, std::string_view field) {
    Check::Scope scope(check, field);
    Unpack(from, body, check);
    out.body = std::make_shared<const RecordBody>(std::move(body));
  };
  switch (in.body_case()) {
    case pb::Record::kNodeReport:
      into(in.node_report(), NodeReport{}, "node_report");
      break;
    case pb::Record::kPlanSlice:
      into(in.plan_slice(), PlanSlice{}, "plan_slice");
      break;
    case pb::Record::kRegionReport:
      into(in.region_report(), RegionReport{}, "region_report");
      break;
    case pb::Record::kEvent:
      into(in.event(), Event{}, "event");
      break;
    case pb::Record::kReach:
      into(in.reach(), ReachReport{}, "reach");
      break;
    case pb::Record::BODY_NOT_SET:
      check.Fail("body", "absent, or of a kind this release does not know");
      return;
  }
  check.Need(out.body->index() == static_cast<std::size_t>(out.key.kind), "key.kind",
             "does not fit the body");
}

}  // namespace hs::wire
