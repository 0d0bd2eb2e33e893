#include "runtime/net/line_keeper.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <set>

#include "runtime/net/tls.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr Duration kBackoffFirst = 50ms;
constexpr Duration kBackoffMax = 5s;
// After so long without one taken, as many again are enough as were at the start.
constexpr Duration kCalm = 60s;

void KeepAlive(int fd) {
  const auto set = [fd](int option, int value) {
    ::setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 5);
  set(TCP_KEEPINTVL, 3);
  set(TCP_KEEPCNT, 3);
}

// Is there something to read, rather than the end?
bool HasBytes(tcp::socket& socket) {
  std::uint8_t byte = 0;
  ErrorCode failure;
  return socket.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, failure) == 1 && !failure;
}

}  // namespace

class LineKeeper::Impl : public std::enable_shared_from_this<LineKeeper::Impl> {
 public:
  Impl(asio::io_context& loop, TunnelOpener opener, std::function<void(TlsStream&&, NodeId)> taken)
      : loop_(loop), opener_(std::move(opener)), taken_(std::move(taken)) {}

  void Keep(const std::vector<std::pair<NodeId, Endpoint>>& relays) {
    std::map<NodeId, Endpoint> wanted(relays.begin(), relays.end());
    std::erase_if(relays_, [&](const auto& entry) {
      const auto& [node, relay] = entry;
      const auto keeps = wanted.find(node);
      if (keeps != wanted.end() && keeps->second == relay->address) return false;
      Drop(*relay);
      return true;
    });
    for (const auto& [node, address] : wanted) {
      std::shared_ptr<Relay>& relay = relays_[node];
      if (relay == nullptr) relay = std::make_shared<Relay>(loop_, node, address);
      Fill(relay);
    }
  }

  void Close() {
    taken_ = nullptr;
    for (const auto& [node, relay] : relays_) Drop(*relay);
    relays_.clear();
  }

  std::size_t ready() const {
    std::size_t ready = 0;
    for (const auto& [node, relay] : relays_) ready += relay->ready.size();
    return ready;
  }

 private:
  struct Relay {
    Relay(asio::io_context& loop, NodeId its_node, Endpoint its_address)
        : node(its_node), address(its_address), again(loop), calm(loop) {}
    NodeId node;
    Endpoint address;
    bool dropped = false;
    std::size_t wanted = kReady;
    std::size_t dialing = 0;
    int failures = 0;  // in a row
    bool waits = false;
    std::set<TlsStream*> ready;
    asio::steady_timer again;
    asio::steady_timer calm;
  };

  static void Drop(Relay& relay) {
    relay.dropped = true;
    relay.again.cancel();
    relay.calm.cancel();
    ErrorCode ignored;
    for (TlsStream* line : relay.ready) line->next_layer().close(ignored);
  }

  void Fill(const std::shared_ptr<Relay>& relay) {
    while (!relay->dropped && !relay->waits && relay->ready.size() + relay->dialing < relay->wanted) {
      ++relay->dialing;
      asio::co_spawn(loop_, Run(shared_from_this(), relay), asio::detached);
    }
  }

  // One line's life. `self` keeps all this while it waits.
  TunnelTask<void> Run([[maybe_unused]] std::shared_ptr<Impl> self, std::shared_ptr<Relay> relay) {
    std::unique_ptr<TlsStream> line = co_await DialMember(opener_, relay->node, relay->address, kAlpnLine);
    --relay->dialing;
    if (line == nullptr) co_return TryAgain(relay);
    if (relay->dropped) co_return;
    KeepAlive(line->next_layer().native_handle());
    relay->ready.insert(line.get());
    ErrorCode failure;
    co_await line->next_layer().async_wait(tcp::socket::wait_read,
                                           asio::redirect_error(asio::use_awaitable, failure));
    const bool surplus = relay->ready.erase(line.get()) == 0;
    if (relay->dropped || surplus) co_return;
    if (failure || !HasBytes(line->next_layer())) co_return TryAgain(relay);
    relay->failures = 0;
    NoteTaken(relay);
    Fill(relay);
    if (taken_) taken_(std::move(*line), relay->node);
  }

  void NoteTaken(const std::shared_ptr<Relay>& relay) {
    if (relay->ready.size() < relay->wanted / 2) relay->wanted = std::min(relay->wanted * 2, kReadyMax);
    relay->calm.expires_after(kCalm);
    relay->calm.async_wait([relay](ErrorCode stopped) {
      if (stopped || relay->dropped) return;
      relay->wanted = kReady;
      ErrorCode ignored;
      // The relay takes the newest: the others have waited in vain.
      while (relay->ready.size() > kReady) {
        TlsStream* surplus = *relay->ready.begin();
        relay->ready.erase(relay->ready.begin());
        surplus->next_layer().close(ignored);
      }
    });
  }

  void TryAgain(const std::shared_ptr<Relay>& relay) {
    if (relay->dropped || std::exchange(relay->waits, true)) return;
    relay->again.expires_after(
        std::min<Duration>(kBackoffMax, kBackoffFirst * (1ll << std::min(relay->failures++, 10))));
    relay->again.async_wait([weak = weak_from_this(), relay](ErrorCode stopped) {
      relay->waits = false;
      if (const auto keeper = stopped ? nullptr : weak.lock()) keeper->Fill(relay);
    });
  }

  asio::io_context& loop_;
  TunnelOpener opener_;
  std::function<void(TlsStream&&, NodeId)> taken_;
  std::map<NodeId, std::shared_ptr<Relay>> relays_;
};

LineKeeper::LineKeeper(asio::io_context& loop, TunnelOpener opener,
                       std::function<void(TlsStream&&, NodeId)> taken)
    : impl_(std::make_shared<Impl>(loop, std::move(opener), std::move(taken))) {}
LineKeeper::~LineKeeper() { impl_->Close(); }
void LineKeeper::Keep(const std::vector<std::pair<NodeId, Endpoint>>& relays) { impl_->Keep(relays); }
std::size_t LineKeeper::ready() const { return impl_->ready(); }

}  // namespace hs
