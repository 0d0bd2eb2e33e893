#include <algorithm>
#include <type_traits>

#include "wire/convert.h"
#include "wire/names.h"

namespace hs::wire {
namespace {

constexpr std::uint32_t kController = 1, kStandby = 2, kMonitor = 4, kDoor = 8, kWorker = 16, kStrained = 32;

void Pack(const RoleClaim& in, pb::MemberMeta& out) {
  out.set_roles((in.controller ? kController : 0) | (in.standby ? kStandby : 0) |
                (in.monitor ? kMonitor : 0) | (in.door ? kDoor : 0) | (in.worker ? kWorker : 0) |
                (in.strained ? kStrained : 0));
  out.set_disk(static_cast<std::uint32_t>(in.disk));
  out.set_term(in.term);
}

// Roles of a later release are ignored: they must not cost a member its membership. A fault that only it can
// name is one all the same.
RoleClaim RolesOf(const pb::MemberMeta& in) {
  return RoleClaim{.controller = (in.roles() & kController) != 0,
                   .standby = (in.roles() & kStandby) != 0,
                   .monitor = (in.roles() & kMonitor) != 0,
                   .door = (in.roles() & kDoor) != 0,
                   .worker = (in.roles() & kWorker) != 0,
                   .strained = (in.roles() & kStrained) != 0,
                   .disk = in.disk() > static_cast<std::uint32_t>(DiskFault::kFailing)
                               ? DiskFault::kFailing
                               : static_cast<DiskFault>(in.disk()),
                   .term = in.term()};
}

void UnpackEndpoint(bool present, const pb::Endpoint& in, Endpoint& out, std::string_view field,
                    Check& check) {
  if (!present) return;
  Check::Scope scope(check, field);
  Unpack(in, out, check);
}

void UnpackIncarnation(std::uint32_t boot, std::uint32_t counter, Incarnation& out) { out = {boot, counter}; }

}  // namespace

void Pack(const Endpoint& in, pb::Endpoint& out) {
  if (in.ip.IsV4()) {
    const auto& bytes = in.ip.bytes;
    out.set_v4(std::uint32_t{bytes[12]} << 24 | std::uint32_t{bytes[13]} << 16 |
               std::uint32_t{bytes[14]} << 8 | bytes[15]);
  } else if (in.ip != IpAddress{}) {
    out.set_v6(std::string(in.ip.bytes.begin(), in.ip.bytes.end()));
  }
  out.set_port(in.port);
}

void Unpack(const pb::Endpoint& in, Endpoint& out, Check& check) {
  if (in.has_v4()) {
    check.Need(in.v6().empty(), "v6", "IPv4 and IPv6 at once");
    const std::uint32_t v4 = in.v4();
    out.ip = IpAddress::V4(static_cast<std::uint8_t>(v4 >> 24), static_cast<std::uint8_t>(v4 >> 16),
                           static_cast<std::uint8_t>(v4 >> 8), static_cast<std::uint8_t>(v4));
  } else if (!in.v6().empty()) {
    if (!check.Need(in.v6().size() == out.ip.bytes.size(), "v6", "must have 16 bytes")) return;
    std::copy(in.v6().begin(), in.v6().end(), out.ip.bytes.begin());
    check.Need(!out.ip.IsV4() && out.ip != IpAddress{}, "v6", "has a shorter form");
  }
  check.TakeNumber(in.port(), 65535, out.port, "port");
}

void Pack(const Stamp& in, pb::Stamp& out) {
  out.set_wall_ms(in.wall_ms);
  out.set_logical(in.logical);
  out.set_node(BytesOf(in.node));
}

void Unpack(const pb::Stamp& in, Stamp& out, Check& check) {
  check.TakeWall(in.wall_ms(), out.wall_ms, "wall_ms");
  out.logical = in.logical();
  check.TakeId(in.node(), out.node, "node", Check::Zero::kAllowed);
}

void Pack(const MemberMeta& in, pb::MemberMeta& out) {
  out.set_name(in.name);
  if (in.address != Endpoint{}) Pack(in.address, *out.mutable_address());
  if (in.door != Endpoint{}) Pack(in.door, *out.mutable_door());
  out.set_inbound_http(in.inbound_http);
  out.set_inbound_tcp(in.inbound_tcp);
  for (const auto& [key, value] : in.labels) {
    auto& label = *out.add_labels();
    label.set_key(key);
    label.set_value(value);
  }
  out.set_cpu_millicores(in.capacity.cpu_millicores);
  out.set_memory_bytes(in.capacity.memory_bytes);
  out.set_region(in.region);
  Pack(in.roles, out);
  out.set_version(in.version);
  out.set_dials_out(in.dials_out);
  for (const NodeId& relay : in.relays) out.add_relays(BytesOf(relay));
}

void Unpack(const pb::MemberMeta& in, MemberMeta& out, Check& check) {
  check.Need(in.name().empty() || IsWord(in.name(), "._-:", kNameMax), "name",
             "not letters, digits and ._-:");
  out.name = in.name();
  UnpackEndpoint(in.has_address(), in.address(), out.address, "address", check);
  UnpackEndpoint(in.has_door(), in.door(), out.door, "door", check);
  check.TakeNumber(in.inbound_http(), 65535, out.inbound_http, "inbound_http");
  check.TakeNumber(in.inbound_tcp(), 65535, out.inbound_tcp, "inbound_tcp");
  if (!check.TakeCount(in.labels_size(), kLabelsMax, "labels")) return;
  for (const auto& label : in.labels()) {
    check.Need(IsWord(label.key(), "._-/", kNameMax), "labels", "a key is not letters, digits and ._-/");
    check.Need(IsLine(label.value(), kNameMax), "labels", "a value is not a line of text");
    check.Need(out.labels.empty() || out.labels.rbegin()->first < label.key(), "labels",
               "not sorted, or a key twice");
    if (!check.ok()) return;
    out.labels.emplace_hint(out.labels.end(), label.key(), label.value());
  }
  out.capacity = {in.cpu_millicores(), in.memory_bytes()};
  out.region = in.region();
  out.roles = RolesOf(in);
  check.Need(IsLine(in.version(), 64), "version", "not a short line of text");
  out.version = in.version();
  out.dials_out = in.dials_out();
  check.Need(in.dials_out() || in.relays_size() == 0, "relays", "of a node that can be reached without");
  if (!check.TakeCount(in.relays_size(), kLineRelaysMax, "relays")) return;
  for (const auto& relay : in.relays()) check.TakeId(relay, out.relays.emplace_back(), "relays");
  NeedAscending(out.relays, "relays", check, [](const NodeId& id) { return id; });
}

void Pack(const MemberUpdate& in, pb::MemberUpdate& out) {
  out.set_id(BytesOf(in.id));
  out.set_boot_id(in.boot_id.value);
  out.set_boot(in.incarnation.boot);
  out.set_counter(in.incarnation.counter);
  out.set_state(static_cast<std::uint32_t>(in.state));
  if (in.meta) Pack(*in.meta, *out.mutable_meta());
  for (const NodeId& witness : *in.witnesses) out.add_witnesses(BytesOf(witness));
}

void Unpack(const pb::MemberUpdate& in, MemberUpdate& out, Check& check) {
  check.TakeId(in.id(), out.id, "id");
  out.boot_id = BootId{in.boot_id()};
  UnpackIncarnation(in.boot(), in.counter(), out.incarnation);
  check.TakeNumber(in.state(), static_cast<std::uint64_t>(MemberState::kLeft), out.state, "state");
  check.Need(in.has_meta() == (in.state() == 0), "meta", "must be present exactly when alive");
  if (in.has_meta()) {
    Check::Scope scope(check, "meta");
    Unpack(in.meta(), out.meta.Edit(), check);
  }
  if (!check.TakeCount(in.witnesses_size(), kWitnessesMax, "witnesses")) return;
  for (const auto& witness : in.witnesses())
    check.TakeId(witness, out.witnesses.Edit().emplace_back(), "witnesses");
  NeedAscending(*out.witnesses, "witnesses", check, [](const NodeId& id) { return id; });
}

void Pack(const GossipMessage& in, pb::Gossip& out) {
  std::visit(
      [&out](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (requires { body.sequence; }) out.set_sequence(body.sequence);
        if constexpr (std::is_same_v<Body, Ping>) {
          out.set_ping(BytesOf(body.target));
        } else if constexpr (std::is_same_v<Body, PingRequest>) {
          auto& request = *out.mutable_ping_request();
          request.set_target(BytesOf(body.target));
          if (body.address != Endpoint{}) Pack(body.address, *request.mutable_address());
        } else if constexpr (std::is_same_v<Body, Ack>) {
          out.set_ack(true);
        } else if constexpr (std::is_same_v<Body, Nack>) {
          out.set_nack(true);
        } else if constexpr (std::is_same_v<Body, News>) {
          out.set_news(true);
        } else if constexpr (std::is_same_v<Body, RefusalClaim>) {
          auto& refusal = *out.mutable_refusal();
          refusal.set_target(BytesOf(body.target));
          refusal.set_boot(body.incarnation.boot);
          refusal.set_counter(body.incarnation.counter);
        } else if constexpr (std::is_same_v<Body, PathPing>) {
          out.set_path_ping(true);
        } else if constexpr (std::is_same_v<Body, PathPong>) {
          out.set_path_pong(true);
        } else if constexpr (std::is_same_v<Body, Relayed>) {
          auto& relayed = *out.mutable_relayed();
          relayed.set_source(BytesOf(body.source));
          for (const NodeId& id : body.ahead) relayed.add_ahead(BytesOf(id));
          for (const NodeId& id : body.behind) relayed.add_behind(BytesOf(id));
          Pack(*body.inner, *relayed.mutable_inner());
        } else {
          static_assert(std::is_same_v<Body, DocumentAck>);
          Pack(body.stamp, *out.mutable_document_ack());
        }
      },
      in.body);
  out.set_intent_digest(in.intent_digest);
  out.set_observation_digest(in.observation_digest);
  out.set_members_digest(in.members_digest);
  out.set_region_digest(in.region_digest);
  // A box with an absurd clock is still a member.
  out.set_wall_ms(std::clamp<WallMs>(in.wall_ms, 0, kWallMax));
  for (const MemberUpdate& update : in.updates) Pack(update, *out.add_updates());
}

namespace {

// A way that names a node twice leads in a circle.
void UnpackRelayed(const pb::Relayed& in, Relayed& out, Check& check) {
  check.TakeId(in.source(), out.source, "source");
  const auto hops = static_cast<std::size_t>(in.ahead_size() + in.behind_size());
  check.Need(hops <= kRelayedHopsMax, "ahead", "a longer way than any of ours");
  check.Need(in.has_inner() && !in.inner().has_relayed(), "inner", "absent, or relayed itself");
  if (!check.ok()) return;
  for (const auto& id : in.ahead()) check.TakeId(id, out.ahead.emplace_back(), "ahead");
  for (const auto& id : in.behind()) check.TakeId(id, out.behind.emplace_back(), "behind");
  std::vector<NodeId> way{out.source};
  way.insert(way.end(), out.behind.begin(), out.behind.end());
  way.insert(way.end(), out.ahead.begin(), out.ahead.end());
  std::sort(way.begin(), way.end());
  check.Need(std::adjacent_find(way.begin(), way.end()) == way.end(), "ahead", "names a node twice");
  GossipMessage inner;
  {
    Check::Scope scope(check, "inner");
    Unpack(in.inner(), inner, check);
  }
  out.inner = std::make_shared<const GossipMessage>(std::move(inner));
}

void UnpackBody(const pb::Gossip& in, GossipBody& out, Check& check) {
  switch (in.body_case()) {
    case pb::Gossip::kPing: {
      Ping ping{.sequence = in.sequence()};
      check.TakeId(in.ping(), ping.target, "ping", Check::Zero::kAllowed);
      out = ping;
      return;
    }
    case pb::Gossip::kPingRequest: {
      Check::Scope scope(check, "ping_request");
      PingRequest request{.sequence = in.sequence()};
      check.TakeId(in.ping_request().target(), request.target, "target");
      UnpackEndpoint(in.ping_request().has_address(), in.ping_request().address(), request.address, "address",
                     check);
      out = request;
      return;
    }
    case pb::Gossip::kAck:
      out = Ack{.sequence = in.sequence()};
      return;
    case pb::Gossip::kNack:
      out = Nack{.sequence = in.sequence()};
      return;
    case pb::Gossip::kNews:
      out = News{};
      return;
    case pb::Gossip::kRefusal: {
      Check::Scope scope(check, "refusal");
      RefusalClaim claim;
      check.TakeId(in.refusal().target(), claim.target, "target");
      UnpackIncarnation(in.refusal().boot(), in.refusal().counter(), claim.incarnation);
      out = claim;
      return;
    }
    case pb::Gossip::kDocumentAck: {
      Check::Scope scope(check, "document_ack");
      DocumentAck ack;
      Unpack(in.document_ack(), ack.stamp, check);
      out = ack;
      return;
    }
    case pb::Gossip::kPathPing:
      out = PathPing{.sequence = in.sequence()};
      return;
    case pb::Gossip::kPathPong:
      out = PathPong{.sequence = in.sequence()};
      return;
    case pb::Gossip::kRelayed: {
      Check::Scope scope(check, "relayed");
      Relayed relayed;
      UnpackRelayed(in.relayed(), relayed, check);
      out = std::move(relayed);
      return;
    }
    case pb::Gossip::BODY_NOT_SET:
      break;
  }
  check.Fail("body", "absent, or of a kind this release does not know");
}

}  // namespace

void Unpack(const pb::Gossip& in, GossipMessage& out, Check& check) {
  UnpackBody(in, out.body, check);
  out.intent_digest = in.intent_digest();
  out.observation_digest = in.observation_digest();
  out.members_digest = in.members_digest();
  out.region_digest = in.region_digest();
  check.TakeWall(in.wall_ms(), out.wall_ms, "wall_ms");
  if (check.ok()) UnpackList(in.updates(), out.updates, kUpdatesMax, "updates", check);
}

}  // namespace hs::wire
