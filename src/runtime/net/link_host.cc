#include "runtime/net/link_host.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <set>

#include "base/prng.h"
#include "runtime/crypto/primitives.h"
#include "runtime/net/link_connection.h"

namespace hs {
namespace {

using ErrorCode = boost::system::error_code;
using Connection = std::shared_ptr<LinkConnection>;
using Clock = std::chrono::steady_clock;

constexpr Duration kLeavePatience = 2s;

}  // namespace

class LinkHost::Impl final : public LinkOwner, public std::enable_shared_from_this<LinkHost::Impl> {
 public:
  Impl(boost::asio::io_context& loop, const Identity& identity, LinkHostConfig config,
       LinkHostHandlers handlers, std::shared_ptr<TlsContext> tls)
      : loop_(loop),
        sweep_timer_(loop),
        leave_timer_(loop),
        tls_(std::move(tls)),
        acceptor_(std::make_shared<TlsAcceptor>(loop, tls_, config.handshakes)),
        cluster_(identity.cluster),
        self_(identity.node),
        boot_(identity.boot_id),
        config_(config),
        handlers_(std::move(handlers)),
        jitter_(RandomU64()) {
    limits_.handshake_timeout = config.handshakes.timeout;
    limits_.queue_bytes_max = config.queue_bytes_max;
  }

  Result<void> Open() {
    const Result<void> started =
        acceptor_->Start(config_.tcp_fd, config_.listen, [weak = weak_from_this()](TlsStream&& stream) {
          if (const auto self = weak.lock()) self->Dispatch(std::move(stream));
        });
    if (started) Sweep();
    return started;
  }

  void Close() {
    closed_ = true;
    handlers_ = {};
    acceptor_->Close();
    sweep_timer_.cancel();
    leave_timer_.cancel();
    for (const auto& connection : All()) connection->End(LinkEnd::kClosed, true);
    for (auto& [id, peer] : peers_)
      if (peer.redial) peer.redial->cancel();
    peers_.clear();
    anonymous_.clear();
    newcomers_.clear();
  }

  void Send(NodeId to, const Endpoint& address, std::string_view message) {
    if (leaving_ || closed_ || to == self_) return;
    if (!to) {
      Connection& dial = anonymous_[address];
      if (!dial) dial = Dial({}, address);
      const Connection kept = dial;
      return kept->Send(message);
    }
    Peer& peer = peers_[to];
    if (address) {
      peer.address = address;
      peer.home = address.ip;
    }
    Connection connection = peer.Usable();
    if (!connection) connection = peer.Dialing();
    if (!connection) connection = peer.connections.emplace_back(Dial(to, peer.address));
    connection->Send(message);
  }

  void Hold(const std::vector<std::pair<NodeId, Endpoint>>& wanted) {
    if (leaving_ || closed_) return;
    std::map<NodeId, Endpoint> held(wanted.begin(), wanted.end());
    std::vector<NodeId> known;
    for (const auto& [id, peer] : peers_) known.push_back(id);
    for (const NodeId& id : known) {
      if (Peer& peer = peers_[id]; peer.held && !held.contains(id)) SetHeld(id, peer, false);
    }
    for (const auto& [id, address] : held) {
      if (!id || id == self_) continue;
      Peer& peer = peers_[id];
      if (address != peer.address) peer.failures = 0;  // it moved: worth trying at once
      peer.address = address;
      peer.home = address.ip;
      if (!peer.held) SetHeld(id, peer, true);
    }
  }

  void Reroute(NodeId id, bool by_tunnel) {
    if (by_tunnel) return EndStraight(id, true);
    const auto found = peers_.find(id);
    if (found == peers_.end() || leaving_ || closed_) return;
    const Connection usable = found->second.Usable();
    if (usable && usable->dialed() && usable->by_tunnel() && !found->second.Dialing())
      found->second.connections.push_back(Dial(id, found->second.address));
  }

  void EndStraight(NodeId id, bool ready_too) {
    const auto found = peers_.find(id);
    if (found == peers_.end() || leaving_ || closed_) return;
    const std::vector<Connection> connections = found->second.connections;
    const IpAddress home = found->second.home;
    for (const Connection& connection : connections) {
      // What a relay brought comes from the relay's address.
      const bool direct = connection->dialed() ? !connection->by_tunnel() : connection->address().ip == home;
      if (direct && !connection->ended() && (ready_too || !connection->ready()))
        connection->End(LinkEnd::kTimeout);
    }
  }

  void Recheck() {
    if (!handlers_.allowed) return;
    for (const auto& connection : All()) {
      if (connection->ready() && !handlers_.allowed(connection->peer(), connection->peer_key())) {
        ++counts_.denied;
        connection->Deny();
      }
    }
  }

  void Leave(std::function<void()> done) {
    leaving_ = true;
    left_ = std::move(done);
    acceptor_->Close();
    for (const auto& connection : All()) {
      if (connection->proven()) {
        connection->SendBye();
      } else {
        connection->End(LinkEnd::kClosed, true);
      }
    }
    leave_timer_.expires_after(kLeavePatience);
    leave_timer_.async_wait([self = shared_from_this()](ErrorCode failure) {
      if (!failure) self->FinishLeaving();
    });
    boost::asio::post(loop_, [self = shared_from_this()] { self->CheckLeft(); });
  }

  LinkCounts counts() const {
    LinkCounts counts = counts_;
    counts.accepted = acceptor_->counts().accepted;
    counts.refused_busy = acceptor_->counts().refused_busy;
    counts.handshakes_failed += acceptor_->counts().failed;
    for (const auto& [id, peer] : peers_) counts.links += peer.up;
    return counts;
  }

  // ---- of the connections

  bool OnProven(LinkConnection&, const NodeCertificate& peer) override {
    const bool good = !closed_ && peer.node != self_ &&
                      (!handlers_.allowed || handlers_.allowed(peer.node, peer.public_key));
    if (!good) ++counts_.denied;
    return good;
  }

  std::string WhyDenied(NodeId peer) override {
    return handlers_.why_denied ? handlers_.why_denied(peer) : std::string();
  }

  void OnReady(LinkConnection& ready) override {
    if (leaving_) return ready.SendBye();
    const Connection connection = ready.shared_from_this();
    const NodeId id = connection->peer();
    newcomers_.erase(connection);
    if (const auto dial = anonymous_.find(connection->address());
        dial != anonymous_.end() && dial->second == connection) {
      anonymous_.erase(dial);
    }
    EndFormerLife(id, connection->peer_boot());
    Peer& peer = peers_[id];
    peer.failures = 0;
    const Connection other = peer.Usable(connection.get());
    if (std::find(peer.connections.begin(), peer.connections.end(), connection) == peer.connections.end()) {
      peer.connections.push_back(connection);
    }
    if (connection->dialed() || !peer.address) peer.address = connection->address();
    if (peer.held) connection->SendHold(true);
    const bool first = !peer.up;
    peer.up = true;
    if (other) (Keeps(id, *connection, *other) ? other : connection)->SendBye();
    if (first && handlers_.up) handlers_.up(id);
  }

  void OnMessage(LinkConnection& connection, std::string_view message) override {
    if (handlers_.received) handlers_.received(connection.peer(), message);
  }

  void OnEnd(LinkConnection& ended, LinkEnd end) override {
    const Connection connection = ended.shared_from_this();
    newcomers_.erase(connection);
    if (end == LinkEnd::kDenied && !connection->ready()) ++counts_.handshakes_failed;
    const auto dialed = [&](const auto& dial) { return dial.second == connection; };
    if (std::erase_if(anonymous_, dialed) > 0 && handlers_.down) handlers_.down({}, end);
    const NodeId id = connection->ready() ? connection->peer() : connection->expected();
    if (const auto found = peers_.find(id); found != peers_.end()) {
      const auto removed = std::erase(found->second.connections, connection);
      if (removed > 0) OnPeerLost(id, *connection, end);
    }
    CheckLeft();
  }

 private:
  struct Peer {
    std::vector<Connection> connections;
    Endpoint address;
    IpAddress home;     // as the caller said, where it did
    bool up = false;    // the core was told LinkUp
    bool held = false;  // by us
    int failures = 0;   // dials in a row
    std::unique_ptr<boost::asio::steady_timer> redial;

    // Newest last: of two usable ones the later was found better or the earlier is about to be replaced.
    Connection Usable(const LinkConnection* but = nullptr) const {
      for (auto it = connections.rbegin(); it != connections.rend(); ++it) {
        if ((*it)->usable() && it->get() != but) return *it;
      }
      return nullptr;
    }
    Connection Dialing() const {
      for (const Connection& connection : connections) {
        if (connection->dialed() && !connection->ready()) return connection;
      }
      return nullptr;
    }
    bool AnyReady() const {
      return std::any_of(connections.begin(), connections.end(),
                         [](const auto& each) { return each->ready(); });
    }
  };

  // Both sides come to the same answer: of two dialed by different sides the one dialed by the smaller id
  // stays; of two dialed by the same side the newer, since its dialer has given up on the older.
  bool Keeps(NodeId peer, const LinkConnection& newer, const LinkConnection& older) const {
    if (newer.dialed() == older.dialed()) return true;
    return newer.dialed() == (self_ < peer);
  }

  void EndFormerLife(NodeId id, BootId boot) {
    Peer& peer = peers_[id];
    const auto ended = std::erase_if(peer.connections, [boot](const Connection& connection) {
      if (!connection->ready() || connection->peer_boot() == boot) return false;
      connection->End(LinkEnd::kReset, true);
      return true;
    });
    if (ended > 0 && std::exchange(peer.up, false) && handlers_.down) handlers_.down(id, LinkEnd::kReset);
  }

  void OnPeerLost(NodeId id, LinkConnection& connection, LinkEnd end) {
    Peer& peer = peers_[id];
    if (const Connection usable = peer.Usable()) {
      // Reached us while our dial failed (it may only be able to dial out), or this was the surplus one of
      // two.
      for (const std::string& message : connection.TakeUnsent()) usable->Send(message);
      return;
    }
    const bool was_ready = connection.ready();
    if (!was_ready) ++peer.failures;
    if (peer.AnyReady()) return;  // one that is saying goodbye: its own end will be told
    const bool tell = peer.up || !was_ready;
    peer.up = false;
    if (peer.held && !peer.Dialing()) {
      Redial(id, peer);
    } else if (!peer.held && peer.connections.empty()) {
      peers_.erase(id);
    }
    if (tell && handlers_.down) handlers_.down(id, end);
  }

  Connection Dial(NodeId expected, const Endpoint& address) {
    auto connection =
        std::make_shared<LinkConnection>(*this, TlsStream(loop_, *tls_), limits_, cluster_, boot_);
    // From the loop, so that even a dial that fails at once fails after the caller knows of it.
    connection->Expect(expected, address);
    boost::asio::post(loop_, [self = shared_from_this(), connection, expected, address] {
      if (connection->ended() || self->closed_) return;
      const Endpoint at =
          expected && self->handlers_.dial_at ? self->handlers_.dial_at(expected, address) : address;
      connection->Dial(self->config_.listen, at);
    });
    return connection;
  }

  void SetHeld(NodeId id, Peer& peer, bool held) {
    peer.held = held;
    if (const Connection usable = peer.Usable()) usable->SendHold(held);
    if (!held) {
      if (peer.redial) peer.redial->cancel();
      if (peer.connections.empty()) peers_.erase(id);
    } else if (!peer.Usable() && !peer.Dialing()) {
      peer.failures = 0;
      peer.connections.push_back(Dial(id, peer.address));
    }
  }

  // At once after a link broke, since a refusal then is news; later with growing, jittered pauses.
  void Redial(NodeId id, Peer& peer) {
    Duration wait = 0ms;
    if (peer.failures > 0) {
      wait = std::min<Duration>(config_.backoff_max,
                                Duration(config_.backoff_first * (1ll << std::min(peer.failures - 1, 16))));
      wait = jitter_.Between(wait / 2, wait);
    }
    if (!peer.redial) peer.redial = std::make_unique<boost::asio::steady_timer>(loop_);
    peer.redial->expires_after(wait);
    peer.redial->async_wait([self = shared_from_this(), id](ErrorCode failure) {
      if (failure || self->closed_ || self->leaving_) return;
      const auto found = self->peers_.find(id);
      if (found == self->peers_.end()) return;
      Peer& lost = found->second;
      if (lost.held && !lost.Usable() && !lost.Dialing())
        lost.connections.push_back(self->Dial(id, lost.address));
    });
  }

  std::vector<Connection> All() const {
    std::vector<Connection> all(newcomers_.begin(), newcomers_.end());
    for (const auto& [address, connection] : anonymous_) all.push_back(connection);
    for (const auto& [id, peer] : peers_)
      all.insert(all.end(), peer.connections.begin(), peer.connections.end());
    return all;
  }

  void Sweep() {
    sweep_timer_.expires_after(config_.idle_close / 4);
    sweep_timer_.async_wait([self = shared_from_this()](ErrorCode failure) {
      if (failure || self->closed_) return;
      const auto idle_since = Clock::now() - self->config_.idle_close;
      for (const auto& [id, peer] : self->peers_) {
        if (peer.held) continue;
        for (const Connection& connection : peer.connections) {
          if (connection->usable() && !connection->held_by_peer() && connection->last_used() < idle_since) {
            connection->SendBye();
          }
        }
      }
      self->Sweep();
    });
  }

  void CheckLeft() {
    if (leaving_ && All().empty()) FinishLeaving();
  }
  void FinishLeaving() {
    leave_timer_.cancel();
    if (auto done = std::exchange(left_, nullptr)) done();
  }

  // ---- accepted

  void Dispatch(TlsStream stream) {
    const std::string_view protocol = AgreedAlpn(stream);
    if (protocol == kAlpnLink) {
      const auto connection =
          std::make_shared<LinkConnection>(*this, std::move(stream), limits_, cluster_, boot_);
      newcomers_.insert(connection);
      connection->StartAccepted();
    } else if (protocol == kAlpnJoin) {
      if (handlers_.join) handlers_.join(std::move(stream));
    } else {
      const auto peer = PeerOf(stream, cluster_);
      const bool allowed = peer && (!handlers_.allowed || handlers_.allowed(peer->node, peer->public_key));
      if (protocol == kAlpnRelay || protocol == kAlpnLine) {
        const auto& take = protocol == kAlpnRelay ? handlers_.relay : handlers_.line;
        if (!allowed) ++counts_.denied;
        if (allowed && take) take(std::move(stream), peer->node);
      } else if (handlers_.http) {
        handlers_.http(std::move(stream), allowed ? std::optional(peer->node) : std::nullopt);
      }
    }
  }

  boost::asio::io_context& loop_;
  boost::asio::steady_timer sweep_timer_;
  boost::asio::steady_timer leave_timer_;
  std::shared_ptr<TlsContext> tls_;
  std::shared_ptr<TlsAcceptor> acceptor_;
  ClusterId cluster_;
  NodeId self_;
  BootId boot_;
  LinkHostConfig config_;
  LinkConnection::Limits limits_;
  LinkHostHandlers handlers_;
  Prng jitter_;
  std::map<NodeId, Peer> peers_;
  std::map<Endpoint, Connection> anonymous_;  // dialed without knowing who lives there
  std::set<Connection> newcomers_;            // accepted, not ready yet
  LinkCounts counts_;
  bool closed_ = false;
  bool leaving_ = false;
  std::function<void()> left_;
};

Result<std::unique_ptr<LinkHost>> LinkHost::Start(boost::asio::io_context& loop, const Identity& identity,
                                                  LinkHostConfig config, LinkHostHandlers handlers) {
  auto tls = MakeTlsContext(identity);
  if (!tls) return std::unexpected(tls.error());
  auto impl = std::make_shared<Impl>(loop, identity, config, std::move(handlers), std::move(*tls));
  if (auto opened = impl->Open(); !opened) return std::unexpected(opened.error());
  return std::unique_ptr<LinkHost>(new LinkHost(std::move(impl)));
}

LinkHost::~LinkHost() { impl_->Close(); }
void LinkHost::Send(NodeId to, const Endpoint& address, std::string_view message) {
  impl_->Send(to, address, message);
}
void LinkHost::Hold(const std::vector<std::pair<NodeId, Endpoint>>& peers) { impl_->Hold(peers); }
void LinkHost::Reroute(NodeId peer, bool by_tunnel) { impl_->Reroute(peer, by_tunnel); }
void LinkHost::GiveUpDials(NodeId peer) { impl_->EndStraight(peer, false); }
void LinkHost::Recheck() { impl_->Recheck(); }
void LinkHost::Leave(std::function<void()> done) { impl_->Leave(std::move(done)); }
LinkCounts LinkHost::counts() const { return impl_->counts(); }

}  // namespace hs
