// The TCP side of a node: one port for node links, joins and HTTP, and one link per peer, used by both sides.
//
// Contract with the core (contract.h, duties 5 and 6):
//  - Send opens a link when none is open; Hold names the links that are kept open and reopened with back-off.
//  - Every link that came up ends in exactly one LinkDown; a dial that fails is a LinkDown too, each time.
//    What was queued for a dial that failed is dropped, unless the peer reached us meanwhile.
//  - When both sides dial at once, the connection dialed by the smaller node id stays; the other is closed
//    with a bye after what it carries, and the core hears nothing of it.
//  - A peer that shows a new boot id has restarted: its old link, however alive it looks, ends as kReset.
//  - A link that neither side holds is closed after `idle_close` without messages.
//  - A zero id dials whoever lives at the address (join hints); the link comes up under the true id.
//
// Messages are opaque bytes here; wire/ encodes and validates. Runs on one io_context; not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/node/contract.h"
#include "runtime/crypto/identity.h"
#include "runtime/net/http_handover.h"
#include "runtime/net/tls_acceptor.h"

namespace hs {

struct LinkHostConfig {
  int tcp_fd = -1;  // listening (Listen); taken over
  Endpoint listen;  // its address: outgoing connections come from it
  Duration idle_close = 20s;
  HandshakeLimits handshakes;
  std::size_t queue_bytes_max = 96u << 20;
  Duration backoff_first = 50ms;
  Duration backoff_max = 5s;
};

struct LinkHostHandlers {
  std::function<void(NodeId peer)> up;
  std::function<void(NodeId peer, LinkEnd end)> down;
  std::function<void(NodeId from, std::string_view message)> received;
  // Optional: is this node, with this key, still a member? Without it every certificate of the cluster is
  // good.
  std::function<bool(NodeId node, const Digest& public_key)> allowed;
  // Optional: where to connect for a peer at an address; a tunnel's end where it is not reached directly.
  std::function<Endpoint(NodeId peer, const Endpoint& address)> dial_at;
  // Tunnels through this node; without it they are closed. `from` is proven and a member.
  std::function<void(TlsStream&&, NodeId from)> relay;
  // Lines of members that dial out; without it they are closed. `from` is proven and a member.
  std::function<void(TlsStream&&, NodeId from)> line;
  // Optional: the message for a node that is not allowed, from which it can see why.
  std::function<std::string(NodeId node)> why_denied;
  HttpHandler http;                       // without it, HTTP connections are closed
  std::function<void(TlsStream&&)> join;  // JoinServer::Serve; without it, joins are closed
};

struct LinkCounts {
  std::uint64_t accepted = 0;
  std::uint64_t refused_busy = 0;       // too many handshakes in progress
  std::uint64_t handshakes_failed = 0;  // not TLS, no common protocol, a bad certificate, too slow
  std::uint64_t denied = 0;             // proven, but of another cluster, revoked or speaking nonsense
  std::size_t links = 0;                // ready now
};

class LinkHost {
 public:
  // Errors: a key or certificate that TLS does not take.
  static Result<std::unique_ptr<LinkHost>> Start(boost::asio::io_context& loop, const Identity& identity,
                                                 LinkHostConfig config, LinkHostHandlers handlers);
  ~LinkHost();  // closes at once, without a word; no handler is called any more

  void Send(NodeId to, const Endpoint& address, std::string_view message);
  void Hold(const std::vector<std::pair<NodeId, Endpoint>>& peers);
  // The way to a peer changed. To a tunnel: what is direct hangs, and ends as kTimeout. Back to the direct
  // path: a new connection takes the tunnel's place, without loss.
  void Reroute(NodeId peer, bool by_tunnel);
  // Nobody can connect to this peer, as is known now: what is being dialed straight to it is given up.
  void GiveUpDials(NodeId peer);
  // Asks `allowed` about every link again, after a revocation.
  void Recheck();
  // Says bye on every link and takes no new ones; `done` when all are closed, or after 2 s.
  void Leave(std::function<void()> done);
  LinkCounts counts() const;

 private:
  class Impl;
  explicit LinkHost(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

// Plain TCP: opens and closes. `source`: as LinkHostConfig::listen. `done` is called exactly once, never from
// within.
void TryConnectTo(boost::asio::io_context& loop, const Endpoint& address, const Endpoint& source,
                  Duration timeout, std::function<void(ConnectResult)> done);

}  // namespace hs
