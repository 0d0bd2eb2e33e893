#include "runtime/net/tunnels.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <set>
#include <utility>

#include "runtime/net/link_connection.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr Duration kAcceptPause = 100ms;  // out of file descriptors: others must finish first
// Connections through one port that wait for their relay or are open.
constexpr std::size_t kPerPortMax = 512;

}  // namespace

class Tunnels::Impl : public std::enable_shared_from_this<Tunnels::Impl> {
 public:
  Impl(asio::io_context& loop, TunnelOpener opener) : loop_(loop), opener_(std::move(opener)) {}

  void Close() {
    closed_ = true;
    ErrorCode ignored;
    for (auto& [key, port] : ports_) {
      port->acceptor.close(ignored);
      port->pause.cancel();
    }
    for (const auto& open : std::set(sessions_)) open->session->Close();
  }

  void Use(const std::vector<Detour>& detours) {
    detours_.clear();
    for (const Detour& detour : detours) detours_[detour.peer] = detour;
    for (const auto& open : std::set(sessions_)) {
      const auto now = detours_.find(open->peer);
      if (now != detours_.end() && now->second.relays != open->relays) open->session->Close();
    }
  }

  Endpoint For(NodeId peer, TunnelService service) {
    if (closed_ || !detours_.contains(peer)) return {};
    std::shared_ptr<Port>& port = ports_[{peer, service}];
    if (port == nullptr) port = OpenPort(peer, service);
    return port == nullptr ? Endpoint{} : port->endpoint;
  }

  TunnelCounts counts() const {
    TunnelCounts counts = counts_;
    counts.open = sessions_.size();
    return counts;
  }

 private:
  struct Port {
    explicit Port(asio::io_context& loop) : acceptor(loop), pause(loop) {}
    NodeId peer;
    TunnelService service = TunnelService::kAgent;
    tcp::acceptor acceptor;
    asio::steady_timer pause;
    Endpoint endpoint;
    std::size_t connections = 0;
  };
  struct Open {
    NodeId peer;
    std::vector<std::pair<NodeId, Endpoint>> relays;
    std::shared_ptr<TunnelSession> session;
  };

  std::shared_ptr<Port> OpenPort(NodeId peer, TunnelService service) {
    auto port = std::make_shared<Port>(loop_);
    port->peer = peer;
    port->service = service;
    ErrorCode failure;
    port->acceptor.open(tcp::v4(), failure);
    if (!failure) port->acceptor.bind({asio::ip::address_v4::loopback(), 0}, failure);
    if (!failure) port->acceptor.listen(asio::socket_base::max_listen_connections, failure);
    if (failure) return nullptr;
    port->endpoint = {IpAddress::V4(127, 0, 0, 1), port->acceptor.local_endpoint(failure).port()};
    Accept(port);
    return port;
  }

  void Accept(std::shared_ptr<Port> port) {
    port->acceptor.async_accept([self = shared_from_this(), port](ErrorCode failure, tcp::socket socket) {
      if (self->closed_) return;
      if (failure) {
        port->pause.expires_after(kAcceptPause);
        port->pause.async_wait([self, port](ErrorCode stopped) {
          if (!stopped && !self->closed_) self->Accept(port);
        });
        return;
      }
      if (port->connections < kPerPortMax) {
        ++port->connections;
        TuneSocket(socket.native_handle());
        asio::co_spawn(self->loop_, self->Connect(self, port, std::move(socket)), asio::detached);
      }
      self->Accept(port);
    });
  }

  // `self` keeps all this while it waits.
  TunnelTask<void> Connect([[maybe_unused]] std::shared_ptr<Impl> self, std::shared_ptr<Port> port,
                           tcp::socket socket) {
    const auto detour = detours_.find(port->peer);
    if (detour == detours_.end()) {  // the direct path is back: whoever asked asks there next
      --port->connections;
      co_return;
    }
    const auto relays = detour->second.relays;
    const auto first = relays.empty() ? std::pair(port->peer, Endpoint{}) : relays.front();
    std::vector<NodeId> hops;
    for (std::size_t i = 1; i < relays.size(); ++i) hops.push_back(relays[i].first);
    hops.push_back(port->peer);
    TunnelAnswer answer = TunnelAnswer::kNotReached;
    auto tls =
        co_await OpenTunnel(opener_, first.first, first.second, std::move(hops), port->service, answer);
    if (tls == nullptr || closed_) {
      ++counts_.failed;
      --port->connections;
      co_return;
    }
    ++counts_.opened;
    auto open = std::make_shared<Open>();
    open->peer = port->peer;
    open->relays = relays;
    open->session = std::make_shared<TunnelSession>(std::move(*tls), std::move(socket));
    sessions_.insert(open);
    // Weak: the session is ours, so it must not keep us.
    open->session->Start([owner = weak_from_this(), port, weak = std::weak_ptr(open)] {
      --port->connections;
      if (const auto impl = owner.lock()) impl->sessions_.erase(weak.lock());
    });
  }

  asio::io_context& loop_;
  TunnelOpener opener_;
  std::map<NodeId, Detour> detours_;
  std::map<std::pair<NodeId, TunnelService>, std::shared_ptr<Port>> ports_;
  std::set<std::shared_ptr<Open>> sessions_;
  TunnelCounts counts_;
  bool closed_ = false;
};

Tunnels::Tunnels(asio::io_context& loop, TunnelOpener opener)
    : impl_(std::make_shared<Impl>(loop, std::move(opener))) {}
Tunnels::~Tunnels() { impl_->Close(); }
void Tunnels::Use(const std::vector<Detour>& detours) { impl_->Use(detours); }
Endpoint Tunnels::For(NodeId peer, TunnelService service) { return impl_->For(peer, service); }
TunnelCounts Tunnels::counts() const { return impl_->counts(); }

}  // namespace hs
