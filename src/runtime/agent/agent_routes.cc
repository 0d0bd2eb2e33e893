// Detours: what is sent over TCP to peers that are not reached directly, and what is carried for others.
#include <algorithm>

#include "core/intent/keys.h"
#include "runtime/agent/agent_impl.h"
#include "runtime/agent/log.h"

namespace hs {

void Agent::StartRoutes() {
  const auto is_member = [this](TlsStream& stream, NodeId node) { return IsMember(stream, node); };
  const TunnelOpener opener{tls_, sockets_.endpoint, is_member, std::make_shared<LineHost>(loop_)};
  lines_ = opener.lines;
  tunnels_ = std::make_unique<Tunnels>(loop_, opener);
  RelayConfig config;
  config.self = identity_.node;
  relay_ = std::make_unique<RelayServer>(
      opener, config, [this](NodeId node, TunnelService service) { return PortOf(node, service); });
  own_lines_ = std::make_unique<LineKeeper>(loop_, opener, [this](TlsStream&& stream, NodeId relay) {
    relay_->ServeLine(std::move(stream), relay);
  });
}

// Revoked: its document is a tombstone, or names another key. Not known yet: the CA's signature is enough,
// since the document of a node just admitted may still be on its way.
bool Agent::IsTrusted(NodeId node, const Digest& key) const {
  const Document* document = node_->FindDocument(NodeKey(node));
  if (document == nullptr) return true;
  const auto* body = std::get_if<NodeDoc>(&document->body);
  return body != nullptr && body->public_key == key;
}

bool Agent::IsMember(TlsStream& stream, NodeId node) const {
  const auto peer = PeerOf(stream, identity_.cluster);
  return peer && peer->node == node && IsTrusted(node, peer->public_key);
}

Endpoint Agent::PortOf(NodeId node, TunnelService service) const {
  const auto member = node_->Members().find(node);
  if (member == node_->Members().end() || member->second.state == MemberState::kLeft) return {};
  const MemberMeta& meta = *member->second.meta;
  if (meta.dials_out && node != identity_.node) return {};
  switch (service) {
    case TunnelService::kAgent:
      return meta.address;
    case TunnelService::kInboundHttp:
      return {meta.address.ip, meta.inbound_http};
    case TunnelService::kInboundTcp:
      return {meta.address.ip, meta.inbound_tcp};
  }
  return {};
}

void Agent::Do(UseDetours& output) {
  std::vector<std::pair<NodeId, bool>> changed;
  std::vector<NodeId> dialing_out;
  const auto find = [](const std::vector<Detour>& in, NodeId peer) {
    const auto found = std::ranges::find(in, peer, &Detour::peer);
    return found == in.end() ? nullptr : &*found;
  };
  for (const Detour& detour : output.detours) {
    if (find(detours_, detour.peer) != nullptr) continue;
    if (detour.dials_out) {
      dialing_out.push_back(detour.peer);
    } else {
      changed.emplace_back(detour.peer, true);
    }
  }
  for (const Detour& detour : detours_) {
    if (!detour.dials_out && find(output.detours, detour.peer) == nullptr)
      changed.emplace_back(detour.peer, false);
  }
  detours_ = std::move(output.detours);
  tunnels_->Use(detours_);
  ApplyDoorTable();
  for (const auto& [peer, by_tunnel] : changed) links_->Reroute(peer, by_tunnel);
  for (const NodeId& peer : dialing_out) links_->GiveUpDials(peer);
}

void Agent::Do(UseLines& output) { own_lines_->Keep(output.relays); }

void Agent::Do(ApplyDoor& output) {
  door_table_ = *output.table;
  ApplyDoorTable();
}

void Agent::ApplyDoorTable() {
  DoorTable table = door_table_;
  for (DoorService& service : table.services) {
    for (DoorServer& server : service.servers) {
      const auto node = server.tls ? NodeId::FromHex(server.name) : std::nullopt;
      if (!node || std::ranges::find(detours_, *node, &Detour::peer) == detours_.end()) continue;
      const bool tcp =
          std::ranges::any_of(service.ports, [](const PublishedPort& port) { return !port.http; });
      const Endpoint http = tunnels_->For(*node, TunnelService::kInboundHttp);
      const Endpoint bytes = tcp ? tunnels_->For(*node, TunnelService::kInboundTcp) : Endpoint{};
      if (!http || (tcp && !bytes)) continue;
      server.address = http;
      if (tcp) server.tcp_port = bytes.port;
    }
  }
  door_->Apply(std::move(table));
}

}  // namespace hs
