#include "runtime/net/relay_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <utility>

#include "runtime/net/line_host.h"
#include "runtime/net/link_connection.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

auto Use(ErrorCode& failure) { return asio::redirect_error(asio::use_awaitable, failure); }

}  // namespace

class RelayServer::Impl : public std::enable_shared_from_this<RelayServer::Impl> {
 public:
  Impl(TunnelOpener opener, RelayConfig config, TunnelAddress address_of)
      : opener_(std::move(opener)), config_(config), address_of_(std::move(address_of)) {}

  // A connection being served; counts from its request on.
  struct Client {
    Client(Impl& relay, TlsStream tls, NodeId node, bool is_line)
        : owner(relay.shared_from_this()),
          stream(std::move(tls)),
          from(node),
          line(is_line),
          timer(stream.get_executor()) {
      ++owner->sessions_;
      ++owner->by_peer_[from];
    }
    ~Client() {
      --owner->sessions_;
      if (--owner->by_peer_[from] == 0) owner->by_peer_.erase(from);
      owner->closers_.erase(this);
    }
    std::shared_ptr<Impl> owner;
    TlsStream stream;
    NodeId from;
    bool line;  // this box dialed it, to be reached over it
    asio::steady_timer timer;
  };

  void Serve(TlsStream&& stream, NodeId from, bool is_line) {
    auto client = std::make_shared<Client>(*this, std::move(stream), from, is_line);
    closers_[client.get()] = [weak = std::weak_ptr(client)] {
      ErrorCode ignored;
      if (const auto open = weak.lock()) open->stream.next_layer().close(ignored);
    };
    TuneSocket(client->stream.next_layer().native_handle());
    // Until the request is read; what follows has limits of its own.
    client->timer.expires_after(config_.request_timeout);
    client->timer.async_wait([weak = std::weak_ptr(client)](ErrorCode stopped) {
      ErrorCode ignored;
      if (const auto slow = stopped ? nullptr : weak.lock()) slow->stream.next_layer().close(ignored);
    });
    asio::co_spawn(client->stream.get_executor(), Run(client), asio::detached);
  }

  void Close() {
    closed_ = true;
    for (const auto& [client, close] : std::exchange(closers_, {})) close();
  }

  RelayCounts counts() const {
    RelayCounts counts = counts_;
    counts.sessions = sessions_;
    return counts;
  }

 private:
  TunnelTask<void> Answer(Client& client, TunnelAnswer answer) {
    ErrorCode ignored;
    const auto byte = static_cast<std::uint8_t>(answer);
    co_await asio::async_write(client.stream, asio::buffer(&byte, 1), Use(ignored));
  }

  TunnelTask<void> Run(std::shared_ptr<Client> client) {
    ErrorCode failure;
    std::array<std::uint8_t, 3> head{};
    co_await asio::async_read(client->stream, asio::buffer(head), Use(failure));
    if (failure || closed_) co_return;
    const std::size_t count = head[2];
    if (head[0] != 1 || head[1] >= kTunnelServices || count == 0 || count > kTunnelHopsMax) {
      ++counts_.refused;
      co_return co_await Answer(*client, TunnelAnswer::kRefused);
    }
    std::vector<NodeId> hops(count);
    for (NodeId& hop : hops) {
      co_await asio::async_read(client->stream, asio::buffer(hop.bytes), Use(failure));
      if (failure || closed_) co_return;
    }
    client->timer.cancel();
    const auto service = static_cast<TunnelService>(head[1]);
    const bool leads_here = count == 1 && hops[0] == config_.self;
    bool circle = count == 2 && hops[0] == hops[1];
    for (const NodeId& hop : hops) circle = circle || hop == config_.self || hop == client->from;
    const bool refused = client->line ? !leads_here : circle;
    const bool by_line =
        !refused && !client->line && count == 1 && opener_.lines != nullptr && opener_.lines->Serves(hops[0]);
    const TunnelService next_service = count == 1 ? service : TunnelService::kAgent;
    const Endpoint address = refused || by_line ? Endpoint{} : address_of_(hops.front(), next_service);
    if (!by_line && (!address || address.port == 0)) {
      ++counts_.refused;
      co_return co_await Answer(*client, TunnelAnswer::kRefused);
    }
    if (sessions_ > config_.sessions_max || by_peer_[client->from] > config_.sessions_per_peer_max) {
      ++counts_.busy;
      co_return co_await Answer(*client, TunnelAnswer::kBusy);
    }
    if (count == 1 && !by_line) {
      co_await ConnectOn(client, address);
    } else {
      co_await PassOn(client, address, std::move(hops), service);
    }
  }

  TunnelTask<void> ConnectOn(std::shared_ptr<Client> client, Endpoint address) {
    ErrorCode failure;
    tcp::socket target(client->stream.get_executor());
    target.open(address.ip.IsV4() ? tcp::v4() : tcp::v6(), failure);
    if (!failure) {
      TuneSocket(target.native_handle());
      BindSource(target.native_handle(), opener_.source, address);
      const TunnelDeadline deadline(target, config_.request_timeout);
      co_await target.async_connect(ToAsio(address), Use(failure));
    }
    if (failure || closed_) {
      ++counts_.not_reached;
      co_return co_await Answer(*client, TunnelAnswer::kNotReached);
    }
    co_await Answer(*client, TunnelAnswer::kConnected);
    ++counts_.carried;
    // The client stays for the count; its stream goes.
    const auto session = std::make_shared<TunnelSession>(std::move(client->stream), std::move(target));
    if (closed_) co_return session->Close();
    closers_[client.get()] = [weak = std::weak_ptr(session)] {
      if (const auto open = weak.lock()) open->Close();
    };
    session->Start([client] {});
  }

  TunnelTask<void> PassOn(std::shared_ptr<Client> client, Endpoint address, std::vector<NodeId> hops,
                          TunnelService service) {
    const NodeId next = hops.front();
    if (hops.size() > 1) hops.erase(hops.begin());
    TunnelAnswer answer = TunnelAnswer::kNotReached;
    auto far = co_await OpenTunnel(opener_, next, address, std::move(hops), service, answer);
    if (far == nullptr || closed_) {
      ++counts_.not_reached;
      if (answer == TunnelAnswer::kConnected) answer = TunnelAnswer::kNotReached;
      co_return co_await Answer(*client, answer);
    }
    co_await Answer(*client, TunnelAnswer::kConnected);
    ++counts_.carried;
    const auto copy = std::make_shared<TunnelCopy>(std::move(client->stream), std::move(*far));
    if (closed_) co_return copy->Close();
    closers_[client.get()] = [weak = std::weak_ptr(copy)] {
      if (const auto open = weak.lock()) open->Close();
    };
    copy->Start([client] {});
  }

  TunnelOpener opener_;
  RelayConfig config_;
  TunnelAddress address_of_;
  std::map<Client*, std::function<void()>> closers_;
  std::map<NodeId, std::size_t> by_peer_;
  std::size_t sessions_ = 0;
  RelayCounts counts_;
  bool closed_ = false;
};

RelayServer::RelayServer(TunnelOpener opener, RelayConfig config, TunnelAddress address_of)
    : impl_(std::make_shared<Impl>(std::move(opener), config, std::move(address_of))) {}
RelayServer::~RelayServer() { impl_->Close(); }
void RelayServer::Serve(TlsStream&& stream, NodeId from) { impl_->Serve(std::move(stream), from, false); }
void RelayServer::ServeLine(TlsStream&& stream, NodeId relay) {
  impl_->Serve(std::move(stream), relay, true);
}
RelayCounts RelayServer::counts() const { return impl_->counts(); }

}  // namespace hs
